"""A person ends what the machine could not: a delivery in doubt, or one that failed.

Each is a decision of its own that names the digest. A run that was already answered is not answered
twice: a follow-up tells it what became of the mail.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import F, Q

from approvals import outbox, webhooks
from approvals.actions.announcing import announce
from approvals.actions.decide import checked_reason
from approvals.actions.dispatch import promise_copy
from approvals.actions.telling import tell
from approvals.actions.transitions import check_open, conflict, current, entry, move
from approvals.errors import DomainError
from approvals.models import Decision, OutboundMessage, OutboxEntry, User
from approvals.permissions import check_settle
from approvals.states import Status
from audit import log
from audit.models import Event

Verdict = Decision.Verdict


def mark_sent(message: OutboundMessage, *, by: User, digest: str, reason: str = "") -> OutboundMessage:
    """It did arrive."""
    return _settle(message, Status.NEEDS_ATTENTION, Status.SENT, Verdict.MARK_SENT, by, digest, reason)


def give_up(message: OutboundMessage, *, by: User, digest: str, reason: str = "") -> OutboundMessage:
    """It did not arrive, and is not to be sent again."""
    return _settle(message, Status.NEEDS_ATTENTION, Status.FAILED, Verdict.GIVE_UP, by, digest, reason)


def send_again(message: OutboundMessage, *, by: User, digest: str, reason: str = "") -> OutboundMessage:
    """It did not arrive; send the same bytes once more, which may double it if it did."""
    return _settle(message, Status.NEEDS_ATTENTION, Status.APPROVED, Verdict.SEND_AGAIN, by, digest, reason)


def retry(message: OutboundMessage, *, by: User, digest: str, reason: str = "") -> OutboundMessage:
    """It failed for a reason that is gone."""
    return _settle(message, Status.FAILED, Status.APPROVED, Verdict.RETRY, by, digest, reason)


def _settle(
    message: OutboundMessage, source: Status, to: Status, verdict: Verdict, by: User, digest: str, reason: str
) -> OutboundMessage:
    check_settle(by, message)
    reason = checked_reason(reason)
    if to == Status.APPROVED:
        check_open(current(message).email.mailbox)
    with transaction.atomic():
        # a person's word now stands behind it, in place of the policy's
        if not move(message, source, to, Q(digest=digest), approved_digest=F("digest"), released_mode=""):
            raise _why_not(message, source, digest)
        decision = Decision.objects.create(
            message=message, verdict=verdict, by=by, revision=message.revision, digest=digest, reason=reason
        )
        message = current(message)
        if to == Status.APPROVED:
            outbox.enqueue(OutboxEntry.Kind.DELIVER_EMAIL, message.pk)
        if to == Status.SENT:
            promise_copy(message)
            announce(webhooks.SENT, message.email)
        told = tell(message)
        action = Event.Action.MESSAGE_RETRIED if verdict == Verdict.RETRY else Event.Action.MESSAGE_SETTLED
        log.record(
            entry(action, message, verdict=verdict, decision=decision.pk, reason=reason), *told, by=by.actor
        )
    return message


def _why_not(message: OutboundMessage, source: Status, digest: str) -> DomainError:
    now = current(message)
    if now.status == source and now.digest != digest:
        return DomainError("That digest is not this message's; look at it again.", "digest_mismatch")
    return conflict(now)
