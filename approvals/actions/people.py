"""People: asked in, given roles and mailboxes, and kept out again."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import IntegrityError, transaction

from approvals import outbox
from approvals.errors import Conflict, Invalid
from approvals.models import Membership, OutboxEntry, User
from approvals.permissions import check_administer
from audit import log
from audit.log import Entry
from audit.models import Event
from mailboxes.envelope import normalize_address
from mailboxes.models import Mailbox

ROLES = ("reviewer", "administrator", "auditor")


def create_person(
    email: str, roles: Collection[str], mailboxes: Collection[Mailbox] | None, *, by: User
) -> User:
    """Without a password: a link to sign in is mailed. `mailboxes` is None for all, now and later."""
    check_administer(by)
    try:
        address = normalize_address(email).lower()
    except ValueError as error:
        raise _wrong("email", str(error)) from None
    values = _checked(roles, mailboxes)
    try:
        with transaction.atomic():
            person = User(email=address, **values)
            person.set_unusable_password()
            person.save(force_insert=True)
            _join(person, mailboxes or ())
            outbox.enqueue(OutboxEntry.Kind.MAIL_SIGN_IN, person.pk)
            log.record(_entry(Event.Action.PERSON_CREATED, person, values, mailboxes), by=by.actor)
    except IntegrityError:
        raise _wrong("email", f"{address} is here already.") from None
    return person


def change_person(
    person: User, roles: Collection[str], mailboxes: Collection[Mailbox] | None, *, by: User
) -> None:
    check_administer(by)
    values = _checked(roles, mailboxes)
    with transaction.atomic():
        _write(person, values)
        Membership.objects.filter(user=person).delete()
        _join(person, mailboxes or ())
        log.record(_entry(Event.Action.PERSON_CHANGED, person, values, mailboxes), by=by.actor)


def let_in(person: User, *, by: User) -> None:
    """Mail a link to sign in, to whoever has lost the last one."""
    check_administer(by)
    if not person.is_active:
        raise Conflict(f"{person.email} may not sign in. Let them in again first.")
    with transaction.atomic():
        outbox.enqueue(OutboxEntry.Kind.MAIL_SIGN_IN, person.pk)
        details = {"person": person.pk, "email": person.email, "sign_in_link": "mailed"}
        log.record(Entry(Event.Action.PERSON_CHANGED, payload=details), by=by.actor)


def set_active(person: User, on: bool, *, by: User) -> None:
    """Off: no session of theirs works any more. What they decided stands."""
    check_administer(by)
    with transaction.atomic():
        _write(person, {"is_active": on})
        details = {"person": person.pk, "email": person.email, "is_active": on}
        log.record(Entry(Event.Action.PERSON_CHANGED, payload=details), by=by.actor)


def _write(person: User, values: dict[str, Any]) -> None:
    """Somebody who administers everything stays; the locks make two who leave at once see each other."""
    in_charge = User.objects.filter(is_administrator=True, is_active=True, all_mailboxes=True)
    charged = {one.pk for one in in_charge.select_for_update(no_key=True).order_by("pk")}
    stays = {"is_administrator": True, "is_active": True, "all_mailboxes": True}
    leaves = any(values.get(name, True) is not wanted for name, wanted in stays.items())
    if leaves and charged == {person.pk}:
        raise Conflict("Nobody else administers all mailboxes. Make somebody else an administrator first.")
    User.objects.filter(pk=person.pk).update(**values)


def _checked(roles: Collection[str], mailboxes: Collection[Mailbox] | None) -> dict[str, Any]:
    if not roles:
        raise _wrong("roles", "Choose at least one role.")
    return {f"is_{role}": role in roles for role in ROLES} | {"all_mailboxes": mailboxes is None}


def _join(person: User, mailboxes: Collection[Mailbox]) -> None:
    Membership.objects.bulk_create(Membership(user=person, mailbox=mailbox) for mailbox in mailboxes)


def _entry(
    action: Event.Action, person: User, values: dict[str, Any], mailboxes: Collection[Mailbox] | None
) -> Entry:
    where = "all" if mailboxes is None else sorted(mailbox.address for mailbox in mailboxes)
    return Entry(action, payload={"person": person.pk, "email": person.email, **values, "mailboxes": where})


def _wrong(field: str, message: str) -> Invalid:
    return Invalid([{"field": field, "code": "invalid", "message": message}])
