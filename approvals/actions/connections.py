"""Connections: making one, changing it and its secrets, deleting it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import InvalidToken
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from approvals.errors import Conflict, Invalid, NotFound
from approvals.models import ConversationThread, User
from approvals.permissions import check_administer
from assistants.models import Connection, Run
from audit import log
from audit.log import Entry, Subject
from audit.models import Event

Protocol = Connection.Protocol

# by the names of the model's fields
Wanted = Mapping[str, Any]

KEY_OF_ANOTHER = "The API key was for another server: enter it again."
DEFAULT_PORTS = {"http": 80, "https": 443}
SECRETS = ("api_key", "webhook_secret")
NEEDED = {
    Protocol.CHAT_COMPLETIONS: ("base_url", "model"),
    Protocol.SCRIPTED: ("script",),
    Protocol.ASSISTANTS: ("base_url",),
    Protocol.RESPONSES: ("base_url",),
    Protocol.AGENTS: ("base_url",),
}


def create_connection(wanted: Wanted, *, by: User) -> Connection:
    check_administer(by)
    row = Connection()
    with _one_of_a_name(wanted), transaction.atomic():
        log.record(*write_connection(row, wanted), by=by.actor)
    return row


def change_connection(connection: Connection, wanted: Wanted, *, by: User) -> Connection:
    """What `wanted` does not name stays, save the key of another server; an empty secret is cleared."""
    check_administer(by)
    with _one_of_a_name(wanted), transaction.atomic():
        row = Connection.objects.select_for_update(no_key=True).filter(pk=connection.pk).first()
        if row is None:
            raise NotFound(f"Somebody deleted the connection {connection.name} meanwhile.")
        log.record(*write_connection(row, wanted), by=by.actor)
    return row


@contextmanager
def _one_of_a_name(wanted: Wanted) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        message = f"There is a connection called {wanted['name']} already."
        raise Conflict(message, "name_taken") from None


def write_connection(row: Connection, wanted: Wanted) -> list[Entry]:
    """The change without its record, for a caller that has more to do in the same transaction."""
    if wrong := list(objections(row, wanted)):
        raise Invalid({"field": name, "code": "bad", "message": f"{name} {text}."} for name, text in wrong)
    created, moved = row._state.adding, _moves(row, wanted)
    if lost := _loses_key(row, wanted):
        wanted = {**wanted, "api_key": ""}
    plain = {name: value for name, value in wanted.items() if name not in SECRETS}
    changes = {name: value for name, value in plain.items() if created or getattr(row, name) != value}
    secrets = [name for name in SECRETS if name in wanted and wanted[name] != secret_of(row, name)]
    for name in (*changes, *secrets):
        setattr(row, name, wanted[name])
    if created:
        row.save(force_insert=True)
    elif changes or secrets:
        # these columns only: polling counts in another
        row.save(update_fields=[*changes, *(f"{name}_encrypted" for name in secrets)])
    else:
        return []
    if moved:
        _begin_anew(row)
    action = Event.Action.CONNECTION_CREATED if created else Event.Action.CONNECTION_CHANGED
    told = {"connection": row.pk, "name": row.name} | changes | {f"{name}_changed": True for name in secrets}
    if lost:
        told["api_key_cleared"] = KEY_OF_ANOTHER
    return [Entry(action, Subject(), told)]


def objections(row: Connection | None, wanted: Wanted) -> Iterator[tuple[str, str]]:
    """(field, sentence) of what can't be, taken together with what is stored."""
    protocol = wanted.get("protocol", row.protocol if row else "")
    for name in NEEDED.get(protocol, ()):
        if not wanted.get(name, getattr(row, name, "")):
            yield name, f"is required for {protocol}"
    if row and _moves(row, wanted) and row.runs.driven().exclude(status__in=Run.ENDED).exists():
        yield "protocol", f"stays {row.protocol} while runs over it have not ended; make another connection"


def _moves(row: Connection, wanted: Wanted) -> bool:
    """Its runs would be served elsewhere. A script and a model stand behind the same server, ours."""
    new = wanted.get("protocol", row.protocol)
    return (
        not row._state.adding and new != row.protocol and not (row.is_embedded and new in Connection.EMBEDDED)
    )


def _loses_key(row: Connection, wanted: Wanted) -> bool:
    """A stored key goes to the server that it was entered for, or whoever moves the address could read it."""
    if not row.api_key_encrypted or "api_key" in wanted:
        return False
    return _origin(wanted.get("base_url", row.base_url)) != _origin(row.base_url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


def _begin_anew(row: Connection) -> None:
    """What was made at the former far side means nothing at the new one."""
    row.assistants.update(remote_id="")
    ConversationThread.objects.filter(connection=row).delete()


def secret_of(row: Connection, name: str) -> str | None:
    """None if SECRET_KEY has changed since it was stored: nobody can read it any more."""
    try:
        return str(getattr(row, name))
    except InvalidToken:
        return None


def delete_connection(connection: Connection, *, by: User) -> None:
    """Only one that nothing names: the record of a run says where it was served."""
    check_administer(by)
    try:
        with transaction.atomic():
            told = {"connection": connection.pk, "name": connection.name, "deleted": True}
            if Connection.objects.filter(pk=connection.pk).delete()[0]:
                log.record(Entry(Event.Action.CONNECTION_CHANGED, Subject(), told), by=by.actor)
    except ProtectedError:
        raise Conflict(why_kept(connection), "in_use") from None


def why_kept(connection: Connection) -> str:
    """Why it can't be deleted, or "" when it can."""
    used_by = ", ".join(connection.assistants.order_by("name").values_list("name", flat=True))
    if used_by:
        return f"It is used by {used_by}: choose another connection there first."
    if connection.runs.exists():
        return "Runs were served over it, and their record names it, so it stays."
    return ""
