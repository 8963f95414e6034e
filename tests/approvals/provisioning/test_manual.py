"""docs/provisioning.md has every section and field of a document, and no other."""

from __future__ import annotations

import re

import pytest
from django.conf import settings

from approvals.provisioning.shape import FIELDS
from assistants.models import Connection, Scope
from mailboxes.models import OversightMode

MANUAL = (settings.BASE_DIR / "docs/provisioning.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", MANUAL, re.MULTILINE | re.DOTALL))


def test_every_section_is_there() -> None:
    assert list(SECTIONS) == list(FIELDS)


@pytest.mark.parametrize("section", FIELDS)
def test_every_field_is_there_in_its_order(section: str) -> None:
    assert re.findall(r"^\| `(\w+)` \|", SECTIONS[section], re.MULTILINE) == list(FIELDS[section])


@pytest.mark.parametrize(
    "word",
    [*Connection.Protocol.values, *Connection.HoldPolicy.values, *OversightMode.values, *Scope.values],
)
def test_every_choice_is_there(word: str) -> None:
    assert f"`{word}`" in MANUAL
