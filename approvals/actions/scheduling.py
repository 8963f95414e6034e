"""Mail that leaves later: when that may be, and letting go of what was approved for it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from approvals import outbox, wire
from approvals.actions.telling import tell
from approvals.actions.transitions import current, entry, move
from approvals.errors import Invalid
from approvals.models import OutboundMessage, OutboxEntry
from approvals.states import Status
from audit.log import Entry
from audit.models import Event
from mailboxes.envelope import Draft
from mailboxes.models import GateTiming, Mailbox

LATEST = timedelta(days=366)


def checked_time(send_at: datetime | None, mailbox: Mailbox) -> datetime | None:
    """Raises Invalid for a time at which nothing can be sent."""
    if send_at is None:
        return None
    now = timezone.now()
    if not mailbox.scheduling_enabled:
        raise _bad("scheduling_off", f"{mailbox.address} schedules no mail; leave send_at out.")
    if send_at <= now:
        raise _bad("in_the_past", "This time has passed; leave send_at out to send at once.")
    if send_at > now + LATEST:
        raise _bad("too_late", "Mail is scheduled for a year ahead at most.")
    return send_at


def _bad(code: str, message: str) -> Invalid:
    return Invalid([{"field": "send_at", "code": code, "message": message}])


def asks_later(draft: Draft, mailbox: Mailbox) -> bool:
    """schedule_first: nobody is asked before its time has come."""
    timing = draft.gate_timing or mailbox.default_gate_timing
    return draft.send_at is not None and timing == GateTiming.SCHEDULE_FIRST


def let_go(message: OutboundMessage) -> list[Entry]:
    """Promise the delivery of what has just been approved: at once, or at its time.

    In the transaction of the approval. A time that passed meanwhile means at once. What is approved for
    later answers its call now.
    """
    if message.send_at is None or not message.is_later:
        outbox.enqueue(OutboxEntry.Kind.DELIVER_EMAIL, message.pk)
        return []
    move(message, Status.APPROVED, Status.SCHEDULED)
    outbox.enqueue(OutboxEntry.Kind.DELIVER_EMAIL, message.pk, due_at=message.send_at)
    scheduled = current(message)
    message.status, message.status_changed_at = scheduled.status, scheduled.status_changed_at
    when = wire.moment(message.send_at)
    return [entry(Event.Action.MESSAGE_SCHEDULED, scheduled, send_at=when), *tell(scheduled)]
