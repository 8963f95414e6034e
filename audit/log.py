"""record(): the only writer of the log."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from audit import watch
from audit.models import Event, Payload

CHAINED = (
    "seq",
    "at",
    "actor",
    "action",
    "mailbox_id",
    "email_id",
    "assistant_id",
    "thread_id",
    "run_id",
    "tool_call_id",
    "payload_hash",
    "prev_hash",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about. Ids are kept as text: the log outlives the rows it names."""

    mailbox_id: str = ""
    email_id: str = ""
    assistant_id: str = ""
    thread_id: str = ""
    run_id: str = ""
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    action: Event.Action
    subject: Subject = Subject()
    payload: Mapping[str, Any] = field(default_factory=dict)


UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(value: Any) -> Any:
    """`value` as JSON that both databases give back as it was, so that its hash stays true.

    PostgreSQL refuses NUL in text, neither takes lone surrogates or NaN, and jsonb turns 1e16 into an
    integer and -0.0 into 0.0.
    """
    if isinstance(value, str):
        return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else value
    return value if value is None or isinstance(value, bool | int) else storable(str(value))


def no_constant(name: str) -> Any:
    """For `json.loads(…, parse_constant=)`: Python reads NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is not JSON")


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode(
        errors="surrogatepass"
    )


def payload_hash(salt: str, body: Any) -> str:
    return hashlib.sha256(salt.encode() + canonical(body)).hexdigest()


def event_hash(event: Event) -> str:
    at: datetime = event.at
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    fields = {name: getattr(event, name) for name in CHAINED} | {"at": moment}
    return hashlib.sha256(canonical(fields)).hexdigest()


# Every action ends in these four, and having the ORM build them takes ten times as long as running them.
HEAD = 'SELECT seq, hash FROM "audit_chainhead" WHERE id = 1'
LINKS = (*CHAINED, "hash")
EVENT = f"INSERT INTO audit_event ({', '.join(LINKS)}) VALUES ({', '.join(['%s'] * len(LINKS))})"  # noqa: S608
PAYLOAD = "INSERT INTO audit_payload (event_id, salt, body) VALUES (%s, %s, %s)"
MOVE_HEAD = 'UPDATE "audit_chainhead" SET seq = %s, hash = %s WHERE id = 1'


def record(*entries: Entry, by: str) -> None:
    """Append `entries` in the name of `by`. Call once per action, last in its transaction.

    Last, because it takes the lock on the chain's head, which every writer waits for.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("record() belongs at the end of a transaction")
    if not entries:
        return
    with connection.cursor() as cursor:
        cursor.execute(HEAD + (" FOR UPDATE" if connection.features.has_select_for_update else ""))
        seq, last_hash = cursor.fetchone()
        events = []
        for entry in entries:
            events.append(_link(seq, last_hash, entry, by))
            seq, last_hash = events[-1].seq, events[-1].hash
        cursor.executemany(EVENT, [_event_row(event) for event in events])
        cursor.executemany(PAYLOAD, [_payload_row(event.payload) for event in events])
        cursor.execute(MOVE_HEAD, (seq, last_hash))
    transaction.on_commit(watch.pulse)


def _link(seq: int, last_hash: str, entry: Entry, by: str) -> Event:
    """The event after number `seq`, with its payload."""
    salt = secrets.token_hex(16)
    body = storable(entry.payload)
    event = Event(
        seq=seq + 1,
        at=timezone.now(),
        actor=storable(by),
        action=entry.action.value,
        payload_hash=payload_hash(salt, body),
        prev_hash=last_hash,
        **{name: storable(getattr(entry.subject, name)) for name in Subject.__slots__},
    )
    event.hash = event_hash(event)
    event.payload = Payload(event=event, salt=salt, body=body)
    return event


def _event_row(event: Event) -> list[Any]:
    row = {name: getattr(event, name) for name in LINKS}
    return list((row | {"at": connection.ops.adapt_datetimefield_value(event.at)}).values())


def _payload_row(payload: Payload) -> tuple[int, str, Any]:
    return payload.event_id, payload.salt, connection.ops.adapt_json_value(payload.body, None)
