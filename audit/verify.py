"""Is the log as it was written? Names the first event that isn't.

Whoever may change every table can write a whole new chain; what this finds is every change of the one
that there is. Keeping the head's hash elsewhere makes the former visible too.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DatabaseError

from audit.log import event_hash, payload_hash
from audit.models import ChainHead, Event, Payload

CHUNK = 500
# what reading a row with tampered columns can raise: SQLite stores anything in any column
UNREADABLE = (DatabaseError, ValueError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`checked` events are good; `first_bad` is the number of the first one that isn't."""

    checked: int
    first_bad: int | None = None
    sentence: str = ""

    @property
    def ok(self) -> bool:
        return self.first_bad is None


def verify() -> Verdict:
    """Walk the chain from its first event to its head, a chunk at a time, without stopping writers."""
    # read before the walk: what is written meanwhile lies beyond this head, and is left for next time
    head = ChainHead.objects.filter(pk=1).first()
    if head is None:
        return Verdict(0, 0, "The head of the chain is missing.")
    checked, last_hash = 0, ""
    events = Event.objects.filter(seq__lte=head.seq).order_by("seq").select_related("payload")
    try:
        for event in events.iterator(chunk_size=CHUNK):
            wrong = _wrong(event, checked + 1, last_hash)
            if wrong:
                return Verdict(checked, checked + 1, wrong)
            checked, last_hash = checked + 1, event.hash
    except UNREADABLE as error:
        return Verdict(checked, checked + 1, f"Event {checked + 1} or one soon after cannot be read: {error}")
    return _ends_at(head, checked, last_hash)


def _wrong(event: Event, seq: int, last_hash: str) -> str:
    if event.seq != seq:
        return f"Event {seq} is missing: event {event.seq} stands in its place."
    if event.prev_hash != last_hash:
        return f"Event {seq} does not continue the event before it."
    if event.hash != event_hash(event):
        return f"Event {seq} was changed: it does not have the hash that it was written with."
    return _wrong_payload(event)


def _wrong_payload(event: Event) -> str:
    try:
        payload = event.payload
    except Payload.DoesNotExist:
        return f"The payload of event {event.seq} is missing; an erased one would have left its row."
    if payload.body is not None and payload_hash(payload.salt, payload.body) != event.payload_hash:
        return f"The payload of event {event.seq} was changed."
    return ""


def _ends_at(head: ChainHead, checked: int, last_hash: str) -> Verdict:
    if checked < head.seq:
        missing = f"Event {checked + 1} is missing: the head of the chain is at {head.seq}."
        return Verdict(checked, checked + 1, missing)
    if last_hash != head.hash:
        return Verdict(
            checked, head.seq, f"The head of the chain does not have the hash of event {head.seq}."
        )
    # one statement, hence one moment, in which no writer stands between the event and the head
    beyond = (
        Event.objects.filter(seq__gt=ChainHead.objects.filter(pk=1).values("seq")).order_by("seq").first()
    )
    if beyond:
        return Verdict(checked, beyond.seq, f"Event {beyond.seq} stands beyond the head of the chain.")
    return Verdict(checked)
