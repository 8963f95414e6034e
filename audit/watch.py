"""Waiting for something to happen, without holding a database connection.

Every committed action ends in `record()`, so the head of the chain is the one counter that moves
with everything a page shows. Waiters in this process are woken by `pulse()`; a slow poll of the
head finds what other processes did.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from asgiref.sync import sync_to_async
from django.db import connections

from audit.models import ChainHead

_waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
_lock = threading.Lock()


def pulse() -> None:
    with _lock:
        waiters = list(_waiters)
    for loop, event in waiters:
        if not loop.is_closed():
            loop.call_soon_threadsafe(event.set)


def head() -> int:
    """The number of the newest event."""
    return ChainHead.objects.values_list("seq", flat=True).get(pk=1)


def let_go() -> None:
    """Give this thread's database connections back: nobody may hold one while waiting."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


def _look() -> int:
    try:
        return head()
    finally:
        let_go()


async def changed(after: int, *, timeout: float, poll: float = 1.0) -> int:
    """Wait until something was recorded after event `after`, at most `timeout` seconds.

    Returns the number of the newest event, which equals `after` when nothing happened.
    """
    event = asyncio.Event()
    waiter = (asyncio.get_running_loop(), event)
    with _lock:
        _waiters.add(waiter)
    try:
        return await _until_changed(after, event, timeout, poll)
    finally:
        with _lock:
            _waiters.discard(waiter)


async def _until_changed(after: int, event: asyncio.Event, timeout: float, poll: float) -> int:
    end = asyncio.get_running_loop().time() + timeout
    while True:
        event.clear()
        seq: int = await sync_to_async(_look)()
        left = end - asyncio.get_running_loop().time()
        if seq != after or left <= 0:
            return seq
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), min(poll, left))
