"""What the fake server of the Assistants protocol keeps, and how it shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.foreign.assistants_ways import Ways

Json = dict[str, Any]
Turn = str | list[tuple[str, Json]]

ACTIVE = ("queued", "in_progress", "requires_action", "cancelling")
# strict clients want these named
RUN_NULLS = [
    *("started_at", "cancelled_at", "failed_at", "completed_at", "incomplete_details", "usage"),
    *("max_completion_tokens", "max_prompt_tokens", "response_format", "tool_choice", "truncation_strategy"),
]
STEP_NULLS = ["cancelled_at", "completed_at", "expired_at", "failed_at", "last_error", "metadata", "usage"]


@dataclass
class Step:
    id: str
    type: str
    created_at: float
    calls: list[Json] = field(default_factory=list)  # {"id", "name", "arguments", "output"}
    message_id: str = ""
    status: str = "in_progress"


@dataclass
class Run:
    id: str
    thread_id: str
    created_at: float
    sent: Json
    turns: list[Turn]
    status: str = "queued"
    last_error: Any = None
    steps: list[Step] = field(default_factory=list)

    @property
    def open_calls(self) -> list[Json]:
        waits = self.status == "requires_action"
        return [call for call in self.steps[-1].calls if call["output"] is None] if waits else []


def shown_run(ways: Ways, run: Run) -> Json:
    calls = run.open_calls
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": _listed(calls)}}
    expires = ways.lifetime is not None and run.status in ACTIVE
    shown = {
        "id": run.id,
        "object": "thread.run",
        "created_at": ways.time(run.created_at),
        "thread_id": run.thread_id,
        "assistant_id": run.sent["assistant_id"],
        "status": run.status,
        "required_action": action if calls and ways.lists_calls else None,
        "last_error": run.last_error,
        "model": run.sent.get("model") or "",
        "instructions": run.sent.get("instructions") or "",
        "tools": run.sent.get("tools") or [],
        "metadata": (run.sent.get("metadata") or {}) if ways.metadata else None,
        "parallel_tool_calls": True,
    }
    if ways.shows_expiry:
        shown["expires_at"] = ways.time(run.created_at + (ways.lifetime or 0)) if expires else None
    return shown | dict.fromkeys(RUN_NULLS)


def shown_step(ways: Ways, run: Run, step: Step) -> Json:
    calls = _listed(step.calls)
    for call, kept in zip(calls, step.calls, strict=True):
        call["function"]["output"] = kept["output"] if ways.shows_outputs else None
    details: dict[str, Json] = {
        "tool_calls": {"tool_calls": calls},
        "message_creation": {"message_creation": {"message_id": step.message_id}},
    }
    return {
        "id": step.id,
        "object": "thread.run.step",
        "created_at": ways.time(step.created_at),
        "run_id": run.id,
        "thread_id": run.thread_id,
        "assistant_id": run.sent["assistant_id"],
        "type": step.type,
        "status": step.status,
        "step_details": {"type": step.type, **details[step.type]},
    } | dict.fromkeys(STEP_NULLS)


def _listed(calls: list[Json]) -> list[Json]:
    return [
        {
            "id": one["id"],
            "type": "function",
            "function": {"name": one["name"], "arguments": one["arguments"]},
        }
        for one in calls
    ]


def page(ways: Ways, rows: list[Json], query: Mapping[str, str]) -> Json:
    """Oldest first in `rows`; desc is the default of every list."""
    if ways.sorts and query.get("order", "desc") == "desc":
        rows = rows[::-1]
    limit = int(query.get("limit", 20))
    ends = {"first_id": rows[0]["id"], "last_id": rows[:limit][-1]["id"]} if rows else {}
    return {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit, **ends}
