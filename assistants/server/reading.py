"""A model, read in a thread of its own, so that who waits for it can meanwhile show what has come, renew
its lease, and notice a cancel.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import Self

from assistants.server.turn import Answer, Closing, Piece


class Reading:
    def __init__(self, answer: Answer) -> None:
        self.is_over = False
        self.error: Exception | None = None  # why it is over, if not by its end
        self._answer = answer
        self._queue: SimpleQueue[Piece | Closing | Exception | None] = SimpleQueue()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._read, name="model", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        # one that is still silent is not waited for: its thread ends with the next word, or the timeout
        self._given_up.set()

    def _read(self) -> None:
        try:
            for part in self._answer:
                self._queue.put(part)
                if self._given_up.is_set():
                    return
            self._queue.put(None)
        except Exception as error:
            self._queue.put(error)

    def wait(self, seconds: float) -> list[Piece | Closing]:
        """What has come; the first of it is waited for."""
        parts: list[Piece | Closing] = []
        try:
            self._sort(self._queue.get(timeout=seconds), parts)
            while not self.is_over:
                self._sort(self._queue.get_nowait(), parts)
        except Empty:
            pass
        return parts

    def _sort(self, item: Piece | Closing | Exception | None, parts: list[Piece | Closing]) -> None:
        if item is None or isinstance(item, Exception):
            self.is_over, self.error = True, item
        else:
            parts.append(item)
