"""Mail that came in, read after its bytes were kept. It becomes an email whatever is in it."""

from __future__ import annotations

import logging
from dataclasses import replace

from django.db import DatabaseError

from approvals import gate
from approvals.actions.receipts import record_report
from approvals.gate.rush import rush
from approvals.models import OutboxEntry
from approvals.outbox import TryAgain
from mailboxes import inbound
from mailboxes.models import RawMessage
from mailboxes.parse_pool import Broken
from mailboxes.receipts import Report

log = logging.getLogger("counterseal.receiving")

# what fails so often for no reason of the message's own is let in unread, before anybody misses it
PATIENCE = 5


def receive_email(promise: OutboxEntry) -> None:
    rush.give_way()
    raw = RawMessage.objects.select_related("mailbox").get(pk=promise.ref)
    try:
        parsed = inbound.parse(bytes(raw.data))
    except inbound.Unparseable as error:
        gate.admit(raw, None, parse_error=str(error), promise=promise)
    except Broken as error:
        raise TryAgain(str(error)) from error
    except Exception as error:
        _not_read(promise, raw, error)
    else:
        _admit(promise, raw, parsed)


def _admit(promise: OutboxEntry, raw: RawMessage, parsed: inbound.Parsed) -> None:
    """A bounce stays mail, and is told at the message that it is about too."""
    reports = _reports(raw)
    try:
        # one that reports is not done with when it is an email
        gate.admit(raw, parsed, promise=None if reports else promise)
    except (ValueError, DatabaseError) as error:
        _not_read(promise, raw, error)
    for report in reports:
        record_report(replace(report, reference=raw.digest), "dsn", to=raw.mailbox)


def _reports(raw: RawMessage) -> list[Report]:
    # where no envelope came along, the type of the mail alone tells
    sender = "unknown" if raw.sender is None else raw.sender
    try:
        return inbound.reports(sender, bytes(raw.data))
    except inbound.Unparseable:
        return []


def _not_read(promise: OutboxEntry, raw: RawMessage, error: Exception) -> None:
    """A fault of ours or of the database, most likely; if it stays, the mail is flagged and shown."""
    if promise.attempts < PATIENCE:
        raise error
    log.error("%s is let in unread", raw.pk, exc_info=error)
    why = f"Something went wrong while it was read ({type(error).__name__})."
    gate.admit(raw, None, parse_error=why, promise=promise)
