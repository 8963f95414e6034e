"""Open connections that nobody uses at the moment.

Opening one reads the whole schema, and closing the last one writes the log back into the database:
each costs more than most of what is done in between. So a connection that is closed rests here, and
the next one to be opened in this process is that one.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading

MOST = 16  # at rest; more were open at once in a rush that is over

Key = tuple[int, str]  # no connection may cross a fork


class Spares:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._resting: dict[Key, list[sqlite3.Connection]] = {}

    def take(self, database: str) -> sqlite3.Connection | None:
        """The one that rested last, whose memory is warm."""
        with self._lock:
            resting = self._resting.get((os.getpid(), database))
            return resting.pop() if resting else None

    def keep(self, database: str, connection: sqlite3.Connection) -> bool:
        with self._lock:
            resting = self._resting.setdefault((os.getpid(), database), [])
            if len(resting) >= MOST:
                return False
            resting.append(connection)
        return True

    def close(self) -> None:
        """At the end of the process, so that no log is left beside the database."""
        with self._lock:
            for (process, _), resting in self._resting.items():
                while process == os.getpid() and resting:
                    resting.pop().close()


spares = Spares()
atexit.register(spares.close)
