"""record(): the only writer of the log."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from audit import watch
from audit.models import ChainHead, Event, Payload

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


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode()


def payload_hash(salt: str, body: Any) -> str:
    return hashlib.sha256(salt.encode() + canonical(body)).hexdigest()


def event_hash(event: Event) -> str:
    fields = {name: getattr(event, name) for name in CHAINED} | {"at": event.at.isoformat()}
    return hashlib.sha256(canonical(fields)).hexdigest()


def record(*entries: Entry, by: str) -> None:
    """Append `entries` in the name of `by`. Call once per action, last in its transaction.

    Last, because it takes the lock on the chain's head, which every writer waits for.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("record() belongs at the end of a transaction")
    head = ChainHead.objects.select_for_update().get(pk=1)
    events, payloads = [], []
    for entry in entries:
        event, payload = _link(head, entry, by)
        events.append(event)
        payloads.append(payload)
    Event.objects.bulk_create(events)
    Payload.objects.bulk_create(payloads)
    head.save(update_fields=["seq", "hash"])
    transaction.on_commit(watch.pulse)


def _link(head: ChainHead, entry: Entry, by: str) -> tuple[Event, Payload]:
    salt = secrets.token_hex(16)
    body = json.loads(canonical(entry.payload))
    event = Event(
        seq=head.seq + 1,
        at=timezone.now(),
        actor=by,
        action=entry.action,
        payload_hash=payload_hash(salt, body),
        prev_hash=head.hash,
        **{name: getattr(entry.subject, name) for name in Subject.__slots__},
    )
    event.hash = event_hash(event)
    head.seq, head.hash = event.seq, event.hash
    return event, Payload(event=event, salt=salt, body=body)
