"""What callers tell the people who run the install."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from assistants.models import ApiKey
from audit import log
from audit.log import Entry, Subject
from audit.models import Event


def report_issue(told: Mapping[str, str], *, by: ApiKey) -> None:
    """Into the log, where people find it beside what happened."""
    about = Subject(assistant_id=by.assistant_id or "")
    with transaction.atomic():
        log.record(Entry(Event.Action.ISSUE_REPORTED, about, told), by=by.actor)
