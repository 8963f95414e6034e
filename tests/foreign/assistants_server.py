"""Somebody else's server of the Assistants protocol, on loopback, in its ways (see assistants_ways.py).

`.scripts` holds what the model does in each run to come: a list of turns, each the calls that it makes or
the text that it ends with. `.journal` is the independent record of every output that was taken. A run is
one turn further with the next request, whatever that asks for.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl

from tests.foreign.assistants_objects import ACTIVE, Run, Step, Turn, page, shown_run, shown_step
from tests.foreign.assistants_ways import REFERENCE, Ways
from tests.servers import AsgiServer

Json = dict[str, Any]

Answer = tuple[int, Any]  # status and body

KEY = "sk-far-7f3a9c"
BASE = r"^(/v1|/api/projects/[^/]+)"  # where the server's addresses may begin


@dataclass(frozen=True)
class Asked:
    line: str  # "METHOD path"
    query: dict[str, str]
    headers: dict[str, str]
    sent: Json

    @classmethod
    def of(cls, scope: Any, body: bytes) -> Asked:
        return cls(
            f"{scope['method']} {re.sub(BASE, '', scope['path'])}",
            dict(parse_qsl(scope["query_string"].decode())),
            {name.decode(): value.decode() for name, value in scope["headers"]},
            json.loads(body) if body else {},
        )


# what is answered in place of doing it
NOT_DONE: dict[str, Answer] = {
    "refuses": (503, {"error": {"message": "Overloaded."}}),
    "throttles": (429, {"error": {"message": "Too many requests."}}),
    "proxy": (404, "<html>There is nothing here at the moment.</html>"),
    "nonsense": (200, "[]"),
}


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeAssistants:
    def __init__(self, ways: Ways = REFERENCE) -> None:
        self.url = ""
        # never set back: one server's ids are unlike each other
        self._number = count(1)
        self.reset(ways)

    def reset(self, ways: Ways = REFERENCE) -> None:
        self.ways = ways
        self.scripts: list[list[Turn]] = []
        self.journal: list[tuple[str, str, str]] = []  # (run, call, output)
        self.requests: list[Asked] = []
        self.assistants: dict[str, Json] = {}
        self.threads: dict[str, Json] = {}
        self.messages: dict[str, list[Json]] = {}  # by thread, oldest first
        self.runs: dict[str, Run] = {}
        # the model takes its time: runs stay as they are
        self.is_busy = False
        # called when a request was done and before it is answered
        self.meanwhile: Callable[[Asked], None] = lambda asked: None
        self.retry_after = "7"
        self._faults: list[tuple[str, str | Answer]] = []
        self._passed = 0.0

    @classmethod
    @contextmanager
    def running(cls, ways: Ways = REFERENCE) -> Iterator[Self]:
        fake = cls(ways)
        with AsgiServer.running(fake) as server:
            fake.url = server.url
            yield fake

    # what a test does

    def fault(self, pattern: str, kind: str | Answer) -> None:
        """At the next request whose "METHOD path" has `pattern` in it. Done, and the reply is lost: `drops`,
        `errs` (500), `hangs`. Nothing is done: see NOT_DONE, or (status, body).
        """
        self._faults.append((pattern, kind))

    def saved(self) -> Json:
        """All that it remembers, for `.restore()`."""
        return deepcopy({name: value for name, value in vars(self).items() if name != "_number"})

    def restore(self, saved: Json) -> None:
        vars(self).update(deepcopy(saved))

    def begin(self, thread_id: str) -> str:
        """A run that somebody else starts, as far as its first turn. Returns its id."""
        run = Run(self._id("run"), thread_id, self._seconds(), {"assistant_id": "asst_x"}, self.scripts.pop())
        self.runs[run.id] = run
        self._turn(run)
        return run.id

    def answer(self, run_id: str, call_id: str, output: str) -> None:
        """What somebody else submits."""
        self._take(self.runs[run_id], {call_id: output})

    def pass_time(self, seconds: float) -> None:
        self._passed += seconds

    def outputs(self) -> dict[str, list[str]]:
        """Every output that was taken, by call id."""
        taken: dict[str, list[str]] = {}
        for _, call_id, output in self.journal:
            taken.setdefault(call_id, []).append(output)
        return taken

    def asked(self, pattern: str) -> list[Asked]:
        """The requests so far whose "METHOD path" has `pattern` at its end."""
        return [one for one in self.requests if re.search(pattern + "$", one.line)]

    def said(self, thread_id: str) -> list[str]:
        return [message["content"][0]["text"]["value"] for message in self.messages[thread_id]]

    # the protocol

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        asked = Asked.of(scope, body)
        self.requests.append(asked)
        kind = self._fault_of(asked)
        if isinstance(kind, str) and kind not in NOT_DONE:
            status, answer = self._answered(asked)
            self.meanwhile(asked)
        else:
            status, answer = NOT_DONE[kind] if isinstance(kind, str) else kind
        if kind == "hangs":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if kind == "errs":
            status, answer = 500, self.ways.error("Something went wrong.")
        retry_after = self.retry_after if kind == "throttles" else ""
        await _reply(send, status, answer, is_dropped=kind == "drops", retry_after=retry_after)

    def _fault_of(self, asked: Asked) -> str | Answer:
        for fault in self._faults:
            if re.search(fault[0], asked.line):
                self._faults.remove(fault)
                return fault[1]
        return ""

    def _answered(self, asked: Asked) -> tuple[int, Any]:
        try:
            self._admit(asked)
            self._move_on()
            for pattern, handler in self._routes.items():
                if found := re.fullmatch(pattern, asked.line):
                    return 200, handler(self, asked, *found.groups())
            raise Refusal(404, f"Unknown address {asked.line}.")
        except Refusal as refusal:
            return refusal.status, self.ways.error(str(refusal))

    def _admit(self, asked: Asked) -> None:
        key = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if key != KEY:
            raise Refusal(401, f"Incorrect API key provided: {key}.")
        if self.ways.api_version != asked.query.get("api-version", ""):
            raise Refusal(400, "The api-version query parameter is missing or not supported.")

    # assistants, threads and messages

    def _create_assistant(self, asked: Asked) -> Json:
        if not asked.sent.get("model"):
            raise Refusal(400, "Missing required parameter: 'model'.")
        given = {name: asked.sent.get(name) for name in ("name", "description", "model", "instructions")}
        made = {"id": self._id("asst"), "object": "assistant", "created_at": self._now()} | given
        made |= {"tools": asked.sent.get("tools") or [], "metadata": asked.sent.get("metadata") or {}}
        self.assistants[made["id"]] = made
        return made

    def _assistant(self, asked: Asked, id: str) -> Json:
        if id not in self.assistants:
            raise Refusal(404, f"No assistant found with id '{id}'.")
        return self.assistants[id]

    def _create_thread(self, asked: Asked) -> Json:
        id = self._id("thread")
        self.threads[id] = {
            "id": id,
            "object": "thread",
            "created_at": self._now(),
            "metadata": asked.sent.get("metadata") or {},
            "tool_resources": None,
        }
        self.messages[id] = []
        for message in asked.sent.get("messages") or []:
            self._say(id, message["role"], message["content"], message.get("metadata"))
        return self.threads[id]

    def _thread(self, asked: Asked, id: str) -> Json:
        if id not in self.threads:
            raise Refusal(404, f"No thread found with id '{id}'.")
        return self.threads[id]

    def _add_message(self, asked: Asked, id: str) -> Json:
        self._thread(asked, id)
        if (active := self._active(id)) and self.ways.locks:
            raise Refusal(400, f"Can't add messages to {id} while a run {active.id} is active.")
        return self._say(id, asked.sent["role"], asked.sent["content"], asked.sent.get("metadata"))

    def _say(
        self, thread_id: str, role: str, text: str, metadata: Any = None, run: Run | None = None
    ) -> Json:
        said = {
            "id": self._id("msg"),
            "object": "thread.message",
            "created_at": self._now(),
            "thread_id": thread_id,
            "role": role,
            "status": "completed",
            "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
            "assistant_id": run.sent["assistant_id"] if run else None,
            "run_id": run.id if run else None,
            "attachments": [],
            "metadata": (metadata or {}) if self.ways.metadata else None,
        }
        self.messages[thread_id].append(said)
        return said

    def _list_messages(self, asked: Asked, id: str) -> Json:
        self._thread(asked, id)
        return page(self.ways, self.messages[id], asked.query)

    # runs

    def _create_thread_and_run(self, asked: Asked) -> Json | list[Json]:
        self._assistant(asked, asked.sent["assistant_id"])
        thread = self._create_thread(Asked("", {}, {}, asked.sent.get("thread") or {}))
        return self._begin(asked, thread["id"])

    def _create_run(self, asked: Asked, id: str) -> Json | list[Json]:
        self._thread(asked, id)
        self._assistant(asked, asked.sent["assistant_id"])
        if (active := self._active(id)) and self.ways.locks:
            raise Refusal(400, f"Thread {id} already has an active run {active.id}.")
        if self.ways.additional_messages:
            for message in asked.sent.get("additional_messages") or []:
                self._say(id, message["role"], message["content"], message.get("metadata"))
        return self._begin(asked, id)

    def _begin(self, asked: Asked, thread_id: str) -> Json | list[Json]:
        turns = self.scripts.pop(0) if self.scripts else ["All right."]
        run = Run(self._id("run"), thread_id, self._seconds(), asked.sent, list(turns))
        self.runs[run.id] = run
        return self._streamed(run) if asked.sent.get("stream") else shown_run(self.ways, run)

    def _active(self, thread_id: str) -> Run | None:
        found = (run for run in self.runs.values() if run.thread_id == thread_id and run.status in ACTIVE)
        return next(found, None)

    def _run(self, thread_id: str, id: str) -> Run:
        if id not in self.runs or self.runs[id].thread_id != thread_id:
            raise Refusal(404, f"No run found with id '{id}'.")
        return self.runs[id]

    def _retrieve(self, asked: Asked, thread_id: str, id: str) -> Json:
        return shown_run(self.ways, self._run(thread_id, id))

    def _list_runs(self, asked: Asked, thread_id: str) -> Json:
        self._thread(asked, thread_id)
        runs = [shown_run(self.ways, run) for run in self.runs.values() if run.thread_id == thread_id]
        if self.ways.metadata == "metadata_":
            runs = [{**run, "metadata_": run.pop("metadata")} for run in runs]
        return page(self.ways, runs, asked.query)

    def _cancel(self, asked: Asked, thread_id: str, id: str) -> Json:
        run = self._run(thread_id, id)
        if not self.ways.cancels:
            raise Refusal(404, f"Unknown address {asked.line}.")
        if run.status not in ACTIVE:
            raise Refusal(400, f"Cannot cancel run with status '{run.status}'.")
        run.status = "cancelled"
        return shown_run(self.ways, run)

    def _submit(self, asked: Asked, thread_id: str, id: str) -> Json | list[Json]:
        run, outputs = self._run(thread_id, id), asked.sent["tool_outputs"]
        waiting = {call["id"]: call for call in run.open_calls}
        got = [one["tool_call_id"] for one in outputs]
        if not waiting:
            status = 404 if self.ways.ended_is_missing else 400
            raise Refusal(status, f'Runs in status "{run.status}" do not accept tool outputs.')
        bogus = set(got) - set(waiting)
        if bogus or (set(waiting) - set(got) and not self.ways.partial):
            status = 500 if bogus and self.ways.breaks_on_bogus else 400
            raise Refusal(status, f"Expected tool outputs for call_ids {list(waiting)}, got {got}")
        self._take(run, {one["tool_call_id"]: one["output"] for one in outputs})
        return self._streamed(run) if asked.sent.get("stream") else shown_run(self.ways, run)

    def _take(self, run: Run, outputs: dict[str, str]) -> None:
        for call in run.open_calls:
            if call["id"] in outputs:
                call["output"] = outputs[call["id"]]
                self.journal.append((run.id, call["id"], call["output"]))
        if not run.open_calls:
            run.steps[-1].status, run.status = "completed", "queued"

    def _list_steps(self, asked: Asked, thread_id: str, id: str) -> Json:
        run = self._run(thread_id, id)
        if not self.ways.has_steps:
            raise Refusal(404, f"Unknown address {asked.line}.")
        return page(self.ways, [shown_step(self.ways, run, step) for step in run.steps], asked.query)

    _routes: ClassVar[dict[str, Callable[..., Any]]] = {
        r"POST /assistants": _create_assistant,
        r"GET /assistants/([^/]+)": _assistant,
        r"POST /threads": _create_thread,
        r"POST /threads/runs": _create_thread_and_run,
        r"GET /threads/([^/]+)": _thread,
        r"POST /threads/([^/]+)/messages": _add_message,
        r"GET /threads/([^/]+)/messages": _list_messages,
        r"POST /threads/([^/]+)/runs": _create_run,
        r"GET /threads/([^/]+)/runs": _list_runs,
        r"GET /threads/([^/]+)/runs/([^/]+)": _retrieve,
        r"POST /threads/([^/]+)/runs/([^/]+)/cancel": _cancel,
        r"POST /threads/([^/]+)/runs/([^/]+)/submit_tool_outputs": _submit,
        r"GET /threads/([^/]+)/runs/([^/]+)/steps": _list_steps,
    }

    # what the model does meanwhile

    def _move_on(self) -> None:
        for run in self.runs.values():
            lives = self.ways.lifetime is None or self._seconds() < run.created_at + self.ways.lifetime
            if run.status in ACTIVE and not lives and self.ways.notices_expiry:
                run.status = "expired"
            elif run.status == "queued" and not self.is_busy:
                self._turn(run)

    def _turn(self, run: Run) -> None:
        turn = run.turns.pop(0) if run.turns else "Done."
        if isinstance(turn, str):
            message = self._say(run.thread_id, "assistant", turn, run=run)
            run.steps.append(
                Step(self._id("step"), "message_creation", self._seconds(), [], message["id"], "completed")
            )
            run.status = "completed"
            return
        calls = [
            {"id": self._id("call"), "name": name, "arguments": json.dumps(arguments), "output": None}
            for name, arguments in turn
        ]
        run.steps.append(Step(self._id("step"), "tool_calls", self._seconds(), calls))
        run.status = "requires_action"

    def _streamed(self, run: Run) -> list[Json]:
        """The events of a stream: it ends where the run waits, or says one thing more."""
        events = [{"event": "thread.run.created", "data": shown_run(self.ways, run)}]
        self._turn(run)
        events.append({"event": f"thread.run.{run.status}", "data": shown_run(self.ways, run)})
        if self.ways.stray_completed and run.status == "requires_action":
            events.append(
                {"event": "thread.run.completed", "data": shown_run(self.ways, run) | {"status": "completed"}}
            )
        return events

    def _id(self, prefix: str) -> str:
        return self.ways.id(prefix, next(self._number))

    def _seconds(self) -> float:
        return time.time() + self._passed

    def _now(self) -> Any:
        return self.ways.time(self._seconds())


async def _reply(send: Any, status: int, answer: Any, *, is_dropped: bool, retry_after: str) -> None:
    """A list is a stream's events, a text goes as it is. Dropped: the connection ends before the reply."""
    kind, body = b"application/json", json.dumps(answer).encode()
    if isinstance(answer, str):
        kind, body = b"text/html", answer.encode()
    if isinstance(answer, list):
        events = [f"event: {one['event']}\ndata: {json.dumps(one['data'])}\n\n" for one in answer]
        kind, body = b"text/event-stream", "".join([*events, "event: done\ndata: [DONE]\n\n"]).encode()
    headers = [(b"content-type", kind), (b"content-length", str(len(body) + is_dropped).encode())]
    headers += [(b"retry-after", retry_after.encode())] if retry_after else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
