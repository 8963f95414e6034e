"""The state machine as data. This is the only list; docs/states.md is generated from it."""

from __future__ import annotations

from django.db.models import TextChoices

from mailboxes.models import Email


class Status(TextChoices):
    """Of an outbound message."""

    PENDING = "pending"
    DEFERRED = "deferred"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    SENT = "sent"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    NEEDS_ATTENTION = "needs_attention"


S = Status

INITIAL = frozenset({S.PENDING, S.APPROVED, S.DEFERRED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    S.PENDING: frozenset({S.APPROVED, S.REJECTED, S.EXPIRED, S.CANCELLED, S.SUPERSEDED}),
    S.DEFERRED: frozenset({S.PENDING, S.APPROVED, S.FAILED, S.CANCELLED}),
    S.APPROVED: frozenset({S.SCHEDULED, S.SENDING, S.PENDING, S.FAILED, S.CANCELLED}),
    S.SCHEDULED: frozenset({S.SENDING, S.PENDING, S.FAILED, S.CANCELLED}),
    S.SENDING: frozenset({S.SENT, S.APPROVED, S.FAILED, S.NEEDS_ATTENTION}),
    S.NEEDS_ATTENTION: frozenset({S.SENT, S.APPROVED, S.FAILED}),
    S.FAILED: frozenset({S.APPROVED, S.CANCELLED}),
    S.SENT: frozenset(),
    S.REJECTED: frozenset(),
    S.EXPIRED: frozenset(),
    S.CANCELLED: frozenset(),
    S.SUPERSEDED: frozenset(),
}

FINAL = frozenset(status for status, targets in TRANSITIONS.items() if not targets)

I = Email.InboundStatus  # noqa: E741 - the pair of S

INBOUND_INITIAL = frozenset({I.PENDING, I.UNREAD, I.SPAM_FLAGGED, I.SPAM_QUARANTINED})

INBOUND_TRANSITIONS: dict[Email.InboundStatus, frozenset[Email.InboundStatus]] = {
    I.PENDING: frozenset({I.UNREAD, I.REJECTED, I.EXPIRED}),
    I.UNREAD: frozenset({I.READ, I.ARCHIVED, I.DELETED, I.SPAM_FLAGGED, I.SPAM_QUARANTINED}),
    I.READ: frozenset({I.UNREAD, I.ARCHIVED, I.DELETED, I.SPAM_QUARANTINED}),
    I.SPAM_FLAGGED: frozenset({I.UNREAD, I.SPAM_QUARANTINED}),
    I.SPAM_QUARANTINED: frozenset({I.UNREAD}),
    I.ARCHIVED: frozenset(),
    I.DELETED: frozenset(),
    I.REJECTED: frozenset(),
    I.EXPIRED: frozenset(),
}


def sources(to: Status) -> list[Status]:
    """The states from which `to` can be reached: what the conditional UPDATE asks for."""
    return [status for status, targets in TRANSITIONS.items() if to in targets]


def inbound_sources(to: Email.InboundStatus) -> list[Email.InboundStatus]:
    return [status for status, targets in INBOUND_TRANSITIONS.items() if to in targets]
