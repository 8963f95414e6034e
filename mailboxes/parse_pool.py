"""Parsing processes at rest: started when one is needed, used again, never shared by two messages at once."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from mailboxes.deadlines import watch
from mailboxes.parse_worker import HEAD, LENGTH, WHOLE

MOST = 4  # at rest
# a process that has read so many is replaced, so that nothing small adds up
RETIRES_AFTER = 5_000
_WORKER = Path(__file__).with_name("parse_worker.py")


class TooSlow(Exception):
    """The message was not read in time; its process is ended."""


class Broken(Exception):
    """The process itself ended, which says nothing about the message."""


class Worker:
    def __init__(self) -> None:
        command = [sys.executable, "-I", "-X", "utf8", str(_WORKER)]
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            # a group of its own, to end it together with its child
            start_new_session=True,
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        self.asked = 0
        self._is_late = False

    def ask(self, data: bytes, asked: int, seconds: float) -> dict[str, Any]:
        self.asked += 1
        try:
            with watch.within(seconds, self._cut):
                return self._answer(data, asked)
        except (OSError, ValueError, Broken):
            if self._is_late:
                raise TooSlow from None
            raise Broken("The process that reads mail has ended.") from None

    def _answer(self, data: bytes, asked: int) -> dict[str, Any]:
        self._requests.write(HEAD.pack(len(data), asked))
        self._requests.write(data)
        self._requests.flush()
        (length,) = LENGTH.unpack(_exactly(self._answers, LENGTH.size))
        return dict(json.loads(_exactly(self._answers, length)))

    def _cut(self) -> None:
        self._is_late = True
        self._kill()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        self._kill()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        self._process.wait()


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    found = pipe.read(length)
    if len(found) != length:
        raise Broken
    return found


class Pool:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._resting: list[Worker] = []
        self._process = os.getpid()

    def ask(self, data: bytes, *, seconds: float, asked: int = WHOLE) -> dict[str, Any]:
        """What the message says, or {"error": sentence}. Raises TooSlow or Broken."""
        worker = self._take()
        try:
            found = worker.ask(data, asked, seconds)
        except BaseException:
            worker.end()
            raise
        self._keep(worker)
        return found

    def _take(self) -> Worker:
        with self._lock:
            if self._process != os.getpid():
                # forked: those at rest belong to the parent
                self._resting, self._process = [], os.getpid()
            if self._resting:
                return self._resting.pop()
        try:
            return Worker()
        except OSError as error:
            raise Broken(f"The process that reads mail could not be started: {error}") from error

    def _keep(self, worker: Worker) -> None:
        with self._lock:
            if len(self._resting) < MOST and worker.asked < RETIRES_AFTER:
                return self._resting.append(worker)
        worker.end()

    def close(self) -> None:
        with self._lock:
            resting, self._resting = self._resting, []
        if self._process == os.getpid():
            for worker in resting:
                worker.end()


pool = Pool()
atexit.register(pool.close)
