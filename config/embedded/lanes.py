"""Worker threads that wait on in-process events.

Each lane runs one task and has threads of its own, so that a slow model never delays an approved
mail. Nothing is handed over with a wake: the task itself looks for what is due, and a wake that
comes while it works makes it look once more.
"""

from __future__ import annotations

import logging
import threading
import time

from django.db import connections

from config.celery import WakingCelery

log = logging.getLogger("counterseal.embedded")

# the name of the task, and how many threads may work on it at once
LANES = {
    "approvals.tasks.deliver": 2,
    # a flood of mail that comes in keeps nothing else waiting
    "approvals.tasks.receive": 2,
    "approvals.tasks.drain": 2,
    # a receiver that hangs holds two of them at most (approvals/effects/posting.py)
    "approvals.tasks.post": 6,
    # a run server that hangs holds a thread until its timeout
    "approvals.tasks.drive": 4,
    "approvals.tasks.sync_runs": 4,
    "assistants.server.tasks.advance_runs": 4,
}


class Lane:
    def __init__(self, app: WakingCelery, task: str, threads: int) -> None:
        self.app, self.task = app, task
        self._changed = threading.Condition()
        self._wakes = 0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{task}-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        self.app.wakers[self.task] = self.wake
        self._wakes += 1  # each looks once
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """One thread is enough for one thing that is new; the others would look too, and find nothing."""
        with self._changed:
            self._wakes += 1
            self._changed.notify()

    def stop(self) -> None:
        """Take no new turn. What is at work goes on; see `join`."""
        self.app.wakers.pop(self.task, None)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, deadline: float) -> bool:
        """Wait for the work in flight until `deadline` (monotonic); True when all of it has ended."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        seen = 0
        while (wakes := self._wait(seen)) is not None:
            seen = wakes
            self._turn()

    def _wait(self, seen: int) -> int | None:
        """The number of wakes once it is no longer `seen`; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._wakes != seen)
            return None if self._stopping else self._wakes

    def _turn(self) -> None:
        try:
            self.app.tasks[self.task]()
        except Exception:
            log.exception("%s failed; the sweep tries again", self.task)
        finally:
            connections.close_all()
