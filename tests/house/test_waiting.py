"""Waking up: what waits learns what happened, and a lost nudge costs promptness only."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from django.db import connection, transaction

from audit import log, nudge, watch
from audit.log import Entry
from audit.models import Event
from config.celery import WakingCelery
from config.celery import app as celery_app
from config.embedded.lanes import Lane

T = TypeVar("T")


def record() -> None:
    with transaction.atomic():
        log.record(Entry(Event.Action.ACCOUNT_CHANGED), by="test")


async def watch_while(act: threading.Thread, *, poll: float) -> tuple[int, float]:
    before = await asyncio.to_thread(in_own_connection, watch.head)
    began = time.monotonic()
    waiting = asyncio.create_task(watch.changed(before, timeout=20, poll=poll))
    await asyncio.sleep(0)
    act.start()
    after = await waiting
    return after - before, time.monotonic() - began


def in_own_connection(function: Callable[[], T]) -> T:
    try:
        return function()
    finally:
        connection.close()


def test_a_waiter_is_woken_by_a_commit_at_once(transactional_db: None) -> None:
    act = threading.Thread(target=in_own_connection, args=(record,))
    steps, took = asyncio.run(watch_while(act, poll=20))
    act.join(5)
    assert steps == 1
    assert took < 10


def test_what_another_process_did_is_found_by_polling(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "pulse", lambda: None)
    act = threading.Thread(target=in_own_connection, args=(record,))
    steps, _ = asyncio.run(watch_while(act, poll=0.05))
    act.join(5)
    assert steps == 1


def test_a_rolled_back_action_wakes_nobody(transactional_db: None) -> None:
    with transaction.atomic():
        log.record(Entry(Event.Action.ACCOUNT_CHANGED), by="test")
        transaction.set_rollback(True)
    head = watch.head()
    assert asyncio.run(watch.changed(head, timeout=0.05)) == head


def test_waiting_leaves_nothing_behind(transactional_db: None) -> None:
    asyncio.run(watch.changed(watch.head(), timeout=0.01))
    assert not watch._waiters


@pytest.fixture
def wakes() -> Iterator[list[str]]:
    names: list[str] = []
    celery_app.wakers["tests.lane"] = lambda: names.append("tests.lane")
    yield names
    del celery_app.wakers["tests.lane"]


def test_a_nudge_waits_for_the_commit(transactional_db: None, wakes: list[str]) -> None:
    with transaction.atomic():
        nudge.on_commit("tests.lane")
        assert wakes == []
    assert wakes == ["tests.lane"]


def test_a_nudge_of_a_rolled_back_action_is_dropped(transactional_db: None, wakes: list[str]) -> None:
    with transaction.atomic():
        nudge.on_commit("tests.lane")
        transaction.set_rollback(True)
    assert wakes == []


def test_a_lost_nudge_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise ConnectionError("no broker")

    celery_app.wakers["tests.lane"] = broken
    try:
        nudge.now("tests.lane")
    finally:
        del celery_app.wakers["tests.lane"]
    assert "nudge tests.lane lost" in caplog.text


class Recorder:
    """A task that says when it was entered, and waits until it may leave."""

    def __init__(self, app: WakingCelery, *, fail_first: bool = False) -> None:
        self.entered = threading.Semaphore(0)
        self.may_leave = threading.Semaphore(0)
        self.turns = 0
        self.fail_first = fail_first
        app.task(name="tests.work", shared=False)(self._run)

    def _run(self) -> None:
        self.turns += 1
        self.entered.release()
        assert self.may_leave.acquire(timeout=10)
        if self.fail_first and self.turns == 1:
            raise ValueError("the first turn fails")


@pytest.fixture
def own_app() -> WakingCelery:
    return WakingCelery("tests", set_as_current=False)


def test_a_wake_during_work_leads_to_one_more_turn(own_app: WakingCelery) -> None:
    work = Recorder(own_app)
    lane = Lane(own_app, "tests.work", threads=1)
    lane.start()
    assert work.entered.acquire(timeout=10)
    own_app.send_task("tests.work")
    own_app.send_task("tests.work")
    work.may_leave.release()
    assert work.entered.acquire(timeout=10)
    work.may_leave.release()
    lane.stop()
    assert lane.join(time.monotonic() + 10)
    assert work.turns == 2


def test_a_failing_task_does_not_end_its_lane(
    own_app: WakingCelery, caplog: pytest.LogCaptureFixture
) -> None:
    work = Recorder(own_app, fail_first=True)
    lane = Lane(own_app, "tests.work", threads=1)
    lane.start()
    assert work.entered.acquire(timeout=10)
    lane.wake()
    work.may_leave.release()
    assert work.entered.acquire(timeout=10)
    assert "tests.work failed" in caplog.text
    work.may_leave.release()
    lane.stop()
    assert lane.join(time.monotonic() + 10)


def test_a_slow_turn_does_not_keep_the_others_waiting(own_app: WakingCelery) -> None:
    work = Recorder(own_app)
    lane = Lane(own_app, "tests.work", threads=2)
    lane.start()
    assert work.entered.acquire(timeout=10)
    assert work.entered.acquire(timeout=10)
    lane.stop()
    assert not lane.join(time.monotonic())
    work.may_leave.release(2)
    assert lane.join(time.monotonic() + 10)
