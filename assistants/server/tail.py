"""Reading along with a run: its events as they commit, until it stops.

A reader holds no database connection while it waits. Events of this process wake it; a poll finds
those of others. Whoever stops reading stops nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from assistants.server import objects
from assistants.server.auth import Caller
from assistants.server.errors import ApiError
from assistants.server.models import Run, StreamEvent
from audit import watch

MAX_OPEN = 20  # streams of one key at a time
POLL = 0.25  # seconds
BEAT = 20.0  # seconds between signs of life, which keep proxies from closing the stream
# no blank line after it: some clients take whatever ends in one for an event
STILL_HERE = ": still here\n"
DONE = "event: done\ndata: [DONE]\n\n"
STOPS = (
    Run.Status.REQUIRES_ACTION,
    Run.Status.COMPLETED,
    Run.Status.INCOMPLETE,
    Run.Status.FAILED,
    Run.Status.CANCELLED,
    Run.Status.EXPIRED,
)
LAST = {f"thread.run.{status.value}" for status in STOPS}

_waiters: dict[int, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}
_open: Counter[str] = Counter()
_lock = threading.Lock()


def pulse(run_pk: int) -> None:
    """Wake this process's readers of a run."""
    with _lock:
        waiters = list(_waiters.get(run_pk, ()))
    for loop, event in waiters:
        if not loop.is_closed():
            loop.call_soon_threadsafe(event.set)


def stream(caller: Caller, act: Callable[[], Run]) -> EventStream:
    """Make the call that moves the run, and answer with what then happens to it."""
    name = caller.key.pk if caller.key else caller.assistant.pk
    _take_place(name)
    try:
        return EventStream(act(), name)
    except BaseException:
        _leave_place(name)
        raise


def _take_place(name: str) -> None:
    with _lock:
        if _open[name] >= MAX_OPEN:
            raise ApiError(
                f"More than {MAX_OPEN} streams of this key are open.", 429, code="rate_limit_exceeded", wait=1
            )
        _open[name] += 1


def _leave_place(name: str) -> None:
    with _lock:
        _open[name] -= 1
        if not _open[name]:
            del _open[name]


class EventStream(StreamingHttpResponse):
    def __init__(self, run: Run, name: str) -> None:
        super().__init__(_events(run), content_type="text/event-stream; charset=utf-8")
        self["Cache-Control"] = "no-store"
        self["X-Accel-Buffering"] = "no"
        # a response whose client went away before it began is dropped without being closed
        self._leave = weakref.finalize(self, _leave_place, name)

    def close(self) -> None:
        super().close()
        self._leave()


def _sent(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


async def _events(run: Run) -> AsyncIterator[str]:
    event = asyncio.Event()
    waiter = (asyncio.get_running_loop(), event)
    with _lock:
        _waiters.setdefault(run.pk, set()).add(waiter)
    try:
        async for text in _until_it_stops(run, event):
            yield text
    finally:
        with _lock:
            _waiters[run.pk].discard(waiter)
            if not _waiters[run.pk]:
                del _waiters[run.pk]


async def _until_it_stops(run: Run, changed: asyncio.Event) -> AsyncIterator[str]:
    after, spoke = run.stream_after or 0, time.monotonic()
    while True:
        changed.clear()
        found, closing = await sync_to_async(_look)(run, after)
        for one in found:
            yield _sent(one.name, one.data)
            after, spoke = one.seq, time.monotonic()
            if one.name in LAST:
                closing = ""
                break
        if closing is not None:
            yield closing + DONE
            return
        if time.monotonic() - spoke > BEAT:
            yield STILL_HERE
            spoke = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), POLL)


def _look(run: Run, after: int) -> tuple[list[StreamEvent], str | None]:
    """The events after one, and what else to say if none will follow."""
    try:
        # first the run, then its events: those that came with what was seen of it are then seen too
        now = Run.objects.select_related("thread").filter(pk=run.pk).first()
        found = list(StreamEvent.objects.filter(run=run.pk, seq__gt=after).order_by("seq")[:200])
        return found, _closing(now, found)
    finally:
        watch.let_go()


def _closing(run: Run | None, found: list[StreamEvent]) -> str | None:
    if run is None:
        gone: dict[str, Any] = {"message": "The run was deleted.", "type": "server_error"}
        return _sent("error", json.dumps(gone | {"param": None, "code": None}))
    if found or run.status not in STOPS:
        return None
    # it stopped before anybody streamed it, or its events were swept away
    return _sent(f"thread.run.{run.status}", json.dumps(objects.run(run)))
