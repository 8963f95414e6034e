"""Somebody else's Chat Completions server, on loopback. The official client is what talks to it."""

from __future__ import annotations

import json
from typing import Any

from openai.types.chat import ChatCompletion

Json = dict[str, Any]


class FakeModel:
    """Answers each request with the next of `.answers`: a message, or (status, body). Keeps `.requests`."""

    def __init__(self) -> None:
        self.answers: list[Json | tuple[int, bytes]] = []
        self.requests: list[Json] = []
        self.keys: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        headers = dict(scope["headers"])
        self.keys.append(headers[b"authorization"].decode())
        assert scope["path"] == "/v1/chat/completions"
        self.requests.append(json.loads(body))
        status, answer = self._next()
        content_type = b"application/json" if answer[:1] == b"{" else b"text/html"
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type)]}
        )
        await send({"type": "http.response.body", "body": answer})

    def _next(self) -> tuple[int, bytes]:
        answer = self.answers.pop(0)
        return (200, json.dumps(completion(**answer)).encode()) if isinstance(answer, dict) else answer


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
