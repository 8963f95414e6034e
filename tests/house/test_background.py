"""What `up` uses of Celery's internals: a worker and a schedule in threads that leave signals alone."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from config.celery import WakingCelery
from config.celery import app as celery_app
from config.embedded.background import Schedule, Worker


@dataclass
class Ticking:
    """An app on a broker in memory, with a schedule whose one task says that it ran."""

    app: WakingCelery
    ran: threading.Event


@pytest.fixture
def ticking() -> Iterator[Ticking]:
    app, ran = WakingCelery("tests", broker="memory://localhost", set_as_current=False), threading.Event()
    app.conf.beat_schedule = {"tick": {"task": "tests.tick", "schedule": 0.1}}
    app.conf.task_ignore_result = True
    app.conf.worker_enable_remote_control = False

    @app.task(name="tests.tick", shared=False)
    def tick() -> None:
        ran.set()

    # the threads of a pool look their tasks up in the process's default app
    app.set_default()
    yield Ticking(app, ran)
    celery_app.set_default()


def test_the_schedule_reaches_the_worker_and_both_stop(ticking: Ticking) -> None:
    parts: list[Worker | Schedule] = [Worker(ticking.app), Schedule(ticking.app)]
    for part in parts:
        part.start()
    assert ticking.ran.wait(20)
    for part in parts:
        part.stop()
    deadline = time.monotonic() + 20
    assert all(part.join(deadline) for part in parts)


def test_the_worker_leaves_signals_alone(ticking: Ticking) -> None:
    watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT)
    before = [signal.getsignal(sig) for sig in watched]
    worker = Worker(ticking.app)
    worker.start()
    ticking.app.send_task("tests.tick")
    assert ticking.ran.wait(20)
    worker.stop()
    assert worker.join(time.monotonic() + 20)
    assert [signal.getsignal(sig) for sig in watched] == before


def test_a_task_with_a_lane_goes_past_the_broker(ticking: Ticking) -> None:
    woken = threading.Event()
    ticking.app.wakers["tests.tick"] = woken.set
    schedule = Schedule(ticking.app)
    schedule.start()
    assert woken.wait(20)
    schedule.stop()
    assert schedule.join(time.monotonic() + 20)
    assert not ticking.ran.is_set()
