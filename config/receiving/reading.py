"""One message off the wire, in chunks: a message of short lines must not take more room than its octets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from config.receiving.limits import Limits

TOO_LARGE = "552 5.3.4 The message is larger than this server takes"
TOO_MUCH = "452 4.3.1 Too much mail at once; try again later"
LONGEST = 900  # seconds, for one message
_END = b"\r\n.\r\n"


class Body:
    """What has come of a message. Once it is refused, the rest is read and forgotten."""

    def __init__(self, limits: Limits, most: int) -> None:
        self.refusal = ""
        self._limits, self._most = limits, most
        self._data = bytearray()
        self._octets = self._taken = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits.give_back(self._taken)

    def add(self, chunk: bytes) -> None:
        self._octets += len(chunk)
        if self.refusal:
            if self._octets > 2 * self._most:
                raise ConnectionResetError("It goes on after it was too much.")
        elif self._octets > self._most:
            self._refuse(TOO_LARGE)
        elif not self._limits.take(len(chunk)):
            self._refuse(TOO_MUCH)
        else:
            self._taken += len(chunk)
            self._data += chunk

    def _refuse(self, reply: str) -> None:
        self.refusal = reply
        self._data = bytearray()
        self._limits.give_back(self._taken)
        self._taken = 0

    def content(self) -> bytes:
        """Without the dot that ends it, and those that were put before others."""
        data = b"\r\n" + self._data
        self._data = bytearray()
        return data.removesuffix(b".\r\n").replace(b"\r\n.", b"\r\n")[2:]


async def read_body(reader: asyncio.StreamReader, body: Body, still_here: Callable[[], None]) -> None:
    """To the line with a single dot, whose line ends must be the right ones: others hide a second message."""
    deadline = time.monotonic() + LONGEST
    tail = b"\r\n"
    while tail != _END:
        try:
            chunk = await reader.readuntil(b".\r\n")
        except asyncio.LimitOverrunError as error:
            chunk = await reader.readexactly(error.consumed)
        if time.monotonic() > deadline:
            raise ConnectionResetError("The message takes too long.")
        still_here()
        body.add(chunk)
        tail = (tail + chunk[-5:])[-5:]
