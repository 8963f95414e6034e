"""Promised effects: written with their cause, claimed under a lease, drained by whoever comes.

Generic: it knows no handler. The row is the truth; a nudge only makes it prompt. Where the worker is a
thread of the same process, the row is written with its lease, and the worker need not look for it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import DateTimeField, F, Q, QuerySet
from django.utils import timezone

from approvals.models import OutboxEntry
from audit import nudge
from audit.prepared import Change, Rows, Slot

LEASE = timedelta(seconds=15)
RENEW_EVERY = 5.0  # seconds
LONGEST_WAIT = timedelta(hours=1)
# who works on it: what waits for a mail server or a run server keeps nothing else waiting
TASKS = {
    OutboxEntry.Kind.DELIVER_EMAIL: "approvals.tasks.deliver",
    OutboxEntry.Kind.MAIL_CODE: "approvals.tasks.deliver",
    OutboxEntry.Kind.MAIL_STOPPED: "approvals.tasks.deliver",
    OutboxEntry.Kind.MAIL_SIGN_IN: "approvals.tasks.deliver",
    OutboxEntry.Kind.POST_WEBHOOK: "approvals.tasks.post",
    OutboxEntry.Kind.RECEIVE_EMAIL: "approvals.tasks.receive",
    OutboxEntry.Kind.RESUME_RUN: "approvals.tasks.drive",
    OutboxEntry.Kind.START_RUN: "approvals.tasks.drive",
}
OTHERS = "approvals.tasks.drain"
# what stands between a decision and its run; few at a time, so that none outlives its lease in the line
HANDED = (OutboxEntry.Kind.DELIVER_EMAIL, OutboxEntry.Kind.RESUME_RUN)
MOST_HANDED = 8

Handler = Callable[[OutboxEntry], None]
log = logging.getLogger("counterseal.outbox")


class TryAgain(Exception):
    """The effect did not happen yet. `delay` overrides the backoff."""

    def __init__(self, why: str, delay: timedelta | None = None) -> None:
        super().__init__(why)
        self.delay = delay


def worker_name() -> str:
    """Stable across restarts only where settings.WORKER_NAME says so (`up` does)."""
    return settings.WORKER_NAME or f"{socket.gethostname()}:{os.getpid()}"[:80]


def enqueue(kind: OutboxEntry.Kind, ref: str, *, due_at: datetime | None = None) -> None:
    """Promise the effect `kind` on `ref`, in the transaction of its cause.

    An open entry for the same is moved to the new time instead: effects are level-triggered. One
    that is being worked on runs again, because its end asks whether `due_at` is still its own.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("enqueue() belongs into the transaction of its cause")
    now, task = timezone.now(), TASKS.get(kind, OTHERS)
    here = (
        due_at is None and kind in HANDED and nudge.is_heard_here(task) and len(_handed[task]) < MOST_HANDED
    )
    promise = OutboxEntry(kind=kind, ref=ref, due_at=due_at or now, created_at=now)
    if here:
        promise.attempts, promise.leased_by, promise.leased_until = 1, worker_name(), now + LEASE
    if _write(promise) and here:
        transaction.on_commit(lambda: _handed[task].append(promise))
    nudge.on_commit(task)


def enqueue_new(kind: OutboxEntry.Kind, refs: Sequence[str]) -> None:
    """Promise `kind` on rows that were made in this very transaction: nobody can have promised it before."""
    if not connection.in_atomic_block:
        raise RuntimeError("enqueue_new() belongs into the transaction of its cause")
    now = timezone.now()
    OutboxEntry.objects.bulk_create(OutboxEntry(kind=kind, ref=ref, due_at=now) for ref in refs)
    nudge.on_commit(TASKS.get(kind, OTHERS))


# one statement, where the ORM would take four: look, and a savepoint around an INSERT that may find another's
WRITTEN = ("kind", "ref", "due_at", "attempts", "leased_by", "leased_until", "last_error", "created_at")
WRITE = f"""
    INSERT INTO approvals_outboxentry ({", ".join(WRITTEN)}) VALUES ({", ".join(["%s"] * len(WRITTEN))})
    ON CONFLICT (kind, ref) WHERE done_at IS NULL DO UPDATE SET due_at = excluded.due_at
    RETURNING id, due_at = created_at
"""  # noqa: S608


def _write(promise: OutboxEntry) -> bool:
    """True if it is new, and not an open one with another time."""
    fields: list[Any] = [OutboxEntry._meta.get_field(name) for name in WRITTEN]
    values = [field.get_db_prep_save(getattr(promise, field.attname), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(WRITE, values)
        promise.pk, is_new = cursor.fetchone()
    return bool(is_new)


# what a worker of this process was promised with its lease, and need not look for
_handed: defaultdict[str, deque[OutboxEntry]] = defaultdict(deque)


def _take(kinds: Iterable[OutboxEntry.Kind]) -> OutboxEntry | None:
    """One that was handed over, unless its lease may end before it is renewed: that one is claimed anew."""
    latest = timezone.now() + LEASE / 2
    for task in {TASKS.get(kind, OTHERS) for kind in kinds}:
        while (waiting := _handed[task]) and (entry := _pop(waiting)):
            if entry.leased_until and entry.leased_until > latest:
                return entry
    return None


def _pop(waiting: deque[OutboxEntry]) -> OutboxEntry | None:
    try:
        return waiting.popleft()
    except IndexError:  # another thread was quicker
        return None


def withdraw(kind: OutboxEntry.Kind, ref: str) -> None:
    _open(kind, ref).update(done_at=timezone.now(), last_error="withdrawn")


def due_tasks(now: datetime) -> list[str]:
    """The tasks that have something to do."""
    due = OutboxEntry.objects.filter(done_at=None, due_at__lte=now)
    kinds = due.values_list("kind", flat=True).distinct()
    return sorted({TASKS.get(OutboxEntry.Kind(kind), OTHERS) for kind in kinds})


def _open(kind: OutboxEntry.Kind, ref: str) -> QuerySet[OutboxEntry]:
    return OutboxEntry.objects.filter(kind=kind, ref=ref, done_at=None)


def claim(kinds: Iterable[OutboxEntry.Kind]) -> OutboxEntry | None:
    """Lease one due entry. Its `attempts` is the fence: one conditional UPDATE decides who has it."""
    now = timezone.now()
    for entry in _due(kinds, now):
        lease = {"leased_by": worker_name(), "leased_until": now + LEASE}
        # one statement would do, but on SQLite writers queue fairly only where a transaction begins
        with transaction.atomic():
            won = _lease.run(pk=entry.pk, attempts=entry.attempts, now=now, **lease)
        if won:
            entry.attempts += 1
            return entry
    return None


def _free() -> Q:
    return Q(leased_until=None) | Q(leased_until__lte=Slot("now", DateTimeField()))


def _due(kinds: Iterable[OutboxEntry.Kind], now: datetime) -> list[OutboxEntry]:
    return _due_among(tuple(kinds)).all(now=now)


@lru_cache
def _due_among(kinds: tuple[OutboxEntry.Kind, ...]) -> Rows[OutboxEntry]:
    now = Slot("now", DateTimeField())
    due = OutboxEntry.objects.filter(_free(), kind__in=kinds, due_at__lte=now, done_at=None)
    return Rows(lambda: due.order_by("due_at")[:20])


_lease = Change(
    lambda: OutboxEntry.objects.filter(_free(), pk=Slot("pk"), attempts=Slot("attempts"), done_at=None),
    attempts=F("attempts") + 1,
    leased_by=Slot("leased_by"),
    leased_until=Slot("leased_until", DateTimeField()),
)


def held(entry: OutboxEntry) -> Q:
    """The condition that this worker still holds the entry, for a fenced UPDATE elsewhere."""
    return Q(pk=entry.pk, attempts=entry.attempts, done_at=None)


def drain(handlers: Mapping[OutboxEntry.Kind, Handler]) -> int:
    """Work until nothing is due. Returns how many entries were worked on."""
    worked = 0
    while entry := _take(handlers) or claim(handlers):
        worked += 1
        with _renewer.renewing(entry):
            _work(entry, handlers[OutboxEntry.Kind(entry.kind)])
    return worked


def _work(entry: OutboxEntry, handler: Handler) -> None:
    try:
        handler(entry)
    except TryAgain as later:
        _put_back(entry, str(later), later.delay)
    except Exception as error:
        log.exception("%s failed", entry)
        _put_back(entry, f"{type(error).__name__}: {error}", None)
    else:
        if entry.done_at is None:
            _finish(entry)


_end = Change(
    lambda: OutboxEntry.objects.filter(
        pk=Slot("pk"), attempts=Slot("attempts"), done_at=None, due_at=Slot("due_at", DateTimeField())
    ),
    done_at=Slot("now", DateTimeField()),
    leased_until=None,
    last_error="",
)


def finish(entry: OutboxEntry) -> bool:
    """For a handler, in the transaction of the outcome: one commit less, and no work after it.

    False if it was asked for again meanwhile, or is no longer ours; `drain` then sees to it.
    """
    now = timezone.now()
    if not _end.run(pk=entry.pk, attempts=entry.attempts, due_at=entry.due_at, now=now):
        return False
    entry.done_at = now
    return True


@transaction.atomic
def _finish(entry: OutboxEntry) -> None:
    if not finish(entry):
        # asked for again meanwhile (or no longer ours, and then this changes nothing)
        OutboxEntry.objects.filter(held(entry)).update(leased_until=None)


@transaction.atomic
def _put_back(entry: OutboxEntry, why: str, delay: timedelta | None) -> None:
    delay = backoff(entry.attempts) if delay is None else delay
    mine = OutboxEntry.objects.filter(held(entry))
    if not mine.filter(due_at=entry.due_at).update(
        due_at=timezone.now() + delay, leased_until=None, last_error=why[:1000]
    ):
        mine.update(leased_until=None, last_error=why[:1000])


def backoff(attempts: int) -> timedelta:
    """1 s, 2 s, 4 s … an hour."""
    return min(timedelta(seconds=2 ** min(attempts - 1, 12)), LONGEST_WAIT)


def free_leases() -> int:
    """Give up what a former process of this name held; for a worker that starts anew."""
    return OutboxEntry.objects.filter(leased_by=worker_name(), done_at=None).update(leased_until=None)


class Renewer:
    """Renews the leases of this process while their entries are worked on; asleep otherwise."""

    def __init__(self) -> None:
        self._held: dict[int, OutboxEntry] = {}
        self._changed = threading.Condition()
        self._tick = threading.Event()  # never set: an interruptible pause
        self._thread: threading.Thread | None = None

    def renewing(self, entry: OutboxEntry) -> Renewing:
        return Renewing(self, entry)

    def add(self, entry: OutboxEntry) -> None:
        with self._changed:
            self._held[entry.pk] = entry
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lease-renewer", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, entry: OutboxEntry) -> None:
        with self._changed:
            self._held.pop(entry.pk, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held)
            self._tick.wait(RENEW_EVERY)
            with self._changed:
                entries = list(self._held.values())
            try:
                for entry in entries:
                    # not one that was given back since the list was made
                    leased = OutboxEntry.objects.filter(held(entry), leased_until__isnull=False)
                    leased.update(leased_until=timezone.now() + LEASE)
            except Exception:
                log.exception("leases were not renewed")
            finally:
                connection.close()


class Renewing:
    def __init__(self, renewer: Renewer, entry: OutboxEntry) -> None:
        self._renewer, self._entry = renewer, entry

    def __enter__(self) -> None:
        self._renewer.add(self._entry)

    def __exit__(self, *exc: object) -> None:
        self._renewer.remove(self._entry)


_renewer = Renewer()
