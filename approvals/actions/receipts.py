"""What became of mail after it left: kept on the email, logged, told, and heeded for mail to come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals import outbox, webhooks
from approvals.actions.announcing import announce
from approvals.actions.dispatch import promise_copy, revision_of
from approvals.actions.model_webhooks import Forged, TooLarge
from approvals.actions.telling import tell
from approvals.actions.transitions import about, current, entry, move
from approvals.errors import Invalid, NotFound
from approvals.models import OutboundMessage, OutboxEntry
from approvals.states import Status
from audit import log
from audit.log import Entry
from audit.models import Event
from mailboxes import receipts, tracking
from mailboxes.models import DeliveryReceipt, Mailbox, MailHook, Suppression
from mailboxes.receipts import Report

BY = "system:receipts"
Kind = DeliveryReceipt.Kind
EVENTS = {
    Kind.DELIVERED: Event.Action.MESSAGE_DELIVERED,
    Kind.DELAYED: Event.Action.MESSAGE_SLOW,
    Kind.BOUNCED: Event.Action.MESSAGE_BOUNCED,
    Kind.COMPLAINED: Event.Action.MESSAGE_COMPLAINED,
}
TOLD = {
    Kind.DELIVERED: webhooks.DELIVERED,
    Kind.BOUNCED: webhooks.BOUNCED,
    Kind.COMPLAINED: webhooks.COMPLAINED,
}
HEARD = (Status.SENDING, Status.SENT, Status.NEEDS_ATTENTION, Status.FAILED)


@contextmanager
def refusing() -> Iterator[None]:
    """What is wrong with a provider's post, as the domain says it."""
    try:
        yield
    except tracking.Unexpected as error:
        raise NotFound("Nothing is expected here: MAIL_HOOKS has no secret of this provider.") from error
    except tracking.Forged as error:
        raise Forged(str(error)) from error
    except tracking.Malformed as error:
        raise Invalid([{"field": "body", "code": "malformed", "message": str(error)}]) from error


def receive_mail_hook(provider: str, headers: Mapping[str, str], body: bytes) -> None:
    """Keep what a provider posted, and promise to read it. A repeat does nothing."""
    if len(body) > tracking.LARGEST:
        raise TooLarge(f"A post has at most {tracking.LARGEST} bytes.")
    with refusing():
        tracking.check(provider, headers, body)
        hook = tracking.hook(provider, headers, body)
    with transaction.atomic():
        known = {"provider": hook.provider, "digest": hook.digest}
        kept, is_new = MailHook.objects.get_or_create(
            **known,
            defaults={
                "content_type": hook.content_type,
                "reference": hook.reference,
                "body": hook.body,
            },
        )
        if is_new:
            outbox.enqueue(OutboxEntry.Kind.READ_MAIL_HOOK, kept.pk)


def forget_mail_hooks() -> int:
    """Those that no provider repeats any more. The receipts stay."""
    old = timezone.now() - timedelta(days=7)
    return MailHook.objects.filter(received_at__lt=old).delete()[0]


def record_report(report: Report, source: str, *, to: Mailbox | None = None) -> DeliveryReceipt | None:
    """Keep what `report` says of a message of ours; None if it is about none, or is known already.

    `to`: the mailbox that a report came to as mail. It can only be about mail from there, because the
    text of a report is a stranger's: that it names a Message-ID shows that it has seen the message.
    """
    message = _about(report, to)
    if message is None:
        return None
    recipient, is_sure = _recipient(message, report)
    with transaction.atomic():
        receipt, is_new = DeliveryReceipt.objects.get_or_create(
            email=message.email,
            source=source,
            reference=report.reference[:200],
            kind=report.kind,
            recipient=recipient,
            defaults={
                "bounce_type": report.bounce_type,
                "status": report.status[:20],
                "detail": report.detail[:1000],
                "at": _moment(report),
            },
        )
        if not is_new:
            return None
        entries = [*_settle(message), *(_suppress(receipt) if is_sure else [])]
        if _is_news(receipt):
            announce(TOLD[Kind(receipt.kind)], message.email, receipt=receipt)
        log.record(_entry(message, receipt), *entries, by=BY)
    return receipt


def _is_news(receipt: DeliveryReceipt) -> bool:
    """Where a provider tells it and a bounce comes as mail too, programs are told once."""
    same = DeliveryReceipt.objects.filter(
        email=receipt.email, kind=receipt.kind, recipient=receipt.recipient, bounce_type=receipt.bounce_type
    )
    return receipt.kind in TOLD and not same.exclude(source=receipt.source).exists()


def _moment(report: Report) -> datetime:
    """A stranger's clock may be wrong, but not ahead of ours."""
    now = timezone.now()
    return min(report.at, now) if report.at else now


def _about(report: Report, to: Mailbox | None) -> OutboundMessage | None:
    """The message, if it may have left: one that nobody let go can't have arrived."""
    found = OutboundMessage.objects.filter(status__in=HEARD)
    if to is not None:
        found = found.filter(email__mailbox=to)
    for sought in _sought(report):
        for message in found.filter(sought).order_by("-pk").select_related("email__mailbox")[:5]:
            if revision_of(message).block is not None and _recipient(message, report) != ("", False):
                return message
    return None


def _sought(report: Report) -> Iterable[Q]:
    """From the surest to the least sure."""
    if report.message_ids:
        yield Q(email__message_id__in=report.message_ids)
    if report.envelope_id:
        yield Q(pk=report.envelope_id)
    for handle in report.handles if report.recipient else ():
        # few are to this address, so that looking at what the server replied costs little
        yield Q(email__correspondents__address=report.recipient, delivery__reply__icontains=handle)


def _recipient(message: OutboundMessage, report: Report) -> tuple[str, bool]:
    """Whom of the envelope it is about, and whether it says so. Nobody: it is about other mail.

    One that names an address we never wrote to may be about a forward of it; where there was only one
    recipient, it is about that one's mail, and says nothing about the address.
    """
    recipients = [one.lower() for one in revision_of(message).recipients]
    if report.recipient in recipients:
        return report.recipient, True
    return (recipients[0], False) if len(recipients) == 1 else ("", False)


def _settle(message: OutboundMessage) -> list[Entry]:
    """Whoever reports on a message has had it: what was in doubt was sent."""
    if not move(message, Status.NEEDS_ATTENTION, Status.SENT):
        return []
    message = current(message)
    promise_copy(message)
    announce(webhooks.SENT, message.email)
    told = tell(message)
    reason = "A report on it came back, so it was handed over."
    return [entry(Event.Action.MESSAGE_SETTLED, message, verdict="reported", reasons=[reason]), *told]


def _suppress(receipt: DeliveryReceipt) -> list[Entry]:
    """Nothing more leaves for an address that takes no mail, or whose owner called it spam."""
    is_hard = receipt.kind == Kind.BOUNCED and receipt.bounce_type == receipts.HARD
    if not is_hard and receipt.kind != Kind.COMPLAINED:
        return []
    why = f"bounced: {receipt.detail or receipt.status}" if is_hard else "called our mail spam"
    reason = why.strip(": ")[:200]
    kept, is_new = Suppression.objects.get_or_create(
        address=receipt.recipient, mailbox=None, defaults={"reason": reason}
    )
    if not is_new:
        return []
    details = {"address": kept.address, "reason": kept.reason, "receipt": receipt.pk}
    return [Entry(Event.Action.SUPPRESSION_ADDED, payload=details)]


def _entry(message: OutboundMessage, receipt: DeliveryReceipt) -> Entry:
    words = receipt.detail or receipt.status
    return Entry(
        EVENTS[Kind(receipt.kind)],
        about(message),
        {
            "receipt": receipt.pk,
            "recipient": receipt.recipient,
            "bounce_type": receipt.bounce_type,
            "status": receipt.status,
            "source": receipt.source,
            "reasons": [f"{receipt.recipient}: {words}" if words else receipt.recipient],
        },
    )
