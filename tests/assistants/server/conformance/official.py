"""The official client in strict mode, sync and async, under one set of calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import openai
from openai import AssistantEventHandler, AsyncAssistantEventHandler

Ask = Callable[[Any], Any]  # client -> what it makes


class Official:
    """Makes the same call with either client. Every answer is validated by the client itself."""

    def __init__(self, base_url: str, secret: str, *, is_async: bool) -> None:
        kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
        self.client = kind(base_url=base_url, api_key=secret, max_retries=0, _strict_response_validation=True)
        self.is_async = is_async
        self._runner = asyncio.Runner() if is_async else None

    def __call__(self, ask: Ask) -> Any:
        made = ask(self.client)
        return self._wait(made) if inspect.isawaitable(made) else made

    def all(self, ask: Ask) -> list[Any]:
        """Every object of a list, page after page."""

        async def collect() -> list[Any]:
            return [one async for one in ask(self.client)]

        return self._wait(collect()) if self.is_async else list(ask(self.client))

    def events(self, ask: Ask) -> list[Any]:
        """What a raw stream brings."""

        async def collect() -> list[Any]:
            async with await ask(self.client) as stream:
                return [event async for event in stream]

        if self.is_async:
            found: list[Any] = self._wait(collect())
            return found
        with ask(self.client) as stream:
            return list(stream)

    def handled(self, ask: Callable[[Any, Any], Any]) -> Handled:
        """What an event handler was told by one of the stream helpers."""
        if self.is_async:
            handled: Handled = self._wait(self._handled_later(ask))
            return handled
        handler = Handler()
        with ask(self.client, handler) as stream:
            stream.until_done()
            return Handled(
                handler.told, stream.get_final_run(), handler.messages, stream.get_final_run_steps()
            )

    async def _handled_later(self, ask: Callable[[Any, Any], Any]) -> Handled:
        handler = AsyncHandler()
        async with ask(self.client, handler) as stream:
            await stream.until_done()
            run, steps = await stream.get_final_run(), await stream.get_final_run_steps()
            return Handled(handler.told, run, handler.messages, steps)

    def _wait(self, awaitable: Any) -> Any:
        assert self._runner

        async def wait() -> Any:
            return await awaitable

        return self._runner.run(wait())

    def close(self) -> None:
        self(lambda client: client.close())
        if self._runner:
            self._runner.close()


class Handled:
    def __init__(self, told: list[str], run: Any, messages: list[Any], steps: list[Any]) -> None:
        self.told, self.run, self.messages, self.steps = told, run, messages, steps


class Handler(AssistantEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.messages: list[Any] = []

    def on_event(self, event: Any) -> None:
        self.told.append(event.event)

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(f"text {snapshot.value}")

    def on_message_done(self, message: Any) -> None:
        self.messages.append(message)

    def on_tool_call_created(self, tool_call: Any) -> None:
        self.told.append(f"call {tool_call.function.name}")

    def on_tool_call_done(self, tool_call: Any) -> None:
        self.told.append(f"called {tool_call.function.arguments}")

    def on_run_step_done(self, run_step: Any) -> None:
        self.told.append(f"step {run_step.type} {run_step.status}")

    def on_end(self) -> None:
        self.told.append("end")


class AsyncHandler(AsyncAssistantEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self._same = Handler()
        self.told, self.messages = self._same.told, self._same.messages

    async def on_event(self, event: Any) -> None:
        self._same.on_event(event)

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self._same.on_text_delta(delta, snapshot)

    async def on_message_done(self, message: Any) -> None:
        self._same.on_message_done(message)

    async def on_tool_call_created(self, tool_call: Any) -> None:
        self._same.on_tool_call_created(tool_call)

    async def on_tool_call_done(self, tool_call: Any) -> None:
        self._same.on_tool_call_done(tool_call)

    async def on_run_step_done(self, run_step: Any) -> None:
        self._same.on_run_step_done(run_step)

    async def on_end(self) -> None:
        self._same.on_end()
