"""The account: one install is one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals.errors import Invalid, TooMany
from approvals.models import User
from approvals.permissions import check_administer
from assistants.models import ApiKey
from audit import log
from audit.log import Entry
from audit.models import Event
from mailboxes import headers
from mailboxes.envelope import normalize_address
from mailboxes.models import Account


def the_account() -> Account:
    return Account.objects.first() or Account(pk=1)


def change_account(wanted: Mapping[str, Any], *, by: User | ApiKey) -> None:
    """`wanted`: new values of name, oversight_email, physical_address and, by people, of the quotas."""
    check_administer(by)
    values = {name: _checked(name, value) for name, value in wanted.items()}
    with transaction.atomic():
        account, _ = Account.objects.select_for_update().get_or_create(pk=1)
        changed = {name: value for name, value in values.items() if value != getattr(account, name)}
        if changed:
            Account.objects.filter(pk=1).update(**changed)
            log.record(Entry(Event.Action.ACCOUNT_CHANGED, payload=changed), by=by.actor)


def _checked(name: str, value: Any) -> Any:
    try:
        if name == "oversight_email":
            return normalize_address(value) if value else ""
        return headers.clean(value) if name == "name" else value
    except ValueError as error:
        raise Invalid([{"field": name, "code": "invalid", "message": str(error)}]) from None


EXPORT_EVERY = timedelta(hours=1)


def begin_export(*, by: User | ApiKey) -> None:
    """Say that everything was handed out; once an hour, whoever asks. The UPDATE decides who was first."""
    check_administer(by)
    now = timezone.now()
    with transaction.atomic():
        Account.objects.get_or_create(pk=1)
        rested = Q(exported_at=None) | Q(exported_at__lte=now - EXPORT_EVERY)
        if not Account.objects.filter(rested, pk=1).update(exported_at=now):
            before = Account.objects.values_list("exported_at", flat=True).get(pk=1) or now
            wait = ceil((before + EXPORT_EVERY - now).total_seconds())
            raise TooMany("The account is exported once an hour at most.", "exported_lately", wait=wait)
        log.record(Entry(Event.Action.ACCOUNT_EXPORTED), by=by.actor)


def close_account(*, by: User | ApiKey) -> None:
    """Hold everything for good and revoke every key. Nothing is erased: mail, people and log stay."""
    check_administer(by)
    now = timezone.now()
    with transaction.atomic():
        Account.objects.get_or_create(pk=1)
        closing = Account.objects.filter(pk=1, closed_at=None)
        if closing.update(closed_at=now, held_at=now, held_reason="The account was closed."):
            revoked = ApiKey.objects.filter(revoked_at=None).update(revoked_at=now)
            log.record(Entry(Event.Action.ACCOUNT_CLOSED, payload={"keys_revoked": revoked}), by=by.actor)
