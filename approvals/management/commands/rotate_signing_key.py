"""`manage.py rotate_signing_key`: a new key for the identity header; old ones stay published."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from approvals import actions
from mailboxes import identity


class Command(BaseCommand):
    help = "Sign with a new key from now on. Mail that was signed before still verifies."

    def handle(self, *_args: Any, **_options: Any) -> None:
        key = actions.rotate_signing_key(by=None)
        self.stdout.write(f"Signing with {identity.published(key)['kid']} from now on.")
