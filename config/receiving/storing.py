"""Puts what arrives on disk. Messages that come at once share a commit; each is told of its own outcome."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from django.db import connections

from approvals import gate
from mailboxes import addressing
from mailboxes.models import Mailbox, RawMessage

log = logging.getLogger("counterseal.smtp")

MOST = 100  # messages in one commit
MOST_OCTETS = 8_000_000


class Closed(Exception):
    """A mailbox was closed between RCPT and DATA."""


@dataclass(slots=True)
class Letter:
    """One message as it was handed over, for one recipient or for several that share its fate."""

    sender: str
    recipients: Sequence[str]
    data: bytes
    source: RawMessage.Source
    stored: Future[None] = field(default_factory=Future)


class Store:
    """One thread that writes. Whatever queued while it was at it is its next commit."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Letter] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="mail-store", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What has queued is still written."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def put(self, letter: Letter) -> Future[None]:
        """The future is done when the message is committed, and fails when it is not kept at all."""
        with self._changed:
            self._waiting.append(letter)
            self._changed.notify()
        return letter.stored

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._write(batch)
            finally:
                connections.close_all()

    def _next(self) -> list[Letter]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            batch: list[Letter] = []
            octets = 0
            while self._waiting and len(batch) < MOST and octets < MOST_OCTETS:
                batch.append(self._waiting.popleft())
                octets += len(batch[-1].data)
            return batch

    def _write(self, batch: list[Letter]) -> None:
        """Together; or, if that fails, each alone, so that none goes down with another."""
        try:
            known = addressing.find_mailboxes(address for letter in batch for address in letter.recipients)
            gate.receive_all([arrival for letter in batch for arrival in arrivals_of(letter, known)])
        except Exception as error:
            if len(batch) > 1:
                for letter in batch:
                    self._write([letter])
                return
            if not isinstance(error, Closed):
                log.exception("a message could not be stored")
            batch[0].stored.set_exception(error)
        else:
            for letter in batch:
                letter.stored.set_result(None)


def arrivals_of(letter: Letter, known: Mapping[str, Mailbox]) -> list[gate.Arrival]:
    """One per mailbox, all of them or none: whoever is told that it is stored forgets it."""
    if not all(address in known for address in letter.recipients):
        raise Closed
    once = {known[address]: address for address in letter.recipients}
    return [
        gate.Arrival(mailbox, letter.sender, address, letter.data, letter.source)
        for mailbox, address in once.items()
    ]
