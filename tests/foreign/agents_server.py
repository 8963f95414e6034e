"""Somebody else's Agents API, on loopback, as the official types have it.

`.script` holds what the model does in each turn: a list of steps, each the calls that it makes or the
text that it ends with. `.journal` is the independent record of every output that a turn took.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from openai.types.beta import AgentSession, AgentSessionItem
from openai.types.beta.agents.sessions import Turn
from pydantic import TypeAdapter

Json = dict[str, Any]
Step = str | Json | list[tuple[str, Json]]  # what is said, another required action, or calls

SESSION: TypeAdapter[Any] = TypeAdapter(AgentSession)
TURN: TypeAdapter[Any] = TypeAdapter(Turn)
ITEM: TypeAdapter[Any] = TypeAdapter(AgentSessionItem)

AGENT = {
    "id": "agent_1",
    "instructions": None,
    "multi_agent": {"enabled": False, "max_concurrent_subagents": None},
    "name": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "auto",
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
}


@dataclass(frozen=True)
class Asked:
    line: str  # "METHOD path"
    query: dict[str, str]
    headers: dict[str, str]
    sent: Json

    @classmethod
    def of(cls, scope: Any, body: bytes) -> Asked:
        return cls(
            f"{scope['method']} {scope['path'].removeprefix('/v1')}",
            dict(parse_qsl(scope["query_string"].decode())),
            {name.decode(): value.decode() for name, value in scope["headers"]},
            json.loads(body) if body else {},
        )


class Fault(Exception):
    def __init__(self, status: int, message: str, code: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": code, "param": None, "code": code}}


@dataclass
class Session:
    id: str
    created_at: int
    metadata: dict[str, str]
    agent: Json
    status: str = "idle"
    error: str | None = None
    turns: list[Json] = field(default_factory=list)
    items: list[Json] = field(default_factory=list)
    actions: list[Json] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)  # of the turn that is under way
    keys: dict[str, Any] = field(default_factory=dict)
    heard: list[Json] = field(default_factory=list)  # accepted, not yet applied

    def shown(self) -> Json:
        return {
            "id": self.id,
            "object": "agent.session",
            "agent": self.agent,
            "created_at": self.created_at,
            "last_active_at": self.created_at,
            "environment": {"type": "none"},
            "error": self.error,
            "metadata": self.metadata,
            "required_actions": self.actions,
            "status": self.status,
            "usage": None,
            "vault_ids": [],
        }


class FakeAgents:
    def __init__(self) -> None:
        self.url = ""
        # never set back: one server's ids are unlike each other
        self._number = count(1)
        self.reset()

    def reset(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.script: list[list[Step]] = []  # one list of steps for each turn to come; then "Done."
        self.journal: list[tuple[str, str]] = []  # (call id, output), in the order in which they were taken
        self.requests: list[Asked] = []
        # patterns of "METHOD path"; at the next that fits nothing is done, or all is and the reply is lost
        self.fails_before = self.loses_reply = ""
        self.heeds_keys = True
        # accepted events stay in the queue until `.apply()`
        self.is_slow = False
        # new sessions are missing in lists with a filter
        self.list_lags = False

    # what a test does

    @property
    def outputs(self) -> dict[str, list[str]]:
        """Every output that was taken, by call id."""
        taken: dict[str, list[str]] = {}
        for call_id, output in self.journal:
            taken.setdefault(call_id, []).append(output)
        return taken

    @property
    def session(self) -> Session:
        """The only one."""
        (session,) = self.sessions.values()
        return session

    def saved(self) -> Json:
        """All that it remembers, for `.restore()`."""
        return deepcopy({name: value for name, value in vars(self).items() if name != "_number"})

    def restore(self, saved: Json) -> None:
        vars(self).update(deepcopy(saved))

    def apply(self) -> None:
        for session in self.sessions.values():
            while session.heard:
                self._take(session, session.heard.pop(0))

    def end(self, session: Session, status: str, error: Json | None = None) -> None:
        """The turn that is under way ends without its outputs."""
        session.turns[-1] |= {"status": status, "error": error, "completed_at": self._now()}
        session.actions, session.steps, session.status = [], [], "idle"

    def asked(self, pattern: str) -> list[Asked]:
        """The requests so far whose "METHOD path" fits."""
        return [one for one in self.requests if re.fullmatch(pattern, one.line)]

    # the protocol

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        asked = Asked.of(scope, body)
        status, answer, is_lost = self._answered(asked)
        text = json.dumps(answer).encode() if answer is not None else b""
        # the connection ends before the reply does
        length = str(len(text) + is_lost).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    def _answered(self, asked: Asked) -> tuple[int, Any, bool]:
        """Status, body, and whether the reply gets lost."""
        self.requests.append(asked)
        try:
            if self.fails_before and re.search(self.fails_before, asked.line):
                self.fails_before = ""
                raise Fault(503, "The server is overloaded.", "server_error")
            is_lost = bool(self.loses_reply and re.search(self.loses_reply, asked.line))
            self.loses_reply = "" if is_lost else self.loses_reply
            return *self._routed(asked), is_lost
        except Fault as fault:
            return fault.status, fault.body, False

    def _routed(self, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("openai-beta") != "agents=v1":
            raise Fault(400, "The Agents API needs the header OpenAI-Beta: agents=v1.")
        if asked.line == "POST /agents/sessions":
            return 200, _checked(self._create(asked.sent).shown())
        if asked.line == "GET /agents/sessions":
            return 200, _page([one.shown() for one in self._list(asked.query)], asked.query)
        for pattern, handler in self._of_a_session.items():
            if found := re.fullmatch(pattern, asked.line):
                return handler(self, self._found(found[1]), asked, *found.groups()[1:])
        raise Fault(404, f"Unknown address {asked.line}.", "not_found_error")

    def _found(self, session_id: str) -> Session:
        if session_id not in self.sessions:
            raise Fault(404, f"No session found with id '{session_id}'.", "not_found_error")
        return self.sessions[session_id]

    def _retrieve(self, session: Session, asked: Asked) -> tuple[int, Any]:
        return 200, _checked(session.shown())

    def _turns(self, session: Session, asked: Asked) -> tuple[int, Any]:
        return 200, _page(session.turns, asked.query)

    def _turn(self, session: Session, asked: Asked, turn_id: str) -> tuple[int, Any]:
        for turn in session.turns:
            if turn["id"] == turn_id:
                return 200, _checked(turn)
        raise Fault(404, f"No turn found with id '{turn_id}'.", "not_found_error")

    def _items(self, session: Session, asked: Asked, turn_id: str = "") -> tuple[int, Any]:
        return 200, _page([one for one in session.items if turn_id in ("", one["turn_id"])], asked.query)

    def _events(self, session: Session, asked: Asked) -> tuple[int, Any]:
        key, events = asked.headers.get("idempotency-key", ""), asked.sent["events"]
        if self.heeds_keys and key in session.keys:
            if session.keys[key] != events:
                raise Fault(409, "This idempotency key was used with different input.", "conflict_error")
            return 202, None
        for event in events:
            self._check(session, event)
        session.keys |= {key: events} if key else {}
        for event in events:
            self._hear(session, event)
        return 202, None

    _of_a_session: ClassVar[dict[str, Callable[..., tuple[int, Any]]]] = {
        r"GET /agents/sessions/([^/]+)": _retrieve,
        r"POST /agents/sessions/([^/]+)/events": _events,
        r"GET /agents/sessions/([^/]+)/items": _items,
        r"GET /agents/sessions/([^/]+)/turns": _turns,
        r"GET /agents/sessions/([^/]+)/turns/([^/]+)": _turn,
        r"GET /agents/sessions/([^/]+)/turns/([^/]+)/items": _items,
    }

    def _create(self, sent: Json) -> Session:
        agent, text = sent.get("agent") or {}, sent.get("input")
        if not agent.get("model"):
            raise Fault(400, "agent.model is required when agent_id is omitted")
        if sent["environment"] != {"type": "none"} or not isinstance(text, str) or not text:
            raise Fault(400, "input is required when environment.type is none")
        tools = [self._tool(tool) for tool in agent.get("tools") or []]
        shown = AGENT | {"model": agent["model"], "instructions": agent.get("instructions"), "tools": tools}
        session = Session(f"sess_{next(self._number)}", self._now(), sent.get("metadata") or {}, shown)
        self.sessions[session.id] = session
        self._hear(session, {"type": "agent.session.input.message", "input": [_user(text)]})
        return session

    def _tool(self, tool: Json) -> Json:
        if tool.keys() - {"type", "name", "description", "parameters", "defer_loading", "async"}:
            raise Fault(400, f"Unknown fields in the tool {tool['name']}.")
        return {"defer_loading": False} | tool

    def _list(self, query: dict[str, str]) -> list[Session]:
        wanted = {name[9:-1]: value for name, value in query.items() if name.startswith("metadata[")}
        if wanted and self.list_lags:
            return []
        return [one for one in self.sessions.values() if wanted.items() <= one.metadata.items()]

    def _check(self, session: Session, event: Json) -> None:
        waiting = {one.get("call_id") or one.get("request_id") for one in session.actions}
        answered = event.get("call_id") or event.get("request_id")
        if answered and answered not in waiting:
            raise Fault(400, f"Unknown pending tool call: {answered}")
        if event["type"] == "agent.session.input.tool_result":
            if event["turn_id"] != session.turns[-1]["id"]:
                raise Fault(400, "The tool call belongs to a different turn.")
            if not isinstance(event["success"], bool) or not isinstance(event.get("output"), str):
                raise Fault(400, "A result has success and output.")

    def _hear(self, session: Session, event: Json) -> None:
        session.heard.append(event)
        if not self.is_slow:
            self.apply()

    def _take(self, session: Session, event: Json) -> None:
        if event["type"] == "agent.session.input.message":
            return self._message(session, event["input"])
        answered = event.get("call_id") or event["request_id"]
        self.journal.append((answered, event.get("output") or event["response"]["decision"]))
        if "call_id" in event:
            shown = {"call_id": answered, "output": event["output"], "error": None, "status": "completed"}
            self._item(session, "function_call_output", **shown)
        session.actions = [
            one for one in session.actions if answered not in (one.get("call_id"), one.get("request_id"))
        ]
        if not session.actions:
            self._step(session)

    def _message(self, session: Session, messages: list[Json]) -> None:
        begins = session.status == "idle"
        if begins:
            turn = {
                "id": f"turn_{next(self._number)}",
                "object": "agent.session.turn",
                "agent_id": session.agent["id"],
                "session_id": session.id,
                "created_at": self._now(),
                "started_at": self._now(),
                "completed_at": None,
                "error": None,
                "status": "in_progress",
                "subagent_id": None,
                "usage": None,
            }
            session.turns.append(turn)
            session.status = "in_progress"
            session.steps = list(self.script.pop(0)) if self.script else ["Done."]
        for message in messages:
            self._said(session, "user", message["content"])
        if begins:
            self._step(session)

    def _step(self, session: Session) -> None:
        step = session.steps.pop(0) if session.steps else "Done."
        turn = session.turns[-1]
        if isinstance(step, str):
            self._said(session, "assistant", [{"type": "output_text", "text": step}])
            turn |= {"status": "completed", "completed_at": self._now()}
            session.status = "idle"
            return
        asked = [step] if isinstance(step, dict) else [self._called(session, *call) for call in step]
        session.actions = [one | {"turn_id": turn["id"]} for one in asked]
        turn["status"], session.status = "waiting", "requires_action"

    def _called(self, session: Session, name: str, arguments: Json) -> Json:
        call = {"call_id": f"call_{next(self._number)}", "name": name, "arguments": arguments}
        self._item(session, "function_call", status="in_progress", **call)
        return {"type": "function_call", **call}

    def _said(self, session: Session, role: str, content: list[Json]) -> None:
        self._item(session, "message", role=role, content=content, status="completed", phase=None)

    def _item(self, session: Session, kind: str, **fields: Any) -> None:
        of = {"id": f"item_{next(self._number)}", "turn_id": session.turns[-1]["id"], "type": kind}
        session.items.append(of | fields)

    def _now(self) -> int:
        return 1_790_000_000 + next(self._number)


def _user(text: str) -> Json:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def _page(rows: list[Json], query: dict[str, str]) -> Json:
    """Oldest first in `rows`; desc is the default of every list."""
    rows = list(map(_checked, rows))
    if query.get("order", "desc") == "desc":
        rows = rows[::-1]
    if after := query.get("after"):
        rows = rows[[row["id"] for row in rows].index(after) + 1 :]
    limit = int(query.get("limit", 20))
    if not 1 <= limit <= 100:
        raise Fault(400, "limit is between 1 and 100.")
    page = rows[:limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
    return {"object": "list", "data": page, "has_more": len(rows) > limit, **ends}


def _checked(shown: Json) -> Json:
    """As the official client's own types would take it."""
    kinds = {"agent.session": SESSION, "agent.session.turn": TURN}
    kinds.get(shown.get("object", ""), ITEM).validate_python(shown)
    return shown
