"""Connections to mail servers that wait a moment for the next message."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mailboxes.smtp import DeliveryError, Server, Session

REST = 10.0  # seconds; servers allow from ten seconds to five minutes between two commands


class Pool:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        # newest last, each with the moment at which it is closed
        self._resting: defaultdict[Server, list[tuple[float, Session]]] = defaultdict(list)
        self._timer: threading.Timer | None = None

    @contextmanager
    def offered(
        self, server: Server, sender: str, recipients: Sequence[str], timeout: float, envelope_id: str = ""
    ) -> Iterator[Session]:
        """A session by which sender and recipients are accepted; kept if its message was taken."""
        session = self._again(server, sender, recipients, envelope_id) or Session(server, timeout)
        try:
            if not session.steps:
                session.open()
                session.address(sender, recipients, envelope_id)
            yield session
        finally:
            if session.is_ready:
                self._keep(server, session)
            else:
                session.close()

    def forget(self) -> None:
        """In a forked child: the connections are the parent's."""
        self.__init__()  # type: ignore[misc]

    def close(self, now: float | None = None) -> None:
        """What has rested long enough; everything without `now`."""
        with self._lock:
            ended = [
                (server, kept)
                for server, resting in self._resting.items()
                for kept in resting
                if now is None or kept[0] <= now
            ]
            for server, kept in ended:
                self._resting[server].remove(kept)
            self._timer = None
            self._watch()
        for _, (_, session) in ended:
            session.close()

    def _again(
        self, server: Server, sender: str, recipients: Sequence[str], envelope_id: str
    ) -> Session | None:
        while session := self._take(server):
            try:
                if session.begin_again():
                    session.address(sender, recipients, envelope_id)
                    return session
            except DeliveryError as error:
                if error.refused:
                    session.close()
                    raise
                # it had enough of us, and says nothing about this mail: a new connection tells
            session.close()
        return None

    def _take(self, server: Server) -> Session | None:
        with self._lock:
            resting = self._resting[server]
            return resting.pop()[1] if resting else None

    def _keep(self, server: Server, session: Session) -> None:
        with self._lock:
            self._resting[server].append((time.monotonic() + REST, session))
            self._watch()

    def _watch(self) -> None:
        if self._timer is None and any(self._resting.values()):
            self._timer = threading.Timer(REST, lambda: self.close(time.monotonic()))
            self._timer.daemon = True
            self._timer.start()


pool = Pool()
os.register_at_fork(after_in_child=pool.forget)
