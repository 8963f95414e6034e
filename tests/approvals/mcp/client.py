"""The official client, over HTTP against the real server, for tests that are not async themselves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from assistants.models import ApiKey
from tests.servers import AsgiServer

Found = TypeVar("Found")


class Talk:
    """One connection. The methods may be called from several threads."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self._portal = portal
        self.client = client

    def do(self, act: Callable[[Client], Awaitable[Found]]) -> Found:
        return self._portal.call(act, self.client)

    def call(self, tool: str, /, **arguments: Any) -> CallToolResult:
        return self.do(lambda client: client.call_tool(tool, arguments))

    def blocks(self, tool: str, /, **arguments: Any) -> list[str]:
        """All that a call says that goes well."""
        result = self.call(tool, **arguments)
        assert not result.is_error, texts(result)
        return texts(result)

    def told(self, tool: str, /, **arguments: Any) -> Any:
        return json.loads(self.blocks(tool, **arguments)[0])

    def refused(self, tool: str, /, **arguments: Any) -> Any:
        """What a call says that goes wrong."""
        result = self.call(tool, **arguments)
        assert result.is_error, texts(result)
        return json.loads(texts(result)[0])

    def names(self) -> set[str]:
        return {tool.name for tool in self.do(lambda client: client.list_tools()).tools}


def texts(result: Any) -> list[str]:
    return [block.text for block in result.content]


def bearer(key: ApiKey) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.secret}"}  # type: ignore[attr-defined]


@asynccontextmanager
async def over_http(url: str, headers: dict[str, str], mode: Any) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@contextmanager
def talking(to: AbstractAsyncContextManager[Client]) -> Iterator[Talk]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(to) as client:
        yield Talk(portal, client)


def connected(server: AsgiServer, key: ApiKey, *, mode: Any = "auto", **headers: str) -> Any:
    return talking(over_http(server.url, {**bearer(key), **headers}, mode))
