"""Responses on a server without conversations: chains, in which a second attempt is a branch."""

from __future__ import annotations

import pytest

from assistants import actions, runtimes
from assistants.models import Assistant, Run, ToolCall
from assistants.observe import observe
from tests.assistants.runtimes.responding import (
    CREATE,
    SEND,
    TURNS,
    answered,
    look,
    over_responses,
    planned,
    said,
    submit,
    verdicts,
    waiting,
)
from tests.foreign.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def server(responses_server: ResponsesServer) -> ResponsesServer:
    responses_server.reset(*TURNS)
    responses_server.has_conversations = False
    return responses_server


@pytest.fixture
def assistant(assistant: Assistant, server: ResponsesServer) -> Assistant:
    return over_responses(assistant, server)


def outputs_in(server: ResponsesServer, run: Run) -> list[str]:
    """The call ids of all outputs in the chain that the run has gone on in."""
    run.refresh_from_db()
    made = server.responses[run.latest_id]
    items = [*made.context, *made.given]
    return [item["call_id"] for item in items if item["type"] == "function_call_output"]


@pytest.mark.parametrize("shows_its_input", [True, False])
def test_a_run_waits_goes_on_and_ends(
    assistant: Assistant, server: ResponsesServer, shows_its_input: bool
) -> None:
    server.has_input_items = shows_its_input
    run = waiting(assistant)
    submit(run)
    submit(look(run))
    run = look(run)
    assert run.status == "completed"
    assert said(run) == [("user", "Write to Anna."), ("assistant", "One moment."), ("assistant", "Sent.")]
    assert sorted(outputs_in(server, run)) == sorted(run.calls.values_list("call_id", flat=True))


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_retry_leaves_one_output_per_call_in_the_chain(
    assistant: Assistant, server: ResponsesServer, fault: str
) -> None:
    run = waiting(assistant)
    server.faults = [(CREATE, fault)]
    with pytest.raises(runtimes.Unreachable):
        submit(run)
    assert verdicts(run) == {None}
    submit(run)
    submit(look(run))
    run = look(run)
    assert run.status == "completed"
    assert sorted(outputs_in(server, run)) == sorted(run.calls.values_list("call_id", flat=True))


def test_outputs_that_were_heard_but_not_noted_are_confirmed(
    assistant: Assistant, server: ResponsesServer
) -> None:
    run = waiting(assistant)
    runtimes.of(run).submit(run, answered(run))
    with pytest.raises(runtimes.NotWaiting):
        submit(run)
    assert verdicts(run) == {ToolCall.Settled.CONFIRMED}


def test_the_next_run_goes_on_where_the_last_one_ended(assistant: Assistant, server: ResponsesServer) -> None:
    server.turns = [{"calls": [SEND]}]
    run = waiting(assistant)
    follow_up = planned(assistant, "New mail.", thread_id=run.thread_id)
    with pytest.raises(runtimes.Locked):
        actions.start(follow_up)
    submit(run)
    run = look(run)
    follow_up = look(actions.start(follow_up))
    assert follow_up.status == "completed"
    assert follow_up.thread_id == run.thread_id == f"chain_{run.pk}"
    assert server.asked(CREATE)[-1]["previous_response_id"] == run.latest_id
    assert said(follow_up) == [("user", "New mail."), ("assistant", "Done.")]


def test_a_lost_start_begins_anew(assistant: Assistant, server: ResponsesServer) -> None:
    run = planned(assistant)
    server.faults = [(CREATE, "after")]
    with pytest.raises(runtimes.Unreachable):
        actions.start(run)
    assert look(actions.start(run)).status == "requires_action"


def test_what_is_stored_no_more_is_gone(assistant: Assistant, server: ResponsesServer) -> None:
    run = waiting(assistant)
    follow_up = planned(assistant, thread_id=run.thread_id)
    server.forget_responses()
    for ask in (lambda: look(run), lambda: submit(run), lambda: actions.start(follow_up)):
        with pytest.raises(runtimes.Gone):
            ask()


def test_a_response_that_somebody_else_asked_for_is_adopted_as_its_own_thread(
    assistant: Assistant, server: ResponsesServer
) -> None:
    theirs = waiting(assistant)
    Run.objects.all().delete()
    named = {"run_id": theirs.run_id, "thread_id": theirs.run_id}
    adopted = Run(assistant=assistant, connection=assistant.connection, **named)
    run = observe(assistant, Run.Driver.COUNTERSEAL, runtimes.of(adopted).read(adopted))
    submit(run)
    submit(look(run))
    assert look(run).status == "completed"
