"""One call over streamable HTTP, by the library. Nothing is kept between calls: any process answers any."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from approvals.api.parsers import MAX_BYTES_WITH_FILES
from approvals.mcp import mail
from approvals.mcp.bridge import Message, Receive, Send, respond
from approvals.mcp.calls import caller_of
from approvals.mcp.server import server_for
from assistants.models import ApiKey

WAITS = mail.WAIT.name.encode()


async def serve(request: HttpRequest, key: ApiKey, body: bytes) -> HttpResponseBase:
    manager = StreamableHTTPSessionManager(
        server_for(caller_of(request, key)),
        stateless=True,
        json_response=not _streams(request, body),
        max_request_body_size=MAX_BYTES_WITH_FILES,
    )

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    return await respond(app, request, body)


def _streams(request: HttpRequest, body: bytes) -> bool:
    """A stream shows signs of life, which a long wait needs; other answers come at once, and whole."""
    return WAITS in body and "text/event-stream" in request.headers.get("Accept", "")
