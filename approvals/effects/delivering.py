"""Mail that leaves: the last look, the handing over, and what the server said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from approvals import gate
from approvals.actions import dispatch
from approvals.actions.transitions import current
from approvals.models import OutboundMessage, OutboxEntry
from approvals.outbox import TryAgain
from approvals.states import Status
from audit.prepared import Rows
from mailboxes import delivery, dkim_keys, identity, mime
from mailboxes.delivery import DeliveryError, Handover
from mailboxes.models import Account, Revision

GIVE_UP_AFTER = timedelta(hours=24)
Kind = OutboxEntry.Kind


def deliver_email(promise: OutboxEntry) -> None:
    """Connect, MAIL, RCPT; then the UPDATE to `sending`; then DATA."""
    message = current(OutboundMessage(pk=promise.ref))
    if message.status == Status.SENDING:
        # whoever began this is gone: nobody knows how far the bytes came
        evidence = {"error": "The worker stopped after handing over and before the server's reply was kept."}
        return dispatch.record_unknown(message, message.delivery | evidence)
    revision = dispatch.revision_of(message)
    if message.status not in dispatch.ON_ITS_WAY or dispatch.look_again(message, revision):
        return
    if _is_tampered(message, revision):
        return dispatch.record_failed(message, "The stored bytes are not the approved ones.", {})
    try:
        route = message.email.mailbox.outbound_encrypted
        with delivery.offer(
            revision.envelope_from, revision.recipients, envelope_id=message.pk, route=route
        ) as handover:
            _hand_over(message, revision, promise, handover)
    except DeliveryError as error:
        _not_delivered(message, promise, error)


def _is_tampered(message: OutboundMessage, revision: Revision) -> bool:
    digest = mime.digest(revision.envelope_from, revision.recipients, bytes(revision.frozen))
    return not digest == revision.digest == message.approved_digest


def _hand_over(
    message: OutboundMessage, revision: Revision, promise: OutboxEntry, handover: Handover
) -> None:
    block = revision.block or _block(message, revision)
    # one commit for both: the block counts from the moment at which it may have been seen
    with transaction.atomic():
        revision = dispatch.store_block(revision, bytes(block))
        begun = dispatch.begin_sending(message, promise, revision.recipients)
    if not begun:
        if not dispatch.take_back(message):
            # what was in force changed, and under what is in force now it may leave after all
            raise TryAgain("What was in force changed at the last moment.")
        return
    receipt = handover.data(bytes(revision.block or b"") + bytes(revision.frozen))
    evidence = {"reply": receipt.reply, "steps": receipt.steps, "at": timezone.now().isoformat()}
    dispatch.record_sent(message, promise, evidence)


_account = Rows(lambda: Account.objects.order_by("pk")[:1])


def _block(message: OutboundMessage, revision: Revision) -> bytes:
    account = _account.first()
    block = identity.dispatch_block(
        frozen=bytes(revision.frozen),
        sender=revision.envelope_from,
        recipients=revision.recipients,
        message_id=message.email.message_id,
        approved=not message.released_mode and message.copy_of_id is None,
        oversight=message.email.mailbox.oversight_mode,
        operator=account.name if account else "",
        now=timezone.now(),
    )
    return dkim_keys.signature(revision.envelope_from, block + bytes(revision.frozen)) + block


def _not_delivered(message: OutboundMessage, promise: OutboxEntry, error: DeliveryError) -> None:
    evidence: dict[str, Any] = {
        "error": str(error),
        "refused": error.refused,
        "steps": error.steps,
        "at": timezone.now().isoformat(),
    }
    if error.unknown:
        return dispatch.record_unknown(message, evidence)
    if error.permanent:
        return dispatch.record_failed(message, str(error), evidence)
    if timezone.now() - promise.created_at > GIVE_UP_AFTER:
        return dispatch.record_failed(message, f"Tried for a day: {error}", evidence)
    dispatch.record_delay(message, evidence)
    raise TryAgain(str(error))


def ask_deferred(promise: OutboxEntry) -> None:
    gate.ask_deferred(OutboundMessage(pk=promise.ref))


def send_copy(promise: OutboxEntry) -> None:
    gate.copy_to_oversight(current(OutboundMessage(pk=promise.ref)))
