"""Keys: made, changed, ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals.errors import Conflict, Invalid, NotPermitted
from approvals.models import KeyMailbox, User
from approvals.permissions import check_manage_key
from assistants import keys
from assistants.models import ApiKey, Assistant, Integration, Scope, implied
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.models import Mailbox

DECIDING = frozenset({Scope.OVERSIGHT, Scope.OVERSIGHT_READ, Scope.READ})


def create_key(
    owner: Assistant | Integration,
    *,
    name: str,
    scopes: Sequence[str],
    mailboxes: Iterable[Mailbox] = (),
    all_mailboxes: bool = False,
    expires_at: datetime | None = None,
    by: User | ApiKey,
) -> tuple[ApiKey, str]:
    """The key and its secret, which is shown this once. A program that is new is kept with it."""
    mailboxes = list(mailboxes)
    check_manage_key(by, [box.pk for box in mailboxes], all_mailboxes=all_mailboxes)
    _check_grants(by, scopes)
    check_scopes(owner, scopes)
    with transaction.atomic():
        added = _keep(owner) if isinstance(owner, Integration) and owner._state.adding else []
        key, secret, entries = make_key(
            owner, name=name, scopes=scopes, mailboxes=mailboxes, all_mailboxes=all_mailboxes
        )
        if expires_at:
            key.expires_at = expires_at
            key.save(update_fields=["expires_at"])
        log.record(*added, *entries, by=by.actor)
    return key, secret


def _keep(program: Integration) -> list[Entry]:
    try:
        with transaction.atomic():
            program.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"There is a program called {program.name} already; choose it.") from None
    details = {"name": program.name, "integration": program.pk}
    return [Entry(Event.Action.INTEGRATION_CREATED, payload=details)]


def make_key(
    owner: Assistant | Integration,
    *,
    name: str,
    scopes: Sequence[str],
    mailboxes: Iterable[Mailbox] = (),
    all_mailboxes: bool = False,
) -> tuple[ApiKey, str, list[Entry]]:
    """The same without its record, for a caller that has more to do in the transaction."""
    check_scopes(owner, scopes)
    fields, secret = keys.mint()
    key = ApiKey.objects.create(
        name=name,
        assistant=owner if isinstance(owner, Assistant) else None,
        integration=owner if isinstance(owner, Integration) else None,
        all_mailboxes=all_mailboxes,
        **fields,
        **{f"may_{scope}": True for scope in scopes},
    )
    KeyMailbox.objects.bulk_create(KeyMailbox(key=key, mailbox=mailbox) for mailbox in mailboxes)
    details = {"key": key.pk, "name": name, "scopes": key.scopes, "owner": owner.pk}
    subject = Subject(assistant_id=owner.pk if isinstance(owner, Assistant) else "")
    return key, secret, [Entry(Event.Action.KEY_CREATED, subject, details)]


def check_scopes(owner: Assistant | Integration, scopes: Sequence[str]) -> None:
    unknown = [scope for scope in scopes if scope not in Scope.values]
    if unknown or not scopes:
        raise _bad_scopes(f"Choose from {', '.join(Scope.values)}.")
    if Scope.OVERSIGHT in scopes and not set(scopes) <= DECIDING:
        raise _bad_scopes("A key that decides may hold only oversight, oversight_read and read.")
    if isinstance(owner, Assistant):
        if Scope.OVERSIGHT in scopes:
            raise _bad_scopes("A key that decides never belongs to an assistant.")
        beyond = set(scopes) - implied(owner.scopes)
        if beyond:
            raise _bad_scopes(f"{owner.name} itself does not have {', '.join(sorted(beyond))}.")


def _bad_scopes(sentence: str) -> Invalid:
    return Invalid([{"field": "scopes", "code": "bad_scopes", "message": sentence}])


def _check_grants(by: User | ApiKey, added: Collection[str]) -> None:
    """A key with admin makes mailboxes, which who administers only some does not."""
    if isinstance(by, User) and not by.all_mailboxes and Scope.ADMIN in added:
        raise NotPermitted("A key with admin can make mailboxes: that takes who administers all of them.")


def change_key(
    key: ApiKey,
    *,
    name: str | None = None,
    scopes: Sequence[str] | None = None,
    mailboxes: Iterable[Mailbox] | None = None,
    expires_at: datetime | None = None,
    never_expires: bool = False,
    by: User | ApiKey,
) -> None:
    """What is None stays as it is. `mailboxes` are all that it works in from now on."""
    boxes = None if mailboxes is None else [box.pk for box in mailboxes]
    _check_reach(key, boxes or (), by)
    scopes = key.scopes if scopes is None else scopes
    _check_grants(by, set(scopes) - set(key.scopes))
    check_scopes(key.owner, scopes)
    values: dict[str, Any] = {f"may_{scope.value}": scope.value in scopes for scope in Scope}
    values["name"] = name or key.name
    values["expires_at"] = None if never_expires else expires_at or key.expires_at
    with transaction.atomic():
        ApiKey.objects.filter(pk=key.pk).update(**values)
        details = {"key": key.pk, "name": values["name"], "scopes": list(scopes)}
        if boxes is not None:
            _link(key, boxes)
            details["mailboxes"] = sorted(boxes)
        subject = Subject(assistant_id=key.assistant_id or "")
        log.record(Entry(Event.Action.KEY_CHANGED, subject, details), by=by.actor)


def _link(key: ApiKey, boxes: Collection[str]) -> None:
    links = KeyMailbox.objects.filter(key=key)
    links.exclude(mailbox__in=boxes).delete()
    known = set(links.values_list("mailbox_id", flat=True))
    KeyMailbox.objects.bulk_create(KeyMailbox(key=key, mailbox_id=box) for box in sorted(set(boxes) - known))


def _check_reach(key: ApiKey, more: Collection[str], by: User | ApiKey) -> None:
    """Of the key as it is, and with `more` mailboxes."""
    boxes = KeyMailbox.objects.filter(key=key).values_list("mailbox_id", flat=True)
    check_manage_key(by, {*boxes, *more}, all_mailboxes=key.all_mailboxes)


def widens(key: ApiKey, scopes: Sequence[str]) -> bool:
    return bool(set(scopes) - set(implied(key.scopes)))


def revoke_key(key: ApiKey, *, by: User | ApiKey) -> None:
    _check_reach(key, (), by)
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
            subject = Subject(assistant_id=key.assistant_id or "")
            log.record(
                Entry(Event.Action.KEY_REVOKED, subject, {"key": key.pk, "name": key.name}), by=by.actor
            )
