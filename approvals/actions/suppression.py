"""Addresses that must not be written to."""

from __future__ import annotations

from django.db import transaction

from approvals.errors import Invalid
from approvals.models import User
from approvals.permissions import check_administer
from assistants.models import ApiKey
from audit import log
from audit.log import Entry
from audit.models import Event
from mailboxes.envelope import normalize_address
from mailboxes.models import Suppression


def suppress(address: str, reason: str, *, by: User | ApiKey) -> Suppression:
    """From now on nothing leaves for `address`, whoever approved it. Twice does no harm."""
    check_administer(by)
    try:
        address = normalize_address(address).lower()
    except ValueError as error:
        raise Invalid([{"field": "address", "code": "invalid", "message": str(error)}]) from None
    with transaction.atomic():
        kept, is_new = Suppression.objects.get_or_create(
            address=address, defaults={"reason": reason.strip()[:200] or "by hand"}
        )
        if is_new:
            details = {"address": address, "reason": kept.reason}
            log.record(Entry(Event.Action.SUPPRESSION_ADDED, payload=details), by=by.actor)
    return kept


def unsuppress(kept: Suppression, *, by: User | ApiKey) -> None:
    check_administer(by)
    with transaction.atomic():
        if Suppression.objects.filter(pk=kept.pk).delete()[0]:
            details = {"address": kept.address, "reason": kept.reason}
            log.record(Entry(Event.Action.SUPPRESSION_REMOVED, payload=details), by=by.actor)
