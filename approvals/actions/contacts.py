"""The address book."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from approvals.errors import Invalid, NotPermitted
from approvals.models import User
from approvals.permissions import check_administer, check_scope
from assistants.models import ApiKey, Assistant, Scope
from audit import log
from audit.log import Entry
from audit.models import Event
from mailboxes import headers
from mailboxes.envelope import normalize_address
from mailboxes.models import Contact


def keep_contact(
    owner: str, email: str, *, name: str = "", tags: Sequence[str] = (), by: User | ApiKey
) -> Contact:
    """Add it to the address book of `owner`; one with this address gets the new name and tags."""
    _check(by, owner)
    try:
        address, name = normalize_address(email), headers.clean(name)
    except ValueError as error:
        raise Invalid([{"field": "email", "code": "invalid", "message": str(error)}]) from None
    with transaction.atomic():
        values = {"name": name, "tags": list(tags)}
        contact, _ = Contact.objects.update_or_create(owner=owner, email=address, defaults=values)
        details = {"contact": contact.pk, "email": address, **values}
        log.record(Entry(Event.Action.CONTACT_ADDED, payload=details), by=by.actor)
    return contact


def remove_contact(contact: Contact, *, by: User | ApiKey) -> None:
    _check(by, contact.owner)
    with transaction.atomic():
        if Contact.objects.filter(pk=contact.pk).delete()[0]:
            details = {"contact": contact.pk, "email": contact.email}
            log.record(Entry(Event.Action.CONTACT_REMOVED, payload=details), by=by.actor)


def _check(by: User | ApiKey, owner: str) -> None:
    """Who administers some mailboxes keeps the address books of the assistants that work there."""
    if isinstance(by, ApiKey):
        return check_scope(by, Scope.SEND)
    if by.all_mailboxes or not by.is_administrator:
        return check_administer(by)
    if not Assistant.objects.visible_to(by).filter(pk=owner).exists():
        raise NotPermitted("This address book belongs to nobody who works in your mailboxes.")
