"""A web server that takes webhooks, and does as it is told with each."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Self

DROP = "drop"
STALL = "stall"
DRIP = "drip"
FLOOD = "flood"


@dataclass
class Post:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answers` are used up one by one, the last one again and again: a status, a Location, or a misdeed."""

    answers: list[int | str] = field(default_factory=lambda: [200])
    posts: list[Post] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @classmethod
    @contextmanager
    def running(cls, *answers: int | str) -> Iterator[Self]:
        receiver = cls(answers=list(answers) or [200])
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"receiver": receiver}))
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            server.shutdown()
            server.server_close()
            thread.join(5)

    def next_answer(self) -> int | str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Handler(BaseHTTPRequestHandler):
    receiver: ClassVar[Receiver]

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        self.receiver.posts.append(Post(self.path, dict(self.headers), b""))
        self._say(200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.receiver.posts.append(Post(self.path, dict(self.headers), body))
        self.receiver.arrived.set()
        answer = self.receiver.next_answer()
        if answer == DROP:
            self.connection.close()
        elif answer == STALL:
            self.receiver.over.wait(60)
        elif answer == DRIP:
            self._drip()
        elif answer == FLOOD:
            self._flood()
        else:
            self._say(answer)

    def _drip(self) -> None:
        """A header that goes on for ever, with a sign of life now and then."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not self.receiver.over.wait(0.02):
            self.wfile.write(b"x")

    def _flood(self) -> None:
        """A body that does not end."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not self.receiver.over.is_set():
            self.wfile.write(b"x" * 65_536)

    def _say(self, answer: int | str) -> None:
        self.send_response(answer if isinstance(answer, int) else 302)
        if isinstance(answer, str):
            self.send_header("Location", answer)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        # whoever posted may have gone away
        with suppress(OSError):
            super().handle()
