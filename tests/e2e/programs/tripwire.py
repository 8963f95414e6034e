"""A server at which its caller dies: it has done what it was asked, and nobody is left to hear of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Kill = Callable[[], None]


class Tripwire:
    """An ASGI application around another. Once armed, the next POST to such a path ends who sent it."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._path = ""
        self._kill: Kill | None = None

    def at(self, path: str) -> Callable[[Kill], None]:
        """Arms it for a path that ends so, with what kills the caller."""

        def arm(kill: Kill) -> None:
            self._path, self._kill = path, kill

        return arm

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._kill or scope.get("method") != "POST" or not scope["path"].endswith(self._path):
            await self.app(scope, receive, send)
            return
        kill, self._kill = self._kill, None
        answer: list[Any] = []

        async def keep(event: Any) -> None:
            answer.append(event)

        await self.app(scope, receive, keep)
        kill()
        for event in answer:
            await send(event)
