"""SQLite whose writers within one process queue fairly, and whose connections are used again.

SQLite's own waiting is a sleep loop that starves under load: the newest writer often wins. A lock
around BEGIN IMMEDIATE serves the threads of one process in the order in which they came.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections import deque
from functools import lru_cache
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

from config.sqlite.spares import spares


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


class Cursor(base.SQLiteCursorWrapper):
    """Turns `%s` into `?` once for each statement: the same few hundred come again and again."""

    convert_query = lru_cache(maxsize=1024)(base.SQLiteCursorWrapper.convert_query)


class DatabaseWrapper(base.DatabaseWrapper):
    _turn: FairLock | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    @property
    def _database(self) -> str:
        return str(self.settings_dict["NAME"])

    def _writer_lock(self) -> FairLock:
        with _registry:
            return _writers.setdefault(self._database, FairLock())

    def get_new_connection(self, conn_params: Any) -> sqlite3.Connection:
        return spares.take(self._database) or super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.connection.cursor(factory=Cursor)
        self._cursors.add(cursor)
        return cursor

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
            cursors, self._cursors = list(self._cursors), weakref.WeakSet()
            if not self._rests(cursors):
                return super()._close()  # type: ignore[misc]
        finally:
            self._end_turn()

    def _rests(self, cursors: list[sqlite3.Cursor]) -> bool:
        """Put the connection by as it was when it was new, for whoever comes next; not one that failed."""
        if self.connection is None or self.errors_occurred:
            return False
        try:
            # one that was not read to its end would pin what the next one gets to see
            for cursor in cursors:
                cursor.close()
            if self.connection.in_transaction:
                self.connection.rollback()
            # whoever had it may have turned them off, as migrations and fixtures do
            self.connection.execute("PRAGMA foreign_keys = ON").close()
            # within a transaction, and while a statement is under way, that does nothing and says nothing
            if self.connection.execute("PRAGMA foreign_keys").fetchall() != [(1,)]:
                return False
        except sqlite3.Error:
            return False
        return spares.keep(self._database, self.connection)
