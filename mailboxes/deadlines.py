"""Cuts what takes too long. One thread watches for the whole process, and sleeps while all is in time."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AGAIN = 0.2  # seconds

log = logging.getLogger("counterseal.deadlines")


class Step:
    def __init__(self, due: float, cut: Callable[[], None]) -> None:
        self.due, self.cut = due, cut


class Watch:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._steps: set[Step] = set()
        self._looks_at = math.inf
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` when the block has taken longer; never once it has ended. `cut` must not wait.

        It is called again and again, because what it is to cut may come into being only after its time.
        """
        step = Step(time.monotonic() + seconds, cut)
        with self._changed:
            self._steps.add(step)
            if step.due < self._looks_at or not self._is_awake():
                self._wake()
        try:
            yield
        finally:
            with self._changed:
                self._steps.discard(step)

    def _is_awake(self) -> bool:
        # in a forked child it is not, whatever the parent's looks at
        return self._thread is not None and self._thread.is_alive()

    def _wake(self) -> None:
        if not self._is_awake():
            self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                self._cut_late()
                self._looks_at = min((step.due for step in self._steps), default=math.inf)
                # looking too early, for a step that has long ended, is cheaper than being told of each end
                left = None if math.isinf(self._looks_at) else self._looks_at - time.monotonic()
                self._changed.wait(left if left is None else max(0.0, left))

    def _cut_late(self) -> None:
        now = time.monotonic()
        for step in self._steps:
            if step.due <= now:
                step.due = now + AGAIN
                self._cut(step)

    def _cut(self, step: Step) -> None:
        try:
            step.cut()
        except Exception:
            # every other step has its deadline all the same
            log.exception("what took too long could not be cut")


watch = Watch()
