"""Celery's worker and schedule in threads of this process.

`celery.Celery.Worker` and `celery beat` take over signals, logging and the terminal. The classes
beneath them do not; they are internal, so requirements pin Celery's minor version and
tests/house/test_background.py pins what is used here.
"""

from __future__ import annotations

import threading
import time

import celery.worker.state
from celery.beat import Scheduler, Service

from config.celery import WakingCelery


class Worker:
    """Takes from the broker what no lane of this process is woken for, such as the sweep."""

    def __init__(self, app: WakingCelery) -> None:
        self._worker = app.WorkController(
            pool="threads", concurrency=2, without_gossip=True, without_mingle=True, without_heartbeat=True
        )
        self._thread = threading.Thread(target=self._worker.start, name="celery-worker", daemon=True)

    def start(self) -> None:
        celery.worker.state.should_stop = None
        self._thread.start()

    def stop(self) -> None:
        # read by the consumer's loop, which then ends in a warm shutdown
        celery.worker.state.should_stop = 0  # type: ignore[assignment]

    def join(self, deadline: float) -> bool:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()


class Schedule:
    """Celery's beat, with the schedule in memory: every entry is due at once after a restart anyway."""

    def __init__(self, app: WakingCelery) -> None:
        # the interval bounds how long it sleeps through a stop
        self._service = Service(app, max_interval=1, scheduler_cls=Scheduler)
        self._thread = threading.Thread(target=self._service.start, name="celery-beat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._service.stop()

    def join(self, deadline: float) -> bool:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()
