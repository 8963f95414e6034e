"""An answer of an ASGI application as an answer of a Django view, streamed if it comes in pieces."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


async def respond(app: App, request: HttpRequest, body: bytes) -> HttpResponseBase:
    """Whoever stops reading stops the application."""
    sent: asyncio.Queue[Message | None] = asyncio.Queue()
    task = asyncio.create_task(_run(app, request, body, sent))
    try:
        start = await _next(sent, task)
        first = await _next(sent, task)
    except BaseException:
        task.cancel()
        raise
    if first.get("more_body"):
        return _finished(Streamed(_rest(first, sent, task), task), start)
    await task
    return _finished(HttpResponse(first.get("body", b"")), start)


async def _run(app: App, request: HttpRequest, body: bytes, sent: asyncio.Queue[Message | None]) -> None:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if pending:
            return pending.pop()
        # a client that goes away ends this task
        gone: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await gone

    try:
        await app(_scope(request), receive, sent.put)
    finally:
        await sent.put(None)


async def _next(sent: asyncio.Queue[Message | None], task: asyncio.Task[None]) -> Message:
    message = await sent.get()
    if message is None:
        await task  # raises what went wrong
        raise RuntimeError("the application ended without an answer")
    return message


def _scope(request: HttpRequest) -> Message:
    headers = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in request.headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": request.META.get("QUERY_STRING", "").encode(),
        "headers": headers,
    }


def _finished(response: Any, start: Message) -> HttpResponseBase:
    response.status_code = start["status"]
    del response.headers["Content-Type"]
    for name, value in start.get("headers", ()):
        if name.lower() != b"content-length":
            response.headers[name.decode("latin-1")] = value.decode("latin-1")
    found: HttpResponseBase = response
    return found


async def _rest(
    first: Message, sent: asyncio.Queue[Message | None], task: asyncio.Task[None]
) -> AsyncIterator[bytes]:
    message: Message | None = first
    while message is not None:
        yield message.get("body", b"")
        message = await sent.get() if message.get("more_body") else None
    await task


class Streamed(StreamingHttpResponse):
    def __init__(self, parts: AsyncIterator[bytes], task: asyncio.Task[None]) -> None:
        super().__init__(parts)
        self["Cache-Control"] = "no-store"
        self["X-Accel-Buffering"] = "no"
        loop = asyncio.get_running_loop()
        # a response whose client went away before it began is dropped without being closed
        self._stop = weakref.finalize(self, _cancel, loop, task)

    def close(self) -> None:
        super().close()
        self._stop()


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    """From any thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(task.cancel)
