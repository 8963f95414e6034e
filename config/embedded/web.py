"""uvicorn in the main thread. The process owns its signals: see run.py."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

# a stream or a long poll ends only when its client goes; everything else takes far less
PATIENCE = 3


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the handlers alone: uvicorn's own raise the signal again and skip our clean-up."""
        yield


def web_server(app: Any) -> Server:
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=PATIENCE,
    )
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Bound here, not in uvicorn, so that a port in use is an error before anything has started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=2048)
    # asyncio sets it only where a socket names its protocol, and without it each answer takes 40 ms:
    # its head and its body are two writes
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
