"""A run from its creation to its end, as the official client sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import openai
import pytest
from django.utils import timezone
from openai.types.beta.threads import Run

from assistants import keys
from assistants.models import Assistant, ToolCall
from assistants.models import Run as SeenRun
from assistants.server.models import Step
from tests import factories
from tests.assistants.server.conftest import (
    TOOLS,
    Client,
    Script,
    advanced,
    answer,
    client_of,
    open_calls,
    said,
    start,
)
from tests.servers import AsgiServer

pytestmark = pytest.mark.database

Follows = Callable[[Script], None]

SEND_THEN_THANK: Script = [
    {
        "when": {"turn": 1},
        "calls": [{"name": "send_email", "arguments": {"to": "anna@far.test", "body": "Hi"}}],
    },
    {"say": "It is done."},
]
THREE_AT_ONCE: Script = [
    {
        "when": {"turn": 1},
        "calls": [
            {"name": "send_email", "arguments": {"to": "a@far.test"}},
            {"name": "check_inbox", "arguments": {"mailbox_id": "{mailbox_id}"}},
            {"name": "send_email", "arguments": {"to": "b@far.test"}},
        ],
    },
    {"say": "All three done."},
]


def test_a_run_calls_a_tool_gets_its_output_and_completes(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = start(client)
    assert (run.status, run.usage, run.expires_at) == ("queued", None, None)
    run = advanced(client, run)
    assert run.status == "requires_action"
    assert run.usage is None
    [(call_id, name, arguments)] = open_calls(run)
    assert (name, arguments) == ("send_email", {"to": "anna@far.test", "body": "Hi"})

    assert answer(client, run, '{"status":"sent"}').status == "queued"
    run = advanced(client, run)
    assert run.status == "completed"
    assert run.completed_at
    assert run.usage
    assert said(client, run) == ["It is done."]
    calls, message = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc")
    assert calls.step_details.type == "tool_calls"
    [call] = calls.step_details.tool_calls
    assert call.type == "function"
    assert (call.id, call.function.output) == (call_id, '{"status":"sent"}')
    assert message.step_details.type == "message_creation"
    assert client.beta.threads.runs.steps.retrieve(calls.id, run_id=run.id, thread_id=run.thread_id) == calls


def test_a_step_shows_no_output_until_it_was_accepted(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = advanced(client, start(client))
    [step] = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    assert step.status == "in_progress"
    assert step.step_details.type == "tool_calls"
    assert step.step_details.tool_calls[0].function.output is None  # type: ignore[union-attr]


def test_one_turn_may_make_several_calls(client: Client, follows: Follows, assistant: Assistant) -> None:
    follows(THREE_AT_ONCE)
    run = advanced(client, start(client))
    assert [name for _, name, _ in open_calls(run)] == ["send_email", "check_inbox", "send_email"]
    mailbox_id = assistant.mailbox_links.get().mailbox_id
    assert open_calls(run)[1][2] == {"mailbox_id": mailbox_id}
    answer(client, run, "1", "2", "3")
    assert advanced(client, run).status == "completed"


def test_some_outputs_are_not_enough(client: Client, follows: Follows) -> None:
    follows(THREE_AT_ONCE)
    run = advanced(client, start(client))
    ids = [call[0] for call in open_calls(run)]
    for given in (ids[:2], [*ids, "call_other"], [ids[0], ids[0], ids[1]], []):
        with pytest.raises(openai.BadRequestError) as refused:
            client.beta.threads.runs.submit_tool_outputs(
                run.id,
                thread_id=run.thread_id,
                tool_outputs=[{"tool_call_id": i, "output": "x"} for i in given],
            )
        assert f"Expected tool outputs for call_ids {ids}, got {given}" in refused.value.message
    assert advanced(client, run).status == "requires_action"


def test_the_same_outputs_once_more_are_the_same_success(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = advanced(client, start(client))
    answer(client, run, "sent")
    assert answer(client, run, "sent").status == "queued"
    assert advanced(client, run).status == "completed"
    assert answer(client, run, "sent").status == "completed"
    with pytest.raises(openai.BadRequestError, match='Runs in status "completed" do not accept tool outputs'):
        answer(client, run, "something else")


def test_a_thread_is_locked_while_its_run_is_active(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = start(client)
    for _ in ("queued", "requires_action"):
        with pytest.raises(openai.BadRequestError) as refused:
            client.beta.threads.messages.create(run.thread_id, role="user", content="And?")
        message = f"Can't add messages to {run.thread_id} while a run {run.id} is active."
        assert message in refused.value.message
        with pytest.raises(openai.BadRequestError) as refused:
            client.beta.threads.runs.create(run.thread_id, assistant_id=run.assistant_id)
        assert f"Thread {run.thread_id} already has an active run {run.id}." in refused.value.message
        run = advanced(client, run)
    answer(client, run, "sent")
    run = advanced(client, run)
    client.beta.threads.messages.create(run.thread_id, role="user", content="And?")
    assert client.beta.threads.runs.create(run.thread_id, assistant_id=run.assistant_id).status == "queued"


def test_cancelling_ends_a_run_and_frees_its_thread(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = advanced(client, start(client))
    cancelled = client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
    assert cancelled.status == "cancelled"
    assert cancelled.cancelled_at
    [step] = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    assert step.status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="Cannot cancel run with status 'cancelled'"):
        client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
    with pytest.raises(openai.BadRequestError, match='Runs in status "cancelled" do not accept tool outputs'):
        answer(client, run, "late")
    client.beta.threads.messages.create(run.thread_id, role="user", content="Again")


def test_the_client_polls_until_the_run_ends(client: Client, follows: Follows) -> None:
    follows([{"say": "Hi."}])
    run = start(client)
    advanced(client, run)
    run = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
    assert run.status == "completed"


def poll_after(client: Client, run: Run) -> int:
    raw = client.beta.threads.runs.with_raw_response.retrieve(run.id, thread_id=run.thread_id)
    return int(raw.headers["openai-poll-after-ms"])


def test_polls_are_asked_to_slow_down_the_longer_a_person_decides(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = start(client)
    waits = [poll_after(client, run)]
    run = advanced(client, run)
    for minutes in (0, 0.5, 1, 60, 60 * 24 * 3):
        Step.objects.update(created_at=timezone.now() - timedelta(minutes=minutes))
        waits.append(poll_after(client, run))
    working, first, *later, longest, longest_again = waits
    assert working < first
    assert first < later[0] < later[1] < longest == longest_again == 10_000
    assert working == 200
    answer(client, run, "sent")
    assert poll_after(client, run) == working


def test_a_run_overrides_what_its_assistant_says(client: Client, follows: Follows) -> None:
    follows([{"say": "Hi."}])
    made = client.beta.assistants.create(model="base", instructions="Be brief.", tools=TOOLS, temperature=0.5)
    thread = client.beta.threads.create()
    run = client.beta.threads.runs.create(
        thread.id,
        assistant_id=made.id,
        model="other",
        additional_instructions="Be kind.",
        additional_messages=[{"role": "user", "content": "One more thing"}],
        tools=[],
        top_p=0.3,
        max_completion_tokens=500,
        truncation_strategy={"type": "last_messages", "last_messages": 4},
        metadata={"order": "7"},
        parallel_tool_calls=False,
        tool_choice="none",
        response_format={"type": "json_object"},
    )
    assert (run.model, run.instructions, run.tools) == ("other", "Be brief.\n\nBe kind.", [])
    assert (run.temperature, run.top_p, run.max_completion_tokens) == (0.5, 0.3, 500)
    assert (run.metadata, run.parallel_tool_calls, run.tool_choice) == ({"order": "7"}, False, "none")
    assert run.truncation_strategy
    assert run.truncation_strategy.last_messages == 4
    [message] = client.beta.threads.messages.list(thread.id)
    assert message.role == "user"
    changed = client.beta.threads.runs.update(run.id, thread_id=thread.id, metadata={"order": "8"})
    assert changed.metadata == {"order": "8"}
    assert [one.id for one in client.beta.threads.runs.list(thread.id)] == [run.id]


def test_without_a_connection_a_run_fails_and_says_so(client: Client) -> None:
    run = advanced(client, start(client))
    assert run.status == "failed"
    assert run.failed_at
    assert run.last_error
    assert "no model connection" in run.last_error.message


def test_a_foreign_run_server_is_no_model(client: Client, assistant: Assistant) -> None:
    assistant.connection = factories.a_connection(protocol="responses", name="Elsewhere")
    assistant.save()
    run = advanced(client, start(client))
    assert run.last_error
    assert "Elsewhere is a foreign run server" in run.last_error.message


def test_a_function_that_the_run_does_not_have_is_its_drivers_to_answer(
    client: Client, follows: Follows
) -> None:
    follows([{"when": {"turn": 2}, "say": "Sorry."}, {"calls": [{"name": "launch_rocket"}]}])
    run = advanced(client, start(client))
    assert [name for _, name, _ in open_calls(run)] == ["launch_rocket"]
    assert advanced(client, answer(client, run, '{"error": "no such tool"}')).status == "completed"


def test_a_run_outlives_its_assistant(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = start(client)
    assert client.beta.assistants.delete(run.assistant_id).deleted
    assert advanced(client, run).status == "requires_action"


def test_deleting_a_thread_cancels_the_callers_own_run(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = advanced(client, start(client))
    assert client.beta.threads.delete(run.thread_id).deleted
    with pytest.raises(openai.NotFoundError, match=f"No thread found with id '{run.thread_id}'."):
        client.beta.threads.retrieve(run.thread_id)
    assert SeenRun.objects.get(run_id=run.id).status == "cancelled"


class TestWhoDrives:
    @pytest.fixture
    def ours(self, live_server_asgi: AsgiServer, assistant: Assistant) -> Iterator[Client]:
        """Our own run driver."""
        with client_of(live_server_asgi, keys.internal_token(assistant)) as client:
            yield client

    def test_only_its_caller_moves_a_callers_run(
        self, client: Client, ours: Client, follows: Follows
    ) -> None:
        follows(SEND_THEN_THANK)
        run = advanced(client, start(client))
        assert SeenRun.objects.get().driver == "caller"
        with pytest.raises(
            openai.BadRequestError, match="driven by its caller; only its driver submits outputs"
        ):
            answer(ours, run, "x")
        with pytest.raises(openai.BadRequestError, match="driven by its caller"):
            ours.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)

    def test_only_counterseal_moves_its_own_run(self, client: Client, ours: Client, follows: Follows) -> None:
        follows(SEND_THEN_THANK)
        run = advanced(ours, start(ours))
        assert SeenRun.objects.get().driver == "counterseal"
        with pytest.raises(
            openai.BadRequestError, match="driven by Counterseal; only its driver submits outputs"
        ):
            answer(client, run, "x")
        with pytest.raises(openai.BadRequestError, match="driven by Counterseal"):
            client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
        with pytest.raises(openai.BadRequestError, match="driven by Counterseal"):
            client.beta.threads.delete(run.thread_id)
        answer(ours, run, "x")
        assert advanced(ours, run).status == "completed"

    def test_adopting_a_run_is_one_update_of_the_run_as_seen(
        self, client: Client, ours: Client, follows: Follows
    ) -> None:
        follows(SEND_THEN_THANK)
        run = advanced(client, start(client))
        SeenRun.objects.filter(driver="caller").update(driver="counterseal")
        with pytest.raises(openai.BadRequestError, match="driven by Counterseal"):
            answer(client, run, "x")
        assert answer(ours, run, "x").status == "queued"

    def test_our_drivers_row_becomes_the_run_and_a_second_start_the_same_run(
        self, ours: Client, follows: Follows, assistant: Assistant
    ) -> None:
        follows(SEND_THEN_THANK)
        row = SeenRun.objects.create(
            assistant=assistant, connection=assistant.connection, driver="counterseal"
        )
        first = start(ours, metadata={"counterseal_run": row.pk})
        again = start(ours, metadata={"counterseal_run": row.pk})
        assert (again.id, again.thread_id) == (first.id, first.thread_id)
        seen = SeenRun.objects.get()
        assert (seen.pk, seen.run_id, seen.status) == (row.pk, first.id, "queued")
        assert seen.sync_due_at is None
        advanced(ours, first)
        seen.refresh_from_db()
        assert seen.status == "requires_action"
        assert seen.sync_due_at

    def test_a_caller_cannot_claim_our_row(
        self, client: Client, follows: Follows, assistant: Assistant
    ) -> None:
        follows([{"say": "Hi."}])
        row = SeenRun.objects.create(assistant=assistant, driver="counterseal")
        start(client, metadata={"counterseal_run": row.pk})
        row.refresh_from_db()
        assert (row.run_id, row.status) == ("", "starting")
        assert SeenRun.objects.get(driver="caller")


def test_every_change_of_a_run_is_seen(client: Client, follows: Follows) -> None:
    follows(SEND_THEN_THANK)
    run = start(client, "Please write to Anna")
    seen = SeenRun.objects.get()
    assert (seen.run_id, seen.thread_id, seen.status) == (run.id, run.thread_id, "queued")
    run = advanced(client, run)
    call = ToolCall.objects.get(run=seen)
    assert (call.call_id, call.name, call.output) == (open_calls(run)[0][0], "send_email", None)
    answer(client, run, "sent")
    call.refresh_from_db()
    assert call.output == "sent"
    assert call.answered_at
    assert call.submitted_at
    advanced(client, run)
    seen.refresh_from_db()
    assert seen.status == "completed"
    assert seen.ended_at
    lines: list[dict[str, Any]] = seen.transcript
    assert [(line["role"], line["text"]) for line in lines] == [
        ("user", "Please write to Anna"),
        ("assistant", "It is done."),
    ]
