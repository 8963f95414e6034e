"""The table of errors: the status, the message and the shape in which clients expect each refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from assistants.server.tasks import advance_runs
from tests.assistants.server.conformance.official import Official

pytestmark = pytest.mark.database

Ask = Callable[[Any], Any]


def refused(official: Official, ask: Ask) -> tuple[int, str]:
    with pytest.raises(openai.APIStatusError) as error:
        official(ask)
    body: Any = error.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert body["type"] == "invalid_request_error"
    return error.value.status_code, body["message"]


def submitted(run: Any, *answers: tuple[str, str]) -> Ask:
    outputs = [{"tool_call_id": id, "output": output} for id, output in answers]
    return lambda c: c.beta.threads.runs.submit_tool_outputs(
        run.id, thread_id=run.thread_id, tool_outputs=outputs
    )


@pytest.fixture
def waiting(official: Official, agent: Any) -> Any:
    run = official(lambda c: c.beta.threads.create_and_run(assistant_id=agent.id))
    advance_runs()
    return official(lambda c: c.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id))


def test_outputs_for_a_run_that_does_not_wait(official: Official, talker: Any) -> None:
    run = official(lambda c: c.beta.threads.create_and_run(assistant_id=talker.id))
    for status in ("queued", "completed"):
        message = f'Runs in status "{status}" do not accept tool outputs.'
        assert refused(official, submitted(run, ("call_x", "y"))) == (400, message)
        advance_runs()


def test_outputs_for_other_calls_than_those_that_are_open(official: Official, waiting: Any) -> None:
    [call] = waiting.required_action.submit_tool_outputs.tool_calls
    for ids in (["call_x"], [], [call.id, "call_x"], [call.id, call.id]):
        message = f"Expected tool outputs for call_ids {[call.id]}, got {ids}"
        assert refused(official, submitted(waiting, *((id, "x") for id in ids))) == (400, message)


def test_other_outputs_after_the_first_were_taken(official: Official, waiting: Any) -> None:
    [call] = waiting.required_action.submit_tool_outputs.tool_calls
    assert official(submitted(waiting, (call.id, "sent"))).status == "queued"
    assert official(submitted(waiting, (call.id, "sent"))).status == "queued"
    message = 'Runs in status "queued" do not accept tool outputs.'
    assert refused(official, submitted(waiting, (call.id, "not sent"))) == (400, message)


def test_a_message_or_a_run_while_a_run_is_active(official: Official, waiting: Any) -> None:
    thread, run = waiting.thread_id, waiting.id
    say = refused(official, lambda c: c.beta.threads.messages.create(thread, role="user", content="x"))
    assert say == (400, f"Can't add messages to {thread} while a run {run} is active.")
    begin = refused(official, lambda c: c.beta.threads.runs.create(thread, assistant_id=waiting.assistant_id))
    assert begin == (400, f"Thread {thread} already has an active run {run}.")


def test_a_cancel_of_a_run_that_has_ended(official: Official, waiting: Any) -> None:
    cancel: Ask = lambda c: c.beta.threads.runs.cancel(waiting.id, thread_id=waiting.thread_id)  # noqa: E731
    assert official(cancel).status == "cancelled"
    assert refused(official, cancel) == (400, "Cannot cancel run with status 'cancelled'.")


UNKNOWN: list[tuple[str, Ask]] = [
    ("assistant", lambda c: c.beta.assistants.retrieve("x")),
    ("assistant", lambda c: c.beta.assistants.update("x", name="y")),
    ("assistant", lambda c: c.beta.assistants.delete("x")),
    ("assistant", lambda c: c.beta.threads.create_and_run(assistant_id="x")),
    ("thread", lambda c: c.beta.threads.retrieve("x")),
    ("thread", lambda c: c.beta.threads.update("x", metadata={})),
    ("thread", lambda c: c.beta.threads.delete("x")),
    ("thread", lambda c: c.beta.threads.messages.create("x", role="user", content="y")),
    ("thread", lambda c: c.beta.threads.messages.list("x")),
    ("thread", lambda c: c.beta.threads.runs.create("x", assistant_id="y")),
]


@pytest.mark.parametrize(("kind", "ask"), UNKNOWN)
def test_an_unknown_id(official: Official, kind: str, ask: Ask) -> None:
    assert refused(official, ask) == (404, f"No {kind} found with id 'x'.")


WITHIN: list[tuple[str, Callable[[Any, str], Any]]] = [
    ("message", lambda c, thread: c.beta.threads.messages.retrieve("x", thread_id=thread)),
    ("message", lambda c, thread: c.beta.threads.messages.delete("x", thread_id=thread)),
    ("run", lambda c, thread: c.beta.threads.runs.retrieve("x", thread_id=thread)),
    ("run", lambda c, thread: c.beta.threads.runs.cancel("x", thread_id=thread)),
    ("run", lambda c, thread: c.beta.threads.runs.steps.list("x", thread_id=thread)),
]


@pytest.mark.parametrize(("kind", "ask"), WITHIN)
def test_an_unknown_id_within_a_thread(official: Official, kind: str, ask: Callable[[Any, str], Any]) -> None:
    thread = official(lambda c: c.beta.threads.create())
    assert refused(official, lambda c: ask(c, thread.id)) == (404, f"No {kind} found with id 'x'.")


def test_a_stream_that_is_refused_is_refused_like_any_other_call(official: Official, waiting: Any) -> None:
    thread, run = waiting.thread_id, waiting.id
    begin = refused(
        official, lambda c: c.beta.threads.runs.create(thread, assistant_id=waiting.assistant_id, stream=True)
    )
    assert begin == (400, f"Thread {thread} already has an active run {run}.")
