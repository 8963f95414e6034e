"""What people and deciding keys say about a message that waits."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import Case, DateTimeField, F, Q, Value, When
from django.utils import timezone

from approvals import outbox, webhooks
from approvals.actions.announcing import announce
from approvals.actions.scheduling import let_go
from approvals.actions.telling import tell
from approvals.actions.transitions import check_open, conflict, current, entry, move, open_mailbox, reread
from approvals.errors import Conflict, DomainError, Invalid
from approvals.models import Decision, OutboundMessage, OutboxEntry, User
from approvals.permissions import Actor, Decider, check_cancel, check_decide
from approvals.states import Status
from assistants.models import ApiKey
from audit import log
from audit.log import Entry
from audit.models import Event
from audit.prepared import Change, Slot

Verdict = Decision.Verdict
LONGEST_REASON = 2000  # characters


def approve(
    message: OutboundMessage, *, by: Decider, revision: int | None = None, digest: str = ""
) -> OutboundMessage:
    """Count one approval of exactly this revision; the last one needed sends it on its way."""
    check_decide(by, message)
    revision, digest = _bound(message, revision, digest)
    with transaction.atomic():
        if not _count_approval(message, revision, digest):
            raise _why_not(message, revision, digest)
        decision = _decide(message, Verdict.APPROVE, by, revision, digest)
        message = reread(message)
        later: list[Entry] = []
        if message.status == Status.APPROVED:
            later = let_go(message)
            announce(webhooks.APPROVED, message.email, decision=decision)
        action = Event.Action.MESSAGE_APPROVED
        if message.status == Status.PENDING:
            action = Event.Action.MESSAGE_APPROVAL_GIVEN
        log.record(
            entry(
                action,
                message,
                decision=decision.pk,
                given=message.approvals_given,
                needed=message.approvals_needed,
            ),
            *later,
            by=by.actor,
        )
    return message


_enough = Q(approvals_given__gte=F("approvals_needed") - 1)
# the status is chosen by comparison in the same UPDATE, so that two first approvers can't race
_count = Change(
    lambda: OutboundMessage.objects.filter(
        open_mailbox(),
        pk=Slot("pk"),
        status=Status.PENDING,
        revision=Slot("revision"),
        digest=Slot("digest"),
    ),
    approvals_given=F("approvals_given") + 1,
    status=Case(When(_enough, then=Value(Status.APPROVED)), default=F("status")),
    approved_digest=Case(When(_enough, then=F("digest")), default=Value("")),
    status_changed_at=Case(When(_enough, then=Slot("now", DateTimeField())), default=F("status_changed_at")),
)


def _count_approval(message: OutboundMessage, revision: int, digest: str) -> bool:
    return bool(_count.run(pk=message.pk, revision=revision, digest=digest, now=timezone.now()))


def _why_not(message: OutboundMessage, revision: int, digest: str) -> DomainError:
    now = current(message)
    if now.status == Status.PENDING:
        check_open(now.email.mailbox)
    return conflict(now, revision=revision, digest=digest)


def reject(
    message: OutboundMessage, *, by: Decider, reason: str, revision: int | None = None, digest: str = ""
) -> OutboundMessage:
    """It is never sent; the run is told the reason."""
    check_decide(by, message)
    revision, digest = _bound(message, revision, digest)
    reason = checked_reason(reason)
    with transaction.atomic():
        if not move(message, Status.PENDING, Status.REJECTED, Q(revision=revision, digest=digest)):
            raise conflict(message, revision=revision, digest=digest)
        decision = _decide(message, Verdict.REJECT, by, revision, digest, reason)
        message = current(message)
        told = tell(message)
        announce(webhooks.REJECTED, message.email, decision=decision)
        log.record(
            entry(Event.Action.MESSAGE_REJECTED, message, decision=decision.pk, reason=reason),
            *told,
            by=by.actor,
        )
    return message


def cancel(message: OutboundMessage, *, by: Actor) -> OutboundMessage:
    """Take back what has not begun to leave. Idempotent."""
    check_cancel(by, message)
    before = (Status.PENDING, Status.DEFERRED, Status.APPROVED, Status.SCHEDULED, Status.FAILED)
    with transaction.atomic():
        if not move(message, before, Status.CANCELLED):
            message = current(message)
            if message.status == Status.CANCELLED:
                return message
            raise conflict(message)
        outbox.withdraw(OutboxEntry.Kind.DELIVER_EMAIL, message.pk)
        outbox.withdraw(OutboxEntry.Kind.ASK_DEFERRED, message.pk)
        message = current(message)
        person_or_key = by if isinstance(by, User | ApiKey) else None
        _decide(message, Verdict.CANCEL, person_or_key, message.revision, message.digest)
        told = tell(message)
        log.record(entry(Event.Action.MESSAGE_CANCELLED, message), *told, by=by.actor)
    return message


def expire(message: OutboundMessage) -> bool:
    """Nobody answered in time: not sent, and the run is told so. Expired is not rejected."""
    with transaction.atomic():
        late = Q(deadline_at__lte=timezone.now())
        if not move(message, Status.PENDING, Status.EXPIRED, late):
            return False
        message = current(message)
        told = tell(message)
        announce(webhooks.EXPIRED, message.email)
        log.record(entry(Event.Action.MESSAGE_EXPIRED, message), *told, by="system:schedule")
    return True


def _bound(message: OutboundMessage, revision: int | None, digest: str) -> tuple[int, str]:
    """A decision is about a text. Naming none is enough only while there was never another."""
    if digest == message.digest:
        return revision or message.revision, digest
    now = current(message)
    if not revision and not digest and now.revision > 1:
        raise Conflict(
            f"This message was edited; name the revision that you decide about. It is now {now.revision}.",
            "revision_required",
            message=now,
            revision=now.revision,
            digest=now.digest,
            status=now.status,
        )
    return revision or now.revision, digest or now.digest


def _decide(
    message: OutboundMessage,
    verdict: Verdict,
    by: Decider | None,
    revision: int,
    digest: str,
    reason: str = "",
) -> Decision:
    try:
        with transaction.atomic():
            return Decision.objects.create(
                message=message,
                verdict=verdict,
                by=by if isinstance(by, User) else None,
                by_key=by if isinstance(by, ApiKey) else None,
                revision=revision,
                digest=digest,
                reason=reason,
            )
    except IntegrityError:
        raise Conflict(
            "You have approved this already; it needs another person.",
            "approved_by_you",
            message=message,
            revision=revision,
            digest=digest,
        ) from None


def checked_reason(reason: str) -> str:
    reason = reason.strip()
    if len(reason) > LONGEST_REASON:
        message = f"A reason has at most {LONGEST_REASON} characters."
        raise Invalid([{"field": "reason", "code": "too_long", "message": message}])
    if "\x00" in reason:
        raise Invalid(
            [{"field": "reason", "code": "control_character", "message": "A reason is plain text."}]
        )
    return reason
