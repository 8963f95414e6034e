"""Ids that run servers made, as others tell them to us."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError

# each is one step of an address: a client resolves the dots, and a server may split at the slash
UNUSABLE = re.compile(r"\.{1,2}|.*[/\s\x00-\x1f\x7f-\x9f].*", re.DOTALL)


def check(remote_id: str) -> None:
    """A validator, for forms and serializers alike."""
    if UNUSABLE.fullmatch(remote_id):
        raise ValidationError("This is not an id as run servers make them.", code="invalid")
