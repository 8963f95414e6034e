"""Real servers on loopback for the tests: the site itself, and somebody else's mail server."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, cast

import uvicorn
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailboxes.smtp_pool import pool


def chromium() -> str | None:
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def free_port() -> int:
    """One that was free a moment ago, for a program that can't be asked for any."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


class AsgiServer:
    """uvicorn in a thread, as the tests' own process: rows that a test commits are what it serves."""

    def __init__(self, app: Any = None) -> None:
        if app is None:
            from config.asgi import application as app
        self._socket = socket.create_server(("127.0.0.1", 0))
        # asyncio sets it only where the socket names its protocol: a split answer would take 40 ms
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._run, name="asgi", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    @classmethod
    @contextmanager
    def running(cls, app: Any = None) -> Iterator[Self]:
        server = cls(app)
        server._thread.start()
        try:
            yield server
        finally:
            server._server.should_exit = True
            server._thread.join(10)
            server._socket.close()


class RecordingServer(Controller):
    """Accepts everything unless told otherwise, and keeps it in `.messages`.

    `refuse` maps an address to the reply that its RCPT gets; `data_reply`, if set, answers DATA
    in place of 250.
    """

    port: int

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[str], bytes]] = []
        self.refuse: dict[str, str] = {}
        self.data_reply = ""
        self.connections = 0
        super().__init__(self, hostname="127.0.0.1", port=0, server_hostname="mx.test")

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        server = cls()
        server.start()
        server.connections = 0
        try:
            yield server
        finally:
            server.stop()

    def stop(self, no_assert: bool = False) -> None:
        pool.close()
        super().stop(no_assert)

    def factory(self) -> SMTP:
        self.connections += 1
        return cast("SMTP", super().factory())  # type: ignore[no-untyped-call]

    def _trigger_server(self) -> None:
        # port 0 was asked for: learn the real one before aiosmtpd connects to it
        assert isinstance(self.server, asyncio.Server)
        for sock in self.server.sockets:
            self.port = sock.getsockname()[1]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._trigger_server()  # type: ignore[no-untyped-call]

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if reply := self.refuse.get(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.data_reply:
            return self.data_reply
        content = envelope.original_content or b""
        self.messages.append((envelope.mail_from or "", list(envelope.rcpt_tos), content))
        return "250 2.0.0 queued as 1"
