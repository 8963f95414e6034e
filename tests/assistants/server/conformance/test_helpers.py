"""Every helper of the official client, with its event handlers, sync and async."""

from __future__ import annotations

from typing import Any

import pytest

from tests.assistants.server.conformance.official import Handled, Official

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("worker")]


def outputs_of(run: Any) -> list[dict[str, str]]:
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [{"tool_call_id": call.id, "output": "sent"} for call in calls]


def test_create_and_poll_then_submit_and_poll(official: Official, agent: Any) -> None:
    thread = official(lambda c: c.beta.threads.create(messages=[{"role": "user", "content": "Write"}]))
    run = official(
        lambda c: c.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=agent.id, poll_interval_ms=20
        )
    )
    assert run.status == "requires_action"
    run = official(
        lambda c: c.beta.threads.runs.submit_tool_outputs_and_poll(
            run_id=run.id, thread_id=thread.id, tool_outputs=outputs_of(run), poll_interval_ms=20
        )
    )
    assert run.status == "completed"
    assert run.usage.total_tokens >= 0


def test_create_thread_and_run_and_poll(official: Official, talker: Any) -> None:
    run = official(lambda c: c.beta.threads.create_and_run_poll(assistant_id=talker.id, poll_interval_ms=20))
    assert run.status == "completed"


def test_poll_at_the_pace_that_the_server_asks_for(official: Official, talker: Any) -> None:
    run = official(lambda c: c.beta.threads.create_and_run(assistant_id=talker.id))
    done = official(lambda c: c.beta.threads.runs.poll(run.id, thread_id=run.thread_id))
    assert done.status == "completed"


def test_stream_and_submit_stream_with_a_handler(official: Official, agent: Any) -> None:
    thread = official(lambda c: c.beta.threads.create(messages=[{"role": "user", "content": "Write"}]))
    waiting = official.handled(
        lambda c, handler: c.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=agent.id, event_handler=handler
        )
    )
    assert waiting.run.status == "requires_action"
    assert waiting.told[-1] == "end"
    assert "call send_email" in waiting.told
    assert 'called {"to": "anna@far.test", "body": "Hi"}' in waiting.told
    done = official.handled(
        lambda c, handler: c.beta.threads.runs.submit_tool_outputs_stream(
            run_id=waiting.run.id,
            thread_id=thread.id,
            tool_outputs=outputs_of(waiting.run),
            event_handler=handler,
        )
    )
    assert done.run == official(lambda c: c.beta.threads.runs.retrieve(done.run.id, thread_id=thread.id))
    assert done.run.status == "completed"
    assert "step tool_calls completed" in done.told
    assert "text It is done." in done.told
    said_the_same(official, done)


def test_create_and_run_stream_with_a_handler(official: Official, talker: Any) -> None:
    done = official.handled(
        lambda c, handler: c.beta.threads.create_and_run_stream(assistant_id=talker.id, event_handler=handler)
    )
    assert done.told[0] == "thread.created"
    assert "text Hello, my friend." in done.told
    assert "step message_creation completed" in done.told
    assert done.run.status == "completed"
    said_the_same(official, done)


def said_the_same(official: Official, done: Handled) -> None:
    """What the stream ended with is what is read afterwards."""
    run = done.run
    [message] = done.messages
    assert message == official(
        lambda c: c.beta.threads.messages.retrieve(message.id, thread_id=run.thread_id)
    )
    steps = official.all(lambda c: c.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id))
    told = {step.id for step in done.steps}
    assert told <= {step.id for step in steps}


def test_a_raw_stream(official: Official, talker: Any) -> None:
    events = official.events(lambda c: c.beta.threads.create_and_run(assistant_id=talker.id, stream=True))
    assert [events[0].event, events[-1].event] == ["thread.created", "thread.run.completed"]
    deltas = [event.data.delta.content[0] for event in events if event.event == "thread.message.delta"]
    assert "".join(delta.text.value for delta in deltas) == "Hello, my friend."
    assert {delta.index for delta in deltas} == {0}
