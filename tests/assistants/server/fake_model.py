"""Somebody else's Chat Completions server, on loopback. The official client is what talks to it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from assistants.models import Assistant
from tests import factories
from tests.servers import AsgiServer

Json = dict[str, Any]
SECRET = "sk-connection-secret"


class Streamed:
    """An answer as server-sent events: chunks, bytes as they are, and events that are waited for."""

    def __init__(self, *parts: Json | bytes | threading.Event) -> None:
        self.parts = parts


class FakeModel:
    """Answers each request with the next of `.answers`: a message, (status, body), (status, body, headers)
    or Streamed. Keeps `.requests`.
    """

    @classmethod
    @contextmanager
    def behind(cls, assistant: Assistant, **fields: Any) -> Iterator[FakeModel]:
        fake = cls()
        with AsgiServer.running(fake) as server:
            connection = factories.a_connection(
                protocol="chat_completions", base_url=f"{server.url}/v1", model="served", **fields
            )
            connection.api_key = SECRET
            connection.save()
            assistant.connection = connection
            assistant.save()
            yield fake

    def __init__(self) -> None:
        self.answers: list[Json | tuple[Any, ...] | Streamed] = []
        self.requests: list[Json] = []
        self.keys: list[str] = []
        self.asked = threading.Event()  # set at each request

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        headers = dict(scope["headers"])
        self.keys.append(headers[b"authorization"].decode())
        assert scope["path"] == "/v1/chat/completions"
        self.requests.append(json.loads(body))
        self.asked.set()
        answer = self.answers.pop(0)
        if isinstance(answer, Streamed):
            await self._stream(send, answer.parts)
            return
        if isinstance(answer, dict):
            answer = (200, json.dumps(completion(**answer)).encode())
        status, text, headers = (*answer, {})[:3]
        kind = b"application/json" if text[:1] == b"{" else b"text/html"
        sent = [(b"content-type", kind), *((k.encode(), v.encode()) for k, v in headers.items())]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": text})

    async def _stream(self, send: Any, parts: Iterable[Json | bytes | threading.Event]) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in parts:
            if isinstance(part, threading.Event):
                assert await asyncio.to_thread(part.wait, 30)
                continue
            body = part if isinstance(part, bytes) else f"data: {json.dumps(part)}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def chunk(text: str | None = None, finish: str | None = None, **delta: Any) -> Json:
    made = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "served",
        "choices": [{"index": 0, "delta": {"content": text} | delta, "finish_reason": finish}],
    }
    ChatCompletionChunk.model_validate(made)
    return made


def call_chunk(index: int, name: str | None = None, arguments: str = "", id: str | None = None) -> Json:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    call = {"index": index, "type": "function", "function": function} | ({"id": id} if id else {})
    return chunk(tool_calls=[call])


def usage_chunk(prompt: Any = 11, completion: Any = 7) -> Json:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 18}
    return chunk() | {"choices": [], "usage": usage}


DONE = b"data: [DONE]\n\n"


def completion(
    text: str | None = None, calls: list[tuple[str, str]] | None = None, finish: str = "stop", **message: Any
) -> Json:
    """As the real one gives it: the client's own type is asked whether it is well formed."""
    tool_calls = [
        # the same ids in each answer, as some servers have them
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls or [])
    ]
    said = {"role": "assistant", "content": text, "refusal": None} | message
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls" if calls else finish,
                "logprobs": None,
                "message": said | ({"tool_calls": tool_calls} if calls else {}),
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    ChatCompletion.model_validate(answer)
    return answer
