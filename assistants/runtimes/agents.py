"""The Agents API: a session is our thread, one of its turns our run, and each output is an event.

A yes to an event only says that it was heard. What became of it is read off the session, which is why
every event carries an idempotency key and may be sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice, takewhile
from typing import Any, cast

import openai
from openai.resources.beta.agents.sessions import Sessions
from openai.types.beta import AgentSession, AgentSessionItem, AgentSessionMessage
from openai.types.beta.agent_session import RequiredAction
from openai.types.beta.agent_session_input_param import AgentSessionInputParam
from openai.types.beta.agent_tool_param import AgentToolParam
from openai.types.beta.agents.sessions import Turn

from assistants import tools
from assistants.models import Connection, Run, ToolCall
from assistants.observe import OWN_ROW, SeenCall, Snapshot
from assistants.reconcile import judge
from assistants.runtimes import clients
from assistants.runtimes.abilities import OF, Abilities
from assistants.runtimes.clients import far_side
from assistants.runtimes.errors import Locked, NotWaiting, Refused, Unreachable

# a turn's items, or the sessions that a lost one is looked for among, at most
LOOK_AT = 1000
# before the name of a tool of another MCP server; a function's name can't have the colon
MCP = "mcp:"

ENDED = {
    "completed": Run.Status.COMPLETED,
    "failed": Run.Status.FAILED,
    "cancelled": Run.Status.CANCELLED,
}
BUDGET = "The session has reached its spending limit; it goes on when that is raised."
UNSERVED = {
    "environment_connection": "The session waits for its environment to be connected.",
    "computer_use_approval_request": "The session waits for an answer about its browser.",
}


@dataclass(frozen=True, slots=True)
class AgentsRuntime:
    sessions: Sessions
    model: str
    can: Abilities = OF[Connection.Protocol.AGENTS]

    @classmethod
    def foreign(cls, connection: Connection) -> AgentsRuntime:
        return cls(clients.foreign(connection).beta.agents.sessions, connection.model)

    def start(self, run: Run, *, again: bool) -> Snapshot:
        try:
            with far_side():
                turn = self._continue(run, again=again) if run.thread_id else self._begin(run, again=again)
                return self._look(run, turn)
        except NotWaiting as error:
            raise _why_not_started(run, error) from error

    def _begin(self, run: Run, *, again: bool) -> Turn:
        session = (self._former(run) if again else None) or self._create(run)
        turns = self.sessions.turns.list(session.id, order="asc", limit=1).data
        if turns:
            return turns[0]
        _check_lives(session)
        raise Unreachable(f"Session {session.id} has not begun its first turn yet.")

    def _create(self, run: Run) -> AgentSession:
        if not self.model:
            raise Refused(f"The connection of {run.assistant.name} names no model.")
        return self.sessions.create(
            agent={
                "model": self.model,
                "instructions": run.assistant.instructions or None,
                "tools": cast("list[AgentToolParam]", tools.schemas("agents")),
            },
            environment={"type": "none"},
            input=run.prompt,
            metadata=_metadata(run),
            # not promised for this call; a server that heeds it spares us a second session
            extra_headers={"Idempotency-Key": run.pk},
        )

    def _former(self, run: Run) -> AgentSession | None:
        """The session that a former attempt made. The filtered list may lag behind, so both are read."""
        filtered = self.sessions.list(metadata={OWN_ROW: run.pk}, limit=1).data
        newest = islice(self.sessions.list(limit=100), LOOK_AT)
        found = (session for session in chain(filtered, newest) if session.metadata.get(OWN_ROW) == run.pk)
        return next(found, None)

    def _continue(self, run: Run, *, again: bool) -> Turn:
        """Nothing but its text ties a turn to the message that began it, so what came before is noted."""
        if again:
            run.refresh_from_db(fields=["latest_id"])
        if not (again and run.latest_id):
            self._note_newest(run)
            again = False
        turn = self._turn_of(run) if again else None
        if turn is None:
            self._say(run)
            turn = self._turn_of(run)
        if turn is None:
            raise Unreachable(f"Session {run.thread_id} has not begun a turn for the message yet.")
        return turn

    def _note_newest(self, run: Run) -> None:
        """The newest turn before the message. The time would not do: the clocks of two hosts may differ."""
        turns = self.sessions.turns.list(run.thread_id, order="desc", limit=1).data
        run.latest_id = turns[0].id if turns else run.thread_id
        Run.objects.filter(pk=run.pk).update(latest_id=run.latest_id)

    def _say(self, run: Run) -> None:
        session = self.sessions.retrieve(run.thread_id)
        _check_lives(session)
        if session.status != "idle":
            # it would be taken for a word to the turn that is under way
            raise Locked(f"Session {session.id} is busy: {session.status}.")
        self.sessions.events.create(
            run.thread_id,
            events=[
                {
                    "type": "agent.session.input.message",
                    "input": [{"role": "user", "content": [{"type": "input_text", "text": run.prompt}]}],
                }
            ],
            idempotency_key=run.pk,
        )

    def _turn_of(self, run: Run) -> Turn | None:
        """The newest turn since then that was begun with our prompt."""
        turns = islice(self.sessions.turns.list(run.thread_id, order="desc", limit=100), LOOK_AT)
        later = {turn.id: turn for turn in takewhile(lambda turn: turn.id != run.latest_id, turns)}
        newest = self.sessions.items.list(run.thread_id, order="desc", limit=100).data if later else ()
        ours = (later[item.turn_id] for item in newest if item.turn_id in later and _says(item, run.prompt))
        return next(ours, None)

    def read(self, run: Run) -> Snapshot:
        with far_side():
            turn = self.sessions.turns.retrieve(run.run_id, session_id=run.thread_id)
            return self._look(run, turn)

    def _look(self, run: Run, turn: Turn) -> Snapshot:
        """The items last: an output that is taken meanwhile then shows, and is not asked for in vain."""
        session = self.sessions.retrieve(turn.session_id)
        listed = self.sessions.turns.items.list(turn.id, session_id=turn.session_id, order="asc", limit=100)
        return _snapshot(run, session, turn, list(islice(listed, LOOK_AT)))

    def submit(self, run: Run, calls: list[ToolCall]) -> None:
        with far_side():
            for call in calls:
                self.sessions.events.create(
                    run.thread_id, events=[_answer(run, call)], idempotency_key=call.pk
                )
        seen = self.read(run)
        found = {judge(call, seen, tried=True) for call in calls}
        if found & {ToolCall.Settled.GONE, ToolCall.Settled.ELSEWHERE}:
            raise NotWaiting(f"Turn {run.run_id} did not take the outputs.")
        if None in found:
            raise Unreachable(f"Session {run.thread_id} accepted the outputs and has not taken them yet.")


def _why_not_started(run: Run, error: NotWaiting) -> Exception:
    if not isinstance(error.__cause__, openai.ConflictError):
        return Refused(str(error))
    return Locked(str(error)) if run.thread_id else Unreachable(str(error))


def _check_lives(session: AgentSession) -> None:
    if session.status == "failed":
        raise Refused(f"Session {session.id} has failed: {session.error or 'it does not say why'}")
    if session.status == "budget_reached":
        raise Unreachable(BUDGET)


def _says(item: AgentSessionItem, prompt: str) -> bool:
    return item.type == "message" and item.role == "user" and _text(item).strip() == prompt.strip()


def _metadata(run: Run) -> dict[str, str]:
    named = {OWN_ROW: run.pk, "mailbox_id": run.mailbox_id, "email_id": run.email_id}
    return {key: value for key, value in named.items() if value}


def _answer(run: Run, call: ToolCall) -> AgentSessionInputParam:
    if call.name.startswith(MCP):
        return {
            "type": "agent.session.input.mcp_approval_request_result",
            "request_id": call.call_id,
            # no person can be asked here about what other servers' tools do
            "response": {"type": "mcp_tool_call", "decision": "deny"},
        }
    return {
        "type": "agent.session.input.tool_result",
        "turn_id": run.run_id,
        "call_id": call.call_id,
        "success": True,
        "output": call.output or "",
    }


def _snapshot(run: Run, session: AgentSession, turn: Turn, items: list[AgentSessionItem]) -> Snapshot:
    actions = [one for one in session.required_actions if getattr(one, "turn_id", turn.id) == turn.id]
    return Snapshot(
        run_id=turn.id,
        thread_id=session.id,
        remote_assistant_id=session.agent.id,
        status=_status(session, turn, actions),
        calls=list(_calls(actions)),
        transcript=[_said(item, turn) for item in items if item.type == "message"],
        last_error=_error(session, turn, actions),
        # a session's own names the run that made it, which need not be this one
        metadata=session.metadata | {OWN_ROW: run.pk},
        outputs=dict(_outputs(items)),
    )


def _status(session: AgentSession, turn: Turn, actions: list[RequiredAction]) -> Run.Status:
    if turn.status in ENDED:
        return ENDED[turn.status]
    if session.status == "failed":
        return Run.Status.FAILED
    # the turn was read before the session, which therefore knows better
    if actions:
        return Run.Status.REQUIRES_ACTION
    return Run.Status.QUEUED if turn.status == "queued" else Run.Status.IN_PROGRESS


def _calls(actions: list[RequiredAction]) -> Iterator[SeenCall]:
    for action in actions:
        if action.type == "function_call":
            yield SeenCall(action.call_id, action.name, _json(action.arguments))
        elif action.type == "mcp_approval_request":
            asked = action.request
            yield SeenCall(
                action.request_id, f"{MCP}{asked.server_label}.{asked.name}", _json(asked.arguments or {})
            )


def _json(arguments: object) -> str:
    """As text, which is what some servers have already."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _error(session: AgentSession, turn: Turn, actions: list[RequiredAction]) -> str:
    if turn.error:
        return turn.error.message
    if turn.status in ENDED:
        return ""
    if session.status == "budget_reached":
        return BUDGET
    unserved = [one.type for one in actions if one.type not in ("function_call", "mcp_approval_request")]
    if unserved:
        asked = UNSERVED.get(unserved[0], f"The session waits for {unserved[0]}.")
        return (
            f"{asked} Counterseal can't answer that; do it where the session is managed, or cancel the turn."
        )
    return (session.error or "") if session.status == "failed" else ""


def _outputs(items: list[AgentSessionItem]) -> Iterator[tuple[str, str]]:
    for item in items:
        if item.type == "function_call_output":
            yield item.call_id, _plain(item.output) or item.error or ""


def _said(message: AgentSessionMessage, turn: Turn) -> dict[str, str]:
    """Items carry no time of their own: what was asked began the turn, what was answered ended it."""
    at = turn.created_at if message.role == "user" else turn.completed_at or turn.created_at
    return {
        "role": message.role,
        "text": _text(message),
        "at": datetime.fromtimestamp(at, UTC).isoformat(),
    }


def _text(message: AgentSessionMessage) -> str:
    return _plain(message.content)


def _plain(content: str | Iterable[Any] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text for part in content if hasattr(part, "text"))
