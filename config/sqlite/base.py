"""SQLite whose writers within one process queue fairly.

SQLite's own waiting is a sleep loop that starves under load: the newest writer often wins. A lock
around BEGIN IMMEDIATE serves the threads of one process in the order in which they came.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError


class FairLock:
    """First come, first served; `threading.Lock` promises no order."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._queue: deque[threading.Lock] = deque()
        self._held = False

    def acquire(self, timeout: float) -> bool:
        with self._mutex:
            if not self._held:
                self._held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        return turn.acquire(timeout=timeout) or self._leave(turn)

    def _leave(self, turn: threading.Lock) -> bool:
        """Give up waiting; True if the turn came at the last moment after all."""
        with self._mutex:
            if turn in self._queue:
                self._queue.remove(turn)
                return False
        return True

    def release(self) -> None:
        with self._mutex:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._held = False


_writers: dict[str, FairLock] = {}
_registry = threading.Lock()


class DatabaseWrapper(base.DatabaseWrapper):
    _turn: FairLock | None = None

    def _writer_lock(self) -> FairLock:
        with _registry:
            return _writers.setdefault(str(self.settings_dict["NAME"]), FairLock())

    def _start_transaction_under_autocommit(self) -> None:
        turn = self._writer_lock()
        if not turn.acquire(self.settings_dict["OPTIONS"].get("timeout", 20)):
            raise OperationalError("database is locked: the queue of writers did not move")
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            turn.release()
            raise
        self._turn = turn

    def _end_turn(self) -> None:
        if self._turn:
            turn, self._turn = self._turn, None
            turn.release()

    def _commit(self) -> Any:
        # a failed COMMIT is followed by a rollback, which ends the turn
        result = super()._commit()  # type: ignore[misc]
        self._end_turn()
        return result

    def _rollback(self) -> Any:
        try:
            return super()._rollback()  # type: ignore[misc]
        finally:
            self._end_turn()

    def _close(self) -> Any:
        try:
            return super()._close()  # type: ignore[misc]
        finally:
            self._end_turn()
