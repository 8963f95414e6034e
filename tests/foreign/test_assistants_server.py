"""The fake is no agreement of its author with himself: the official client, in strict mode, takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai.types.beta.threads import Run

from tests.foreign.assistants_server import KEY, FakeAssistants
from tests.foreign.assistants_ways import AZURE, REFERENCE, Ways

SEND = ("send_email", {"to": "a@b.example"})
READ = ("read_email", {"email_id": "eml_1"})


@contextmanager
def served(ways: Ways = REFERENCE, **options: Any) -> Iterator[tuple[FakeAssistants, openai.OpenAI]]:
    given: dict[str, Any] = {"api_key": KEY, "max_retries": 0} | options
    is_strict = ways == REFERENCE
    with (
        FakeAssistants.running(ways) as fake,
        openai.OpenAI(base_url=fake.url, _strict_response_validation=is_strict, **given) as client,
    ):
        yield fake, client


def waiting(fake: FakeAssistants, client: openai.OpenAI, *calls: Any) -> Run:
    fake.scripts.append([list(calls or [SEND]), "It is sent."])
    assistant = client.beta.assistants.create(model="far")
    run = client.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Go."}]}
    )
    return looked_at(client, run)


def looked_at(client: openai.OpenAI, run: Run) -> Run:
    return client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)


def submit(client: openai.OpenAI, run: Run, *outputs: tuple[str, str]) -> Run:
    given: Any = [{"tool_call_id": call, "output": output} for call, output in outputs]
    return client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=given)


def calls_of(run: Run) -> list[str]:
    assert run.required_action
    return [call.id for call in run.required_action.submit_tool_outputs.tool_calls]


def test_a_run_waits_takes_its_outputs_and_ends() -> None:
    with served() as (fake, client):
        run = waiting(fake, client, SEND, READ)
        first, second = calls_of(run)
        submit(client, run, (first, "1"), (second, "2"))
        assert looked_at(client, run).status == "completed"
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc").data
        shown = json.loads(steps[0].step_details.to_json())["tool_calls"]
        assert [call["function"]["output"] for call in shown] == ["1", "2"]
        said = client.beta.threads.messages.list(run.thread_id, order="asc").data
        assert [one.role for one in said] == ["user", "assistant"]
        assert fake.outputs() == {first: ["1"], second: ["2"]}


def test_the_reference_refuses_as_documented() -> None:
    with served() as (fake, client):
        run = waiting(fake, client)
        (call,) = calls_of(run)
        with pytest.raises(openai.BadRequestError, match="already has an active run"):
            client.beta.threads.runs.create(run.thread_id, assistant_id=run.assistant_id)
        with pytest.raises(openai.BadRequestError, match="while a run"):
            client.beta.threads.messages.create(run.thread_id, role="user", content="x")
        with pytest.raises(openai.BadRequestError, match="Expected tool outputs"):
            submit(client, run, ("call_bogus", "1"))
        submit(client, run, (call, "1"))
        with pytest.raises(openai.BadRequestError, match="do not accept tool outputs"):
            submit(client, run, (call, "1"))
        assert fake.outputs() == {call: ["1"]}


def test_a_run_expires_ten_minutes_after_its_creation_and_can_be_cancelled_before() -> None:
    with served() as (fake, client):
        run = waiting(fake, client)
        assert run.expires_at == run.created_at + 600
        fake.pass_time(601)
        assert looked_at(client, run).status == "expired"
        run = waiting(fake, client)
        assert client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id).status == "cancelled"


def test_each_difference_is_one() -> None:
    with served(Ways(prefixes=False, times="milliseconds", shows_expiry=False)) as (fake, client):
        run = waiting(fake, client)
        assert len(run.id) == 24
        assert run.created_at > 1e12
        assert run.expires_at is None
    with served(Ways(locks=False, partial=True, cancels=False)) as (fake, client):
        run = waiting(fake, client, SEND, READ)
        first, second = calls_of(run)
        submit(client, run, (first, "1"))
        assert calls_of(looked_at(client, run)) == [second]
        client.beta.threads.runs.create(run.thread_id, assistant_id=run.assistant_id)
        with pytest.raises(openai.NotFoundError):
            client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
    with served(Ways(ended_is_missing=True, breaks_on_bogus=True, has_steps=False)) as (fake, client):
        run = waiting(fake, client)
        with pytest.raises(openai.InternalServerError):
            submit(client, run, ("call_bogus", "1"))
        submit(client, run, *[(call, "1") for call in calls_of(run)])
        with pytest.raises(openai.NotFoundError):
            submit(client, run, ("call_bogus", "1"))
        with pytest.raises(openai.NotFoundError):
            client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)


def test_azure_wants_its_version_and_a_bearer() -> None:
    with served(AZURE) as (_, client), pytest.raises(openai.BadRequestError, match="api-version"):
        client.beta.threads.create()
    with served(AZURE, default_query={"api-version": "v1"}) as (fake, client):
        assert waiting(fake, client).status == "requires_action"
    with served(api_key="wrong") as (_, client), pytest.raises(openai.AuthenticationError):
        client.beta.threads.create()


def test_a_stream_ends_where_the_run_waits_or_says_one_thing_more() -> None:
    for ways, last in [
        (REFERENCE, "thread.run.requires_action"),
        (Ways(stray_completed=True), "thread.run.completed"),
    ]:
        with served(ways) as (fake, client):
            fake.scripts.append([[SEND], "It is sent."])
            assistant = client.beta.assistants.create(model="far")
            thread = client.beta.threads.create()
            stream = client.beta.threads.runs.create(thread.id, assistant_id=assistant.id, stream=True)
            events = [event.event for event in stream]
            assert events == ["thread.run.created", "thread.run.requires_action", last][: len(events)]
            assert events[-1] == last
            (run,) = client.beta.threads.runs.list(thread.id).data
            assert run.status == "requires_action"


@pytest.mark.parametrize("kind", ["drops", "errs", "hangs"])
def test_what_was_heard_is_in_the_journal_although_the_reply_was_lost(kind: str) -> None:
    with served() as (fake, client):
        run = waiting(fake, client)
        (call,) = calls_of(run)
        fake.fault("submit", kind)
        with pytest.raises((openai.APIConnectionError, openai.InternalServerError)):
            submit(client.with_options(timeout=0.5), run, (call, "1"))
        assert looked_at(client, run).status == "completed"
        assert fake.outputs() == {call: ["1"]}


@pytest.mark.parametrize("kind", ["refuses", "throttles"])
def test_what_was_refused_was_not_done(kind: str) -> None:
    with served() as (fake, client):
        run = waiting(fake, client)
        fake.fault("submit", kind)
        with pytest.raises((openai.RateLimitError, openai.InternalServerError)):
            submit(client, run, (calls_of(run)[0], "1"))
        assert not fake.journal
