"""A mail server that does as it is told at one chosen step: refuses, stalls, drips or hangs up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from mailboxes.smtp_pool import pool

DROP = "drop"
STALL = "stall"
DRIP = "drip"
GOOD = {
    "connect": "220 mx",
    "EHLO": "250 mx",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go",
    ".": "250 kept",
}
_MINUTE = 60


@dataclass
class BrokenServer:
    """`answers` maps a step (connect, EHLO, MAIL, RCPT, DATA, body, "." or any verb) to a reply or a misdeed.

    A list of replies is used up one by one. `kept` holds bodies whose final dot was seen.
    """

    answers: dict[str, str | list[str]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    @contextmanager
    def running(cls, **answers: str | list[str]) -> Iterator[Self]:
        server = cls(answers={"." if step == "dot" else step: answer for step, answer in answers.items()})
        listener = socket.create_server(("127.0.0.1", 0))
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=server._serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            pool.close()
            server.over.set()
            # close alone leaves a thread in accept, and with it the port
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(5)

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with connection, suppress(OSError):
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        if not self._answer(connection, "connect"):
            return
        while line := stream.readline():
            command = line.decode("latin-1").strip()
            verb, space, rest = command.partition(" ")
            verb = verb.upper()
            self.commands.append(f"{verb}{space}{rest}")
            if verb == "QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            if not self._answer(connection, verb):
                return
            if verb == "DATA" and self._is_taking() and not self._take(connection, stream):
                return

    def _is_taking(self) -> bool:
        return str(self.answers.get("DATA", "354")).startswith("354")

    def _take(self, connection: socket.socket, stream: Iterator[bytes]) -> bool:
        lines: list[bytes] = []
        if "body" in self.answers:
            next(stream)
            if self._answer(connection, "body"):
                # says no and goes on listening, as a server may
                for _ in stream:
                    pass
            return False
        for line in stream:
            if line == b".\r\n":
                self.kept.append(b"".join(lines))
                return self._answer(connection, ".")
            lines.append(line)
        return False

    def _answer(self, connection: socket.socket, step: str) -> bool:
        answer = self.answers.get(step, GOOD.get(step, "250 ok"))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if answer == DROP:
            return False
        if answer == STALL:
            self.over.wait(_MINUTE)
            return False
        if answer == DRIP:
            # never a whole reply, always a sign of life
            until = time.monotonic() + _MINUTE
            while time.monotonic() < until and not self.over.wait(0.05):
                connection.sendall(b"250-more\r\n")
            return False
        connection.sendall(answer.encode() + (b"" if answer.endswith("\n") else b"\r\n"))
        return True
