"""Static files, served by whitenoise above Django: no middleware, no session, no collectstatic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class StaticFiles:
    def __init__(self, app: App) -> None:
        self.app = app
        # its WSGI side is not used, only its index of the files
        self.files = WhiteNoiseMiddleware(None)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        found = self._find(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self.app(scope, receive, send)
        else:
            await _serve(found, scope, send)

    def _find(self, path: str) -> StaticFile | None:
        if not path.startswith(self.files.static_prefix):
            return None
        return self.files.find_file(path) if self.files.autorefresh else self.files.files.get(path)


async def _serve(found: StaticFile, scope: Message, send: Send) -> None:
    response = found.get_response(scope["method"], _environ(scope))
    body = await asyncio.to_thread(_read, response.file) if response.file else b""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    headers.append((b"x-content-type-options", b"nosniff"))
    await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _read(file: Any) -> bytes:
    with file:
        content: bytes = file.read()
        return content


def _environ(scope: Message) -> dict[str, str]:
    """The request's headers under the names that WSGI has for them."""
    return {
        f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1")
        for name, value in scope["headers"]
    }
