"""While much mail arrives, reading it gives way to storing it: a peer waits for that, and nobody for this.

In this process only; it changes when something is done, never whether.
"""

from __future__ import annotations

import threading
import time

LULL = 0.2  # seconds without an arrival, after which no more are expected
LONGEST = 0.25  # seconds for which reading one message waits
CROWD = 20  # arrivals in a row that make a rush


class Rush:
    def __init__(self) -> None:
        self._arrived_at = 0.0
        self._in_a_row = 0
        self._never = threading.Event()  # never set: an interruptible pause

    def note(self, arrived: int) -> None:
        now = time.monotonic()
        self._in_a_row = arrived + (self._in_a_row if now - self._arrived_at < LULL else 0)
        self._arrived_at = now

    def is_on(self) -> bool:
        return self._in_a_row >= CROWD and time.monotonic() - self._arrived_at < LULL

    def give_way(self) -> None:
        if self.is_on():
            self._never.wait(LONGEST)


rush = Rush()
