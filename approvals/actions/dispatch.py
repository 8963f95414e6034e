"""The status changes around a delivery: the last look, the point of no return, and its outcomes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.db.models import BinaryField, DateTimeField, Exists, F, JSONField, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from approvals import outbox, webhooks
from approvals.actions.announcing import announce
from approvals.actions.telling import tell
from approvals.actions.transitions import Move, about, current, entry, hold_reason, move, open_mailbox
from approvals.models import Decision, OutboundMessage, OutboxEntry
from approvals.policy import Oversight, Ruling, Verdict, rule
from approvals.states import Status
from assistants import polling
from assistants.models import Run
from audit import log
from audit.log import Entry
from audit.models import Event
from audit.prepared import Change, Rows, Slot
from mailboxes.models import Account, Mailbox, OversightMode, Revision, Suppression

ON_ITS_WAY = (Status.APPROVED, Status.SCHEDULED)
WORKER = "system:delivery"


def oversight_of(mailbox: Mailbox) -> Oversight:
    account = Account.objects.first()
    return Oversight(
        mailbox=mailbox.address,
        mode=mailbox.oversight_mode,
        allowlist=tuple(mailbox.allowlist.values_list("pattern", flat=True)),
        held_reason=hold_reason(mailbox),
        oversight_address=account.oversight_email if account else "",
    )


def take_back(message: OutboundMessage) -> bool:
    """Look again before leaving. True if the message may not leave as it stands and was moved aside."""
    message = current(message)
    return look_again(message, revision_of(message))


def look_again(message: OutboundMessage, revision: Revision) -> bool:
    """The same at rows that were read just now."""
    mailbox = message.email.mailbox
    if not mailbox.is_active:
        return _fail(message, f"{mailbox.address} is closed.", ON_ITS_WAY)
    suppressed = suppression_of(revision.recipients, mailbox)
    if suppressed:
        return _fail(message, f"{suppressed.address} is suppressed: {suppressed.reason}", ON_ITS_WAY)
    ruling = _ruling_now(message, revision)
    if ruling is None:
        return False
    if ruling.verdict == Verdict.RELEASE:
        return _release_again(message, ruling)
    with transaction.atomic():
        entries = return_to_pending(message, ruling.reasons)
        if entries:
            log.record(*entries, by="policy")
    return True


def suppression_of(recipients: list[str], mailbox: Mailbox) -> Suppression | None:
    """The first that keeps `mailbox` from writing to one of `recipients`."""
    return _suppressed(len(recipients)).first(mailbox=mailbox.pk, **_slots(recipients))


@lru_cache(maxsize=32)
def _suppressed(count: int) -> Rows[Suppression]:
    return Rows(lambda: _suppressions(count, Q(mailbox=Slot("mailbox"))).order_by("pk")[:1])


def _suppressions(count: int, there: Q) -> QuerySet[Suppression]:
    """Of so many recipients, for whom it has slots; `there`: those of the mailbox alone."""
    addresses = [Slot(f"recipient_{number}") for number in range(count)]
    return Suppression.objects.filter(Q(mailbox=None) | there, address__in=addresses)


def _slots(recipients: list[str]) -> dict[str, str]:
    return {f"recipient_{number}": address.lower() for number, address in enumerate(recipients)}


def _ruling_now(message: OutboundMessage, revision: Revision) -> Ruling | None:
    """What the policy says now, or None where the release still stands."""
    mailbox = message.email.mailbox
    shut = mailbox.oversight_mode == OversightMode.READ_ONLY or hold_reason(mailbox) is not None
    if not (shut or message.released_mode):
        return None
    chosen = tuple(one for one in revision.recipients if one not in revision.added_recipients)
    ruling = rule(chosen, oversight_of(mailbox))
    same = ruling.verdict == Verdict.RELEASE and message.released_mode == mailbox.oversight_mode
    return None if same else ruling


def _release_again(message: OutboundMessage, ruling: Ruling) -> bool:
    """The mode changed, and the policy lets the message pass under the new one too."""
    mode = message.email.mailbox.oversight_mode
    with transaction.atomic():
        same = OutboundMessage.objects.filter(pk=message.pk, status__in=ON_ITS_WAY, digest=message.digest)
        if same.update(released_mode=mode, reasons=list(ruling.reasons)):
            Decision.objects.create(
                message=message,
                verdict=Decision.Verdict.RELEASE,
                revision=message.revision,
                digest=message.digest,
                reasons=list(ruling.reasons),
            )
            log.record(
                entry(Event.Action.MESSAGE_RELEASED, message, reasons=ruling.reasons, mode=mode), by="policy"
            )
    return False


def return_to_pending(message: OutboundMessage, reasons: tuple[str, ...]) -> list[Entry]:
    """Back to the reviewers: approvals are void, the delivery is withdrawn. For a caller that records."""
    deadline = timezone.now() + timedelta(hours=message.email.mailbox.deadline_hours)
    if not move(
        message,
        ON_ITS_WAY,
        Status.PENDING,
        approvals_given=0,
        approved_digest="",
        released_mode="",
        reasons=list(reasons),
        deadline_at=deadline,
    ):
        return []
    message.decisions.filter(
        voided_at=None, verdict__in=(Decision.Verdict.APPROVE, Decision.Verdict.RELEASE)
    ).update(voided_at=timezone.now())
    outbox.withdraw(OutboxEntry.Kind.DELIVER_EMAIL, message.pk)
    if message.run and message.run.driver == Run.Driver.COUNTERSEAL:
        # undecided again: where runs don't wait for that, it is time for a provisional answer
        polling.ask_again(message.run)
    announce(webhooks.PENDING, message.email)
    return [entry(Event.Action.MESSAGE_RETURNED, message, reasons=reasons)]


_revision = Rows(lambda: Revision.objects.filter(email=Slot("email"), number=Slot("number")))
_keep_block = Change(
    lambda: Revision.objects.filter(pk=Slot("pk"), block=None),
    block=Slot("block", BinaryField()),
    sent_digest=Slot("sent_digest"),
)


def revision_of(message: OutboundMessage) -> Revision:
    return _revision.get(email=message.pk, number=message.revision)


def store_block(revision: Revision, block: bytes) -> Revision:
    """Keep the first block for ever: every retry of this revision sends the same bytes."""
    sent_digest = hashlib.sha256(block + bytes(revision.frozen)).hexdigest()
    if not _keep_block.run(pk=revision.pk, block=block, sent_digest=sent_digest):
        return Revision.objects.get(pk=revision.pk)
    revision.block, revision.sent_digest = block, sent_digest
    return revision


@lru_cache(maxsize=32)
def _begin(recipients: int) -> Move:
    """The move to `sending` of a message with so many recipients."""

    def last_look() -> Q:
        mode_now = Mailbox.objects.filter(emails=OuterRef("email")).values("oversight_mode")
        lease = OutboxEntry.objects.filter(pk=Slot("entry"), attempts=Slot("attempts"), done_at=None)
        return (
            open_mailbox()
            & Q(approved_digest=F("digest"), digest=Slot("digest"))
            & (Q(released_mode="") | Q(released_mode=Subquery(mode_now)))
            & ~Q(Exists(_suppressions(recipients, Q(mailbox__emails=OuterRef("email")))))
            & Q(Exists(lease))
        )

    return Move(ON_ITS_WAY, Status.SENDING, last_look)


def begin_sending(message: OutboundMessage, promise: OutboxEntry, recipients: list[str]) -> bool:
    """The point of no return: one UPDATE that carries the last look and the fence of the lease."""
    begin = _begin(len(recipients))
    fence = {"entry": promise.pk, "attempts": promise.attempts}
    with transaction.atomic():
        if not begin(message, digest=message.digest, **fence, **_slots(recipients)):
            return False
        log.record(entry(Event.Action.MESSAGE_SENDING, message, attempt=promise.attempts), by=WORKER)
    return True


def _still(message: OutboundMessage) -> Q:
    """The status is the one that the worker saw begin: not that of a later worker, after a person's word."""
    return Q(status_changed_at=message.status_changed_at)


_sent = Move(
    Status.SENDING,
    Status.SENT,
    lambda: Q(status_changed_at=Slot("since", DateTimeField())),
    delivery=Slot("delivery", JSONField()),
)


def record_sent(message: OutboundMessage, promise: OutboxEntry, evidence: Mapping[str, Any]) -> None:
    with transaction.atomic():
        if not _sent(message, since=message.status_changed_at, delivery=dict(evidence)):
            return _record_late(message, evidence)
        message = current(message)
        told = tell(message)
        promise_copy(message)
        announce(webhooks.SENT, message.email)
        outbox.finish(promise)
        details = {"sent_digest": revision_of(message).sent_digest, **evidence}
        log.record(entry(Event.Action.MESSAGE_SENT, message, **details), *told, by=WORKER)


def promise_copy(message: OutboundMessage) -> None:
    """What leaves a monitored mailbox is copied, whoever let it pass at last; a copy is not."""
    modes = (message.released_mode, message.email.mailbox.oversight_mode)
    if OversightMode.MONITORED in modes and message.copy_of_id is None:
        outbox.enqueue(OutboxEntry.Kind.SEND_COPY, message.pk)


def _record_late(message: OutboundMessage, evidence: Mapping[str, Any]) -> None:
    """The reply came after the lease was lost: evidence for whoever settles it, not a status."""
    message = current(message)
    OutboundMessage.objects.filter(pk=message.pk).update(delivery=message.delivery | {"late": dict(evidence)})
    log.record(Entry(Event.Action.MESSAGE_UNKNOWN, about(message), {"late": dict(evidence)}), by=WORKER)


def record_unknown(message: OutboundMessage, evidence: Mapping[str, Any]) -> None:
    """Handed over, outcome unknown: a person must look. The run's call stays open until then."""
    with transaction.atomic():
        if move(message, Status.SENDING, Status.NEEDS_ATTENTION, _still(message), delivery=dict(evidence)):
            log.record(entry(Event.Action.MESSAGE_UNKNOWN, message, **evidence), by=WORKER)


def record_delay(message: OutboundMessage, evidence: Mapping[str, Any]) -> None:
    """Surely not sent; it is tried again later."""
    with transaction.atomic():
        waiting = OutboundMessage.objects.filter(pk=message.pk, status__in=ON_ITS_WAY)
        back = move(message, Status.SENDING, Status.APPROVED, _still(message), delivery=dict(evidence))
        if not back and not waiting.update(delivery=dict(evidence)):
            return
        log.record(entry(Event.Action.MESSAGE_DELAYED, message, **evidence), by=WORKER)


def record_failed(message: OutboundMessage, why: str, evidence: Mapping[str, Any]) -> None:
    _fail(message, why, (*ON_ITS_WAY, Status.SENDING), evidence)


def _fail(
    message: OutboundMessage, why: str, source: tuple[Status, ...], evidence: Mapping[str, Any] | None = None
) -> bool:
    evidence = dict(evidence or {}) | {"error": why}
    with transaction.atomic():
        if move(message, source, Status.FAILED, _still(message), delivery=evidence):
            outbox.withdraw(OutboxEntry.Kind.DELIVER_EMAIL, message.pk)
            message = current(message)
            told = tell(message)
            log.record(entry(Event.Action.MESSAGE_FAILED, message, **evidence), *told, by=WORKER)
    return True
