"""Runs over Responses, taken step by step as the worker takes them."""

from __future__ import annotations

from typing import Any

from assistants import actions, runtimes
from assistants.models import Assistant, Run, ToolCall
from assistants.observe import observe
from assistants.reconcile import judge
from tests import factories
from tests.foreign.responses_server import ResponsesServer

SEND = ("send_email", '{"to": "a@far.test"}')
INBOX = ("check_inbox", "{}")
# its model asks for two things, then for one, and is done
TURNS: list[dict[str, Any]] = [
    {"text": "One moment.", "calls": [SEND, INBOX]},
    {"calls": [SEND]},
    {"text": "Sent."},
]
CREATE, ITEMS = "POST /responses", "GET /conversations"


def over_responses(assistant: Assistant, server: ResponsesServer) -> Assistant:
    assistant.connection = factories.a_connection(
        protocol="responses", base_url=server.url, model="best", models_served={"best": "served"}
    )
    assistant.instructions = "Be brief."
    assistant.save()
    return assistant


def planned(assistant: Assistant, prompt: str = "Write to Anna.", **fields: Any) -> Run:
    return actions.plan_run(assistant, cause=Run.Cause.PERSON, prompt=prompt, **fields)


def look(run: Run) -> Run:
    run = Run.objects.select_related("assistant", "connection").get(pk=run.pk)
    return observe(run.assistant, run.driver, runtimes.of(run).read(run))


def waiting(assistant: Assistant, **fields: Any) -> Run:
    run = look(actions.start(planned(assistant, **fields)))
    assert run.status == "requires_action"
    return run


def answered(run: Run, output: str = '{"status": "sent"}') -> list[ToolCall]:
    run.calls.filter(output=None).update(output=output)
    return list(run.calls.filter(settled="").order_by("position"))


def submit(run: Run) -> None:
    run.refresh_from_db()
    calls = answered(run)
    runtimes.of(run).submit(run, calls)
    actions.settle(calls, ToolCall.Settled.SUBMITTED)


def verdicts(run: Run) -> set[str | None]:
    run.refresh_from_db()
    seen = runtimes.of(run).read(run)
    return {judge(call, seen, tried=True) for call in run.calls.filter(settled="")}


def said(run: Run) -> list[tuple[str, str]]:
    return [(entry["role"], entry["text"]) for entry in run.transcript]
