"""Keys, the allowlist, and starting a run by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import outbox
from approvals.actions.telling import plan_entry
from approvals.errors import Conflict, Invalid
from approvals.models import KeyMailbox, OutboxEntry, User
from approvals.permissions import check_administer, check_reach, check_start_run
from assistants import actions as assistant_actions
from assistants import keys
from assistants.models import ApiKey, Assistant, Integration, Run, Scope, implied
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.envelope import normalize_address
from mailboxes.models import AllowlistEntry, Mailbox

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
    """The key and its secret, which is shown this once."""
    check_administer(by)
    with transaction.atomic():
        key, secret, entries = make_key(
            owner, name=name, scopes=scopes, mailboxes=mailboxes, all_mailboxes=all_mailboxes
        )
        if expires_at:
            key.expires_at = expires_at
            key.save(update_fields=["expires_at"])
        log.record(*entries, by=by.actor)
    return key, secret


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


def change_key(
    key: ApiKey,
    *,
    name: str | None = None,
    scopes: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    by: User | ApiKey,
) -> None:
    """What is None stays as it is."""
    check_administer(by)
    scopes = key.scopes if scopes is None else scopes
    check_scopes(key.owner, scopes)
    values = {f"may_{scope.value}": scope.value in scopes for scope in Scope}
    changed: dict[str, Any] = {"name": name or key.name, "expires_at": expires_at or key.expires_at, **values}
    with transaction.atomic():
        ApiKey.objects.filter(pk=key.pk).update(**changed)
        details = {"key": key.pk, "name": changed["name"], "scopes": list(scopes)}
        subject = Subject(assistant_id=key.assistant_id or "")
        log.record(Entry(Event.Action.KEY_CHANGED, subject, details), by=by.actor)


def widens(key: ApiKey, scopes: Sequence[str]) -> bool:
    return bool(set(scopes) - set(implied(key.scopes)))


def revoke_key(key: ApiKey, *, by: User | ApiKey) -> None:
    check_administer(by)
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
            subject = Subject(assistant_id=key.assistant_id or "")
            log.record(
                Entry(Event.Action.KEY_REVOKED, subject, {"key": key.pk, "name": key.name}), by=by.actor
            )


def allow(mailbox: Mailbox, pattern: str, *, by: User | ApiKey, note: str = "") -> AllowlistEntry:
    """Let mail to `pattern` (an address or *@domain) skip review while the mailbox is in gated_send."""
    check_administer(by, mailbox)
    pattern = checked_pattern(pattern)
    try:
        with transaction.atomic():
            added = AllowlistEntry.objects.create(mailbox=mailbox, pattern=pattern, note=note[:200])
            details = {"allowed": pattern, "note": note[:200]}
            log.record(
                Entry(Event.Action.MAILBOX_CHANGED, Subject(mailbox_id=mailbox.pk), details), by=by.actor
            )
    except IntegrityError:
        raise Conflict(f"{pattern} is on the allowlist already.") from None
    return added


def checked_pattern(pattern: str) -> str:
    star, text = ("*@", pattern.strip()[2:]) if pattern.strip().startswith("*@") else ("", pattern.strip())
    try:
        address = normalize_address(f"any@{text}" if star else text)
    except ValueError as error:
        raise Invalid([{"field": "pattern", "code": "bad_pattern", "message": str(error)}]) from None
    return f"*@{address.rpartition('@')[2]}" if star else address


def disallow(listed: AllowlistEntry, *, by: User | ApiKey) -> None:
    check_administer(by, listed.mailbox)
    with transaction.atomic():
        if AllowlistEntry.objects.filter(pk=listed.pk).delete()[0]:
            details = {"no_longer_allowed": listed.pattern}
            subject = Subject(mailbox_id=listed.mailbox_id)
            log.record(Entry(Event.Action.MAILBOX_CHANGED, subject, details), by=by.actor)


def start_run(assistant: Assistant, prompt: str, mailbox: Mailbox, *, by: User) -> Run:
    """A run that we drive, started by a person."""
    check_start_run(by, assistant)
    check_reach(by, mailbox)
    check_reach(assistant, mailbox)
    if not prompt.strip():
        raise Invalid([{"field": "prompt", "code": "required", "message": "Say what the run is to do."}])
    if assistant.connection is None:
        message = f"{assistant.name} has no model connection."
        raise Invalid([{"field": "assistant", "code": "no_connection", "message": message}])
    with transaction.atomic():
        run = assistant_actions.plan_run(
            assistant, cause=Run.Cause.PERSON, prompt=prompt, mailbox_id=mailbox.pk
        )
        outbox.enqueue(OutboxEntry.Kind.START_RUN, run.pk)
        log.record(plan_entry(run), by=by.actor)
    return run
