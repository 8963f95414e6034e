"""Somebody else's Responses and Conversations server, on loopback, as strict as the real one.

It appends what it is given however often it is given it, and keeps a journal of that which nothing
else writes to. The model behind it says the next of `.turns` for each turn that its context has.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

from openai.types.conversations import ConversationItemList
from openai.types.responses import Response

from tests.servers import AsgiServer

Json = dict[str, Any]
T = TypeVar("T")

KNOWN = {
    *("model", "instructions", "tools", "input", "store", "metadata"),
    *("background", "conversation", "previous_response_id"),
}
LOCKED = "Another process is currently operating on this conversation. Please retry in a few seconds."


def _taken(planned: list[tuple[str, T]], line: str) -> T | None:
    """The next that is planned for such a request; taken from the list."""
    for number, (start, found) in enumerate(planned):
        if line.startswith(start):
            del planned[number]
            return found
    return None


class Refusal(Exception):
    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        self.status, self.body = status, {"error": error}


@dataclass
class Conversation:
    id: str
    metadata: Json
    items: list[Json] = field(default_factory=list)
    unseen: list[Json] = field(default_factory=list)  # of ended responses, while `.lags`
    running: Generation | None = None


@dataclass
class Generation:
    """A response in the making, and what it was made from."""

    body: Json
    given: list[Json]
    context: list[Json]
    turn: Json
    conversation: Conversation | None
    looks_left: int | None  # until it is done; None: until `.finish()`
    shown: bool  # what it was asked with is in the conversation already

    @property
    def id(self) -> str:
        return str(self.body["id"])

    def finish(self) -> None:
        if self.body["status"] not in ("queued", "in_progress"):
            return
        status = self.turn.get("status", "completed")
        self.body |= {"status": status, "completed_at": 1_800_000_000.0 if status == "completed" else None}
        if status == "failed":
            self.body["error"] = {"code": "server_error", "message": "The model had an error."}
        elif status == "incomplete":
            self.body["incomplete_details"] = {"reason": "max_output_tokens"}
        if status not in ("failed", "cancelled"):
            self.body["output"] = self.turn["items"]
        if self.conversation:
            self.conversation.running = None
            if status not in ("failed", "cancelled"):
                given = () if self.shown else self.given
                self.conversation.unseen += [*given, *self.body["output"]]

    def cancel(self) -> Json:
        if not self.body["background"]:
            raise Refusal(400, "Cannot cancel a synchronous response.")
        if self.body["status"] in ("queued", "in_progress"):
            self.turn["status"] = "cancelled"
            self.finish()
        return self.body

    def look(self) -> None:
        if self.looks_left is None:
            return
        self.looks_left -= 1
        if self.looks_left < 0:
            self.finish()
        else:
            self.body["status"] = "in_progress"


class ResponsesServer:
    """`.turns`: [{"text", "calls": [(name, arguments)], "approvals": [(name, arguments)], "status"}]."""

    url = ""

    def __init__(self) -> None:
        self.reset()

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        fake = cls()
        with AsgiServer.running(fake) as server:
            fake.url = f"{server.url}/v1"
            yield fake

    def reset(self, *turns: Json) -> None:
        self.turns = list(turns)
        self.has_conversations = self.has_background = self.has_input_items = True
        # how many looks at a response, or collisions with it, before it is done; None: `.finish()`
        self.looks: int | None = 0
        # a conversation shows what an ended response has added to it some time later
        self.lags = False
        # it shows what a response is asked with at once, as the real one does not
        self.shows_early = False
        # what befalls the next requests whose line begins so: "before" or "after" their effect the
        # connection is lost, or an answer (status, headers)
        self.faults: list[tuple[str, str | tuple[int, dict[str, str]]]] = []
        # what happens right after the next answer to a request whose line begins so
        self.afterwards: list[tuple[str, Callable[[], None]]] = []
        self.requests: list[tuple[str, Json]] = []
        self.journal: dict[str, list[str]] = defaultdict(list)  # each output taken, by call id
        self.heard: list[str] = []  # each message of a user that was taken
        self.conversations: dict[str, Conversation] = {}
        self.responses: dict[str, Generation] = {}
        self._number = count(1)

    def asked(self, line: str) -> list[Json]:
        """The bodies of the requests whose line begins so."""
        return [body for found, body in self.requests if found.startswith(line)]

    def finish(self) -> None:
        for made in list(self.responses.values()):
            made.finish()

    def forget_responses(self) -> None:
        """As after thirty days."""
        self.responses.clear()

    # -- HTTP

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        line = f"{scope['method']} {scope['path'].removeprefix('/v1')}"
        query = dict(parse_qsl(scope["query_string"].decode()))
        self.requests.append((line, json.loads(body or b"{}")))
        fault = _taken(self.faults, line)
        if isinstance(fault, tuple):
            return await self._send(send, fault[0], '{"error": {"message": "not now"}}', fault[1])
        if fault == "before":
            return await self._lose(send)
        try:
            status, answer = 200, self._route(line, json.loads(body or b"{}"), query)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        written = json.dumps(answer)
        if happens := _taken(self.afterwards, line):
            happens()
        if fault == "after":
            return await self._lose(send)
        await self._send(send, status, written, {})

    @staticmethod
    async def _send(send: Any, status: int, answer: str, headers: dict[str, str]) -> None:
        named = {"content-type": "application/json"} | headers
        raw = [(name.encode(), value.encode()) for name, value in named.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.encode()})

    @staticmethod
    async def _lose(send: Any) -> None:
        """The connection ends before its answer does."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    def _route(self, line: str, body: Json, query: Json) -> Json:
        method, path = line.split(" ", 1)
        match (method, *path.strip("/").split("/")):
            case ("POST", "conversations") if self.has_conversations:
                return self._make_conversation(body)
            case ("GET", "conversations", id, "items") if self.has_conversations:
                items = self._page(self._conversation(id).items, query)
                ConversationItemList.model_validate(items)
                return items
            case ("POST", "responses"):
                return self._make_response(body)
            case ("GET", "responses", id):
                return self._retrieve(id)
            case ("POST", "responses", id, "cancel"):
                return self._response(id).cancel()
            case ("GET", "responses", id, "input_items") if self.has_input_items:
                made = self._response(id)
                return self._page([*made.context, *made.given], query)
        raise Refusal(404, f"Invalid URL ({line})")

    @staticmethod
    def _page(items: list[Json], query: Json) -> Json:
        ordered = items if query.get("order") == "asc" else items[::-1]
        if after := query.get("after"):
            ordered = ordered[next(n for n, item in enumerate(ordered) if item["id"] == after) + 1 :]
        limit = int(query.get("limit", 20))
        assert 1 <= limit <= 100
        page = ordered[:limit]
        ends = (
            {"first_id": page[0]["id"], "last_id": page[-1]["id"]}
            if page
            else {"first_id": "", "last_id": ""}
        )
        return {"object": "list", "data": page, "has_more": len(ordered) > limit} | ends

    # -- what it does

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._number):06}"

    def _conversation(self, id: str) -> Conversation:
        if id not in self.conversations:
            raise Refusal(404, f"Conversation with id '{id}' not found.")
        conversation = self.conversations[id]
        if not self.lags:
            conversation.items += conversation.unseen
            conversation.unseen = []
        return conversation

    def _response(self, id: str) -> Generation:
        if not id.startswith("resp_"):
            raise Refusal(400, f"Invalid 'response_id': '{id}'. Expected an ID that begins with 'resp'.")
        if id not in self.responses:
            raise Refusal(404, f"Response with id '{id}' not found.")
        return self.responses[id]

    def _make_conversation(self, body: Json) -> Json:
        made = Conversation(self._id("conv"), body.get("metadata") or {})
        self.conversations[made.id] = made
        return {"id": made.id, "object": "conversation", "created_at": 1, "metadata": made.metadata}

    def _retrieve(self, id: str) -> Json:
        made = self._response(id)
        made.look()
        return made.body

    def _make_response(self, body: Json) -> Json:
        self._check(body)
        conversation, context = self._context(body)
        given = [self._given(item) for item in body["input"]]
        self._check_calls([*context, *given], given)
        for item in given:
            self._note(item)
        made = self._generate(body, conversation, context, given)
        if not body.get("background"):
            made.finish()
        return made.body

    def _check(self, body: Json) -> None:
        for name in body:
            if name not in KNOWN or (name == "background" and not self.has_background):
                raise Refusal(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        if body.get("background") and not body.get("store", True):
            raise Refusal(400, "Background mode needs store=true.", param="store")
        if body["model"] != "served":
            raise Refusal(404, f"The model '{body['model']}' does not exist.", code="model_not_found")
        if {"conversation", "previous_response_id"} <= body.keys():
            raise Refusal(400, "'previous_response_id' cannot be used in conjunction with 'conversation'.")
        assert all(
            tool["type"] == "function" and tool["name"] and tool["parameters"] for tool in body["tools"]
        )
        assert len(body["metadata"]) <= 16

    def _context(self, body: Json) -> tuple[Conversation | None, list[Json]]:
        if previous := body.get("previous_response_id"):
            if previous not in self.responses:
                message = f"Previous response with id '{previous}' not found."
                raise Refusal(400, message, param="previous_response_id", code="previous_response_not_found")
            made = self.responses[previous]
            return None, [*made.context, *made.given, *made.body["output"]]
        if "conversation" not in body:
            return None, []
        conversation = self._conversation(body["conversation"])
        if conversation.running:
            conversation.running.look()
            raise Refusal(400, LOCKED, param="conversation", code="conversation_locked")
        return conversation, list(conversation.items)

    def _given(self, item: Json) -> Json:
        """As it is kept: with an id, a status, and content in parts."""
        if item["type"] == "message":
            content = item["content"]
            parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
            return item | {"id": self._id("msg"), "status": "completed", "content": parts}
        if item["type"] == "function_call_output":
            return item | {"id": self._id("fco"), "status": "completed"}
        return item | {"id": self._id("mcpr")}

    @staticmethod
    def _check_calls(items: list[Json], given: list[Json]) -> None:
        called = [item["call_id"] for item in items if item["type"] == "function_call"]
        outputs = [item["call_id"] for item in items if item["type"] == "function_call_output"]
        for item in given:
            if item["type"] == "function_call_output" and item["call_id"] not in called:
                message = f"No tool call found for function call output with call_id {item['call_id']}."
                raise Refusal(400, message, param="input")
        for call_id in called:
            if call_id not in outputs:
                raise Refusal(400, f"No tool output found for function call {call_id}.", param="input")

    def _note(self, item: Json) -> None:
        if item["type"] == "function_call_output":
            self.journal[item["call_id"]].append(item["output"])
        elif item["type"] == "mcp_approval_response":
            self.journal[item["approval_request_id"]].append(json.dumps(item["approve"]))
        else:
            self.heard.append(item["content"][0]["text"])

    def _generate(
        self, body: Json, conversation: Conversation | None, context: list[Json], given: list[Json]
    ) -> Generation:
        number = sum(item.get("ends_turn", False) for item in context)
        turn = self.turns[number] if number < len(self.turns) else {"text": "Done."}
        made: Json = {
            "id": self._id("resp"),
            "object": "response",
            "created_at": 1.0,
            "status": "queued",
            "background": bool(body.get("background")),
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "metadata": body["metadata"],
            "model": body["model"],
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": body["tools"],
        }
        if conversation:
            made["conversation"] = {"id": conversation.id}
        Response.model_validate(made)
        said = turn | {"items": self._items(turn)}
        generation = Generation(made, given, context, said, conversation, self.looks, self.shows_early)
        self.responses[generation.id] = generation
        if conversation:
            conversation.running = generation
            conversation.items += given if self.shows_early else ()
        return generation

    def _items(self, turn: Json) -> list[Json]:
        items: list[Json] = [{"id": self._id("rs"), "type": "reasoning", "summary": []}]
        if "text" in turn:
            part = {"type": "output_text", "text": turn["text"], "annotations": []}
            common = {"role": "assistant", "status": "completed", "content": [part]}
            items.append({"id": self._id("msg"), "type": "message"} | common)
        for name, arguments in turn.get("calls", ()):
            called = {"call_id": self._id("call"), "name": name, "arguments": arguments}
            items.append({"id": self._id("fc"), "type": "function_call", "status": "completed"} | called)
        for name, arguments in turn.get("approvals", ()):
            asked = {"name": name, "arguments": arguments, "server_label": "files"}
            items.append({"id": self._id("mcpr"), "type": "mcp_approval_request"} | asked)
        items[-1]["ends_turn"] = True
        return items
