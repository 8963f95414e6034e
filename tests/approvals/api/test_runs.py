"""GET /v1/tools, /v1/runs, /v1/runs/{id}."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.models import OutboundMessage
from assistants import tools
from assistants.models import ApiKey, Assistant, Run, ToolCall
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, held

NAMES = ["send_email", "check_inbox", "read_email", "reply_email", "tag_email"]


@pytest.mark.parametrize("format", ["assistants", "responses", "mcp"])
def test_the_five_tools_come_ready_to_register(agent: Caller, format: str) -> None:
    answer = agent.get(f"/v1/tools?format={format}").json()
    assert answer["items"] == answer["tools"]
    functions = [tool["function"] if format == "assistants" else tool for tool in answer["tools"]]
    assert [function["name"] for function in functions] == NAMES
    for function in functions:
        schema = function["inputSchema" if format == "mcp" else "parameters"]
        assert set(schema["required"]) <= set(schema["properties"])
        assert function["description"]


def test_the_arguments_are_those_that_the_flat_calls_take() -> None:
    arguments = {tool.name: set(tool.properties) for tool in tools.TOOLS}
    assert arguments["send_email"] == {"to", "subject", "body", "mailbox_id"}
    assert arguments["check_inbox"] == {"mailbox_id", "limit"}
    assert arguments["read_email"] == {"email_id", "mailbox_id"}
    assert arguments["reply_email"] == {"email_id", "body", "mailbox_id"}
    assert arguments["tag_email"] == {"email_id", "action", "tags", "key", "mailbox_id"}


def test_with_a_mailbox_only_that_one_can_be_named(agent: Caller, mailbox: Mailbox) -> None:
    for tool in agent.get(f"/v1/tools?mailbox_id={mailbox.pk}").json()["tools"]:
        assert tool["function"]["parameters"]["properties"]["mailbox_id"]["enum"] == [mailbox.pk]
    assert "enum" not in tools.TOOLS[0].parameters()["properties"]["mailbox_id"]


def test_tools_of_a_mailbox_out_of_reach_are_404(stranger: Caller, agent: Caller, mailbox: Mailbox) -> None:
    assert stranger.get(f"/v1/tools?mailbox_id={mailbox.pk}").status_code == 404
    assert agent.get("/v1/tools?format=xml").status_code == 400


def a_run(assistant: Assistant, number: int = 1, status: str = "requires_action") -> Run:
    run = Run.objects.create(
        assistant=assistant, driver="caller", status=status, run_id=f"run_{number}", thread_id="thread_1"
    )
    ToolCall.objects.create(run=run, call_id=f"call_{number}", name="send_email", arguments="{}")
    ToolCall.objects.create(
        run=run, call_id="call_b", position=1, name="check_inbox", arguments="{}", output="{}"
    )
    return run


def test_a_run_is_told_with_its_calls_and_holds(
    agent: Caller, assistant: Assistant, mailbox: Mailbox, api_key: ApiKey
) -> None:
    run = a_run(assistant)
    message = held(mailbox, api_key)
    OutboundMessage.objects.filter(pk=message.pk).update(run=run)
    for name in (run.pk, run.run_id):
        told = agent.get(f"/v1/runs/{name}").json()
        assert (told["id"], told["run_id"], told["state"]) == (run.pk, "run_1", "requires_action")
        assert [call["id"] for call in told["calls"]] == ["call_1", "call_b"]
        assert told["resume"] == {"calls": 2, "open": 1, "submitted": 0}
        assert told["holds"][0]["email_id"] == message.pk
        assert told["holds"][0]["status"] == "pending_send_approval"


def test_an_assistant_sees_its_own_runs_only(
    agent: Caller, stranger: Caller, overseer: Caller, assistant: Assistant
) -> None:
    run = a_run(assistant)
    assert [r["id"] for r in agent.get("/v1/runs").json()["runs"]] == [run.pk]
    for other in (stranger, overseer):
        assert other.get("/v1/runs").json()["items"] == []
        assert other.get(f"/v1/runs/{run.pk}").status_code == 404
        assert other.get(f"/v1/runs/{run.run_id}").status_code == 404


def test_runs_are_listed_by_state(agent: Caller, assistant: Assistant) -> None:
    waiting, done = a_run(assistant), a_run(assistant, 2, "completed")
    assert [r["id"] for r in agent.get("/v1/runs").json()["runs"]] == [done.pk, waiting.pk]
    assert [r["id"] for r in agent.get("/v1/runs?state=completed").json()["runs"]] == [done.pk]
    assert agent.get("/v1/runs?state=asleep").status_code == 400


@pytest.mark.parametrize("how_many", [1, 3])
def test_the_number_of_queries_does_not_grow(
    django_assert_num_queries: Any,
    agent: Caller,
    assistant: Assistant,
    mailbox: Mailbox,
    api_key: ApiKey,
    how_many: int,
) -> None:
    for number in range(how_many):
        run = a_run(assistant, number)
        OutboundMessage.objects.filter(pk=held(mailbox, api_key, f"Order {number}").pk).update(run=run)
    agent.get("/v1/runs")
    with django_assert_num_queries(4):  # key, runs with assistants, calls, messages with emails
        assert len(agent.get("/v1/runs").json()["runs"]) == how_many


def test_another_assistants_run_of_the_same_name_stays_hidden(agent: Caller, assistant: Assistant) -> None:
    a_run(factories.an_assistant())
    assert agent.get("/v1/runs/run_1").status_code == 404


ADOPTED = {"thread_id": "thread_1", "run_id": "run_1"}


def test_a_caller_hands_its_run_over(agent: Caller, assistant: Assistant, mailbox: Mailbox) -> None:
    assistant.connection = factories.a_connection([])
    assistant.save()
    run = a_run(assistant)
    answer = agent.post("/v1/runs", ADOPTED | {"connection": assistant.connection.name})
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["driver"]) == (run.pk, "counterseal")
    assert agent.post("/v1/runs", ADOPTED).json()["id"] == run.pk


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "a/b", "a b", "a\t", "a\n", "\x00", "\ud800", "\x1b", "\u2028", "\x85", "x" * 201]
)
@pytest.mark.parametrize("name", ["thread_id", "run_id"])
def test_what_is_no_id_is_asked_of_no_server(
    agent: Caller, assistant: Assistant, name: str, bad: str
) -> None:
    assistant.connection = factories.a_connection(protocol="assistants", base_url="http://127.0.0.1:1/v1")
    assistant.save()
    answer = agent.post("/v1/runs", ADOPTED | {name: bad})
    assert (answer.status_code, answer.json()["field"]) == (400, name)


def test_what_cannot_be_adopted_is_refused_with_a_sentence(
    agent: Caller, stranger: Caller, assistant: Assistant
) -> None:
    answer = agent.post("/v1/runs", ADOPTED)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert "no model connection" in answer.json()["error"]
    assert agent.post("/v1/runs", {"run_id": "run_1"}).json()["field"] == "thread_id"
    assert agent.post("/v1/runs", ADOPTED | {"connection": "Elsewhere"}).status_code == 403
    assistant.connection = factories.a_connection([])
    assistant.save()
    assert agent.post("/v1/runs", ADOPTED).status_code == 404
    ended = a_run(assistant)
    Run.objects.update(status="completed", ended_at=ended.created_at)
    answer = agent.post("/v1/runs", ADOPTED)
    assert (answer.status_code, answer.json()["code"]) == (409, "run_ended")
    program = Caller(factories.a_key(factories.an_integration()))
    assert program.post("/v1/runs", ADOPTED).status_code == 403
