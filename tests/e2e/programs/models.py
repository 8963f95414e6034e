"""Somebody else's model server on loopback: Chat Completions and Responses.

It follows a plan and, like the real ones, refuses a conversation in which a call lacks its output. Whoever
talks to it is the official client, whose own types are asked whether each answer is well formed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from openai.types.chat import ChatCompletion
from openai.types.responses import Response

Json = dict[str, Any]
Call = tuple[str, Json]  # tool and arguments


class Refused(Exception):
    """Told as 400."""


class FakeModels:
    """Turn n of a conversation makes the calls `plan[n]`; after the last it repeats what it was told.

    What it was told are the outputs of the turn before, as a JSON list.
    """

    def __init__(self) -> None:
        self.plan: list[list[Call]] = []
        # as llama.cpp and others do: the calls of each turn are call_0, call_1, …
        self.counts_calls = False
        self.responses: dict[str, tuple[Json, int]] = {}  # by id: the response, and its turn

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        status, answer = self._answer(scope["method"], scope["path"], json.loads(body or b"{}"))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _answer(self, method: str, path: str, asked: Json) -> tuple[int, Json]:
        try:
            if (method, path) == ("POST", "/v1/chat/completions"):
                return 200, self._completion(asked)
            if (method, path) == ("POST", "/v1/responses"):
                return 200, self._response(asked)
            if method == "GET" and path.startswith("/v1/responses/"):
                return 200, self._stored(path.rpartition("/")[2])[0]
        except Refused as error:
            return 400, {"error": {"message": str(error), "type": "invalid_request_error"}}
        return 404, {"error": {"message": f"There is no {method} {path}.", "type": "invalid_request_error"}}

    def _turn(self, number: int, tools: set[str]) -> list[Call]:
        calls = self.plan[number] if number < len(self.plan) else []
        if unknown := {name for name, _ in calls} - tools:
            raise Refused(f"These tools were not offered: {unknown}")
        return calls

    def _call_id(self, position: int) -> str:
        return f"call_{position}" if self.counts_calls else f"call_{uuid.uuid4().hex}"

    # ---- Chat Completions

    def _completion(self, asked: Json) -> Json:
        messages = asked["messages"]
        turns = [message for message in messages if message["role"] == "assistant"]
        outputs = _answered(messages)
        calls = self._turn(len(turns), {tool["function"]["name"] for tool in asked.get("tools", [])})
        said: Json = {"role": "assistant", "content": None if calls else _repeat(outputs), "refusal": None}
        if calls:
            said["tool_calls"] = [
                {
                    "id": self._call_id(position),
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
                for position, (name, arguments) in enumerate(calls)
            ]
        choice = {"index": 0, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return _checked(
            ChatCompletion.model_validate,
            {
                "id": f"chatcmpl-{uuid.uuid4().hex}",
                "object": "chat.completion",
                "created": 1,
                "model": asked["model"],
                "choices": [choice | {"message": said}],
                "usage": usage,
            },
        )

    # ---- Responses

    def _stored(self, response_id: str) -> tuple[Json, int]:
        if response_id not in self.responses:
            raise Refused(f"Response with id '{response_id}' not found.")
        return self.responses[response_id]

    def _response(self, asked: Json) -> Json:
        turn, outputs = 0, []
        if previous := asked.get("previous_response_id"):
            before, turn = self._stored(previous)
            outputs = _paired(
                [item["call_id"] for item in before["output"] if item["type"] == "function_call"],
                [(item["call_id"], item["output"]) for item in asked["input"]],
            )
        calls = self._turn(turn, {tool["name"] for tool in asked.get("tools", [])})
        response = _checked(
            Response.model_validate,
            {
                "id": f"resp_{uuid.uuid4().hex}",
                "object": "response",
                "created_at": 1.0,
                "status": "completed",
                "error": None,
                "incomplete_details": None,
                "model": asked["model"],
                "output": self._items(calls) if calls else [_message(_repeat(outputs))],
                "parallel_tool_calls": True,
                "previous_response_id": previous,
                "tool_choice": "auto",
                "tools": asked.get("tools", []),
            },
        )
        self.responses[response["id"]] = response, turn + 1
        return response

    def _items(self, calls: list[Call]) -> list[Json]:
        return [
            {
                "type": "function_call",
                "id": f"fc_{uuid.uuid4().hex}",
                "call_id": self._call_id(position),
                "name": name,
                "arguments": json.dumps(arguments),
                "status": "completed",
            }
            for position, (name, arguments) in enumerate(calls)
        ]


def _answered(messages: list[Json]) -> list[str]:
    """The outputs of the newest turn; every turn's calls have to have theirs right after it."""
    outputs: list[str] = []
    for position, message in enumerate(messages):
        if message.get("tool_calls"):
            after = messages[position + 1 : position + 1 + len(message["tool_calls"])]
            given = [(one.get("tool_call_id"), one["content"]) for one in after if one["role"] == "tool"]
            outputs = _paired([call["id"] for call in message["tool_calls"]], given)
    return outputs


def _paired(calls: list[str], given: list[tuple[Any, str]]) -> list[str]:
    by_call = dict(given)
    if sorted(calls) != sorted(call_id for call_id, _ in given):
        raise Refused(f"No tool output found for function call {sorted(set(calls) - by_call.keys())}.")
    return [by_call[call] for call in calls]


def _repeat(outputs: list[str]) -> str:
    return json.dumps([json.loads(output) for output in outputs])


def _message(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def _checked(validate: Callable[[Json], object], answer: Json) -> Json:
    validate(answer)
    return answer
