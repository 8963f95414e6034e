"""Addresses that must not be written to."""

from __future__ import annotations

from django.db import transaction

from approvals.errors import Invalid, NotFound
from approvals.models import User
from approvals.permissions import check_administer
from assistants.models import ApiKey
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.envelope import normalize_address
from mailboxes.models import Mailbox, Suppression


def suppress(address: str, reason: str, *, by: User | ApiKey) -> Suppression:
    """From now on nothing leaves for `address`, whoever approved it. Twice does no harm."""
    check_administer(by)
    try:
        address = normalize_address(address).lower()
    except ValueError as error:
        raise Invalid([{"field": "address", "code": "invalid", "message": str(error)}]) from None
    return _keep(address, None, reason.strip()[:200] or "by hand", by=by.actor)


def unsubscribe(address: str, mailbox: Mailbox) -> Suppression:
    """The word of whoever reads mail of `mailbox`: it writes to `address` no more. Others still may."""
    return _keep(address.lower(), mailbox, f"unsubscribed from {mailbox.address}"[:200], by="recipient")


def _keep(address: str, mailbox: Mailbox | None, reason: str, *, by: str) -> Suppression:
    with transaction.atomic():
        kept, is_new = Suppression.objects.get_or_create(
            address=address, mailbox=mailbox, defaults={"reason": reason}
        )
        if is_new:
            log.record(_entry(Event.Action.SUPPRESSION_ADDED, kept), by=by)
    return kept


def unsuppress(*kept: Suppression, by: User | ApiKey) -> None:
    """All of them, or none where `by` may not let one go."""
    if not kept:
        raise NotFound("There is no such suppressed address.")
    for one in kept:
        check_administer(by, one.mailbox)
    with transaction.atomic():
        gone = [one for one in kept if Suppression.objects.filter(pk=one.pk).delete()[0]]
        log.record(*(_entry(Event.Action.SUPPRESSION_REMOVED, one) for one in gone), by=by.actor)


def _entry(action: Event.Action, kept: Suppression) -> Entry:
    details = {"address": kept.address, "reason": kept.reason}
    return Entry(action, Subject(mailbox_id=kept.mailbox_id or ""), details)
