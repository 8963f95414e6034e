"""One process: web in the main thread; lanes, worker, schedule and mail in threads of their own."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import IO

from django.conf import settings

from config.celery import app as celery_app
from config.embedded.background import Schedule, Worker
from config.embedded.lanes import LANES, Lane
from config.embedded.web import Server, listen, web_server
from config.receiving.fetching import Fetchers
from config.receiving.server import MailServer, SmtpSession

# what is still at work after this long keeps its lease, and the next start finds it
PATIENCE = 10.0


class CannotStart(Exception):
    """A sentence for the person who started us."""


@contextmanager
def alone(data_dir: Path) -> Iterator[str]:
    """Refuse a second process on one data directory; yields the name under which leases are held.

    The name lives in the lock file, so that a process started after a kill knows which leases were
    its own.
    """
    with open(data_dir / "up.lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(f"Another `up` is running on {data_dir}.") from None
        yield _name_in(file)


def _name_in(file: IO[str]) -> str:
    file.seek(0)
    name = file.read().strip()
    if not name:
        name = f"up-{secrets.token_hex(8)}"
        file.write(name)
        file.flush()
    return name


def bind(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise CannotStart(
            f"Cannot listen on {host}, port {port}: {_why(error)}. Use another --port."
        ) from error


def _why(error: OSError) -> str:
    """Without the address, which Python puts into `strerror` and our sentence has already."""
    return os.strerror(error.errno) if error.errno else str(error)


def start_mail(host: str, port: int, session: type[SmtpSession] = SmtpSession) -> MailServer:
    server = MailServer(host, port, session=session)
    try:
        server.start()
    except OSError as error:
        raise CannotStart(
            f"Cannot receive mail on {host}, port {port}: {_why(error)}. Use another --smtp-port."
        ) from error
    return server


def address(host: str, port: int) -> str:
    """Where this machine itself reaches a server that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


class StopSignals:
    """The first SIGTERM or SIGINT asks the web server to end; the second ends the process at once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._former = {sig: signal.signal(sig, self._on_signal) for sig in (signal.SIGTERM, signal.SIGINT)}

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        if self._server.should_exit:
            os._exit(1)
        self._server.should_exit = True

    def restore(self) -> None:
        for sig, handler in self._former.items():
            signal.signal(sig, handler)


def serve(sock: socket.socket, mail: MailServer, on_started: Callable[[], None]) -> None:
    """Run until a signal, then stop: no new work, and `PATIENCE` seconds for what is in flight."""
    from config.asgi import application

    server = web_server(application)
    signals = StopSignals(server)
    celery_app.loader.import_default_modules()
    # else the first run that is resumed waits for it, half a second
    import_module("openai.resources.beta.beta")
    lanes = [Lane(celery_app, task, threads) for task, threads in LANES.items()]
    parts: list[Lane | Worker | Schedule | Fetchers] = [
        *lanes,
        Worker(celery_app),
        Schedule(celery_app),
        Fetchers(),
    ]
    for part in parts:
        part.start()
    on_started()
    server.run(sockets=[sock])
    deadline = time.monotonic() + PATIENCE
    mail.stop()
    for part in parts:
        part.stop()
    ended = [part.join(deadline) for part in parts]
    if not all(ended):
        # an ordinary exit would wait for those threads; their rows are leased, so nothing is lost
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    signals.restore()


def use_own_address(url: str) -> None:
    """Point the settings that were not given at the port that was really bound."""
    for name in ("INTERNAL_URL", "PUBLIC_URL"):
        if not os.environ.get(name):
            setattr(settings, name, url)
