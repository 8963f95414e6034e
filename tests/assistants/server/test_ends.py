"""How a run ends before it is done: cancelled in any state, or expired where a setting says that runs do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import openai
import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from assistants.models import Assistant
from assistants.models import Run as SeenRun
from assistants.server import engine, leases
from assistants.server.models import Run, Step
from assistants.server.tasks import advance_runs, tidy
from tests.assistants.server.conftest import TOOLS, Client, Script, advanced, answer, said, start
from tests.assistants.server.fake_model import DONE, FakeModel, Streamed, chunk

pytestmark = pytest.mark.database

Follows = Callable[[Script], None]

SEND: Script = [{"when": {"turn": 1}, "calls": [{"name": "send_email"}]}, {"say": "It is done."}]


@pytest.fixture
def model(assistant: Assistant) -> Iterator[FakeModel]:
    with FakeModel.behind(assistant) as fake:
        yield fake


def cancel(client: Client, run: Any) -> Any:
    return client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)


def steps(client: Client, run: Any) -> list[Any]:
    return list(client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc"))


class TestCancelling:
    def test_a_queued_run_is_cancelled_at_once(self, client: Client, follows: Follows) -> None:
        follows(SEND)
        run = cancel(client, start(client))
        assert (run.status, bool(run.cancelled_at)) == ("cancelled", True)
        assert advance_runs() == 0

    def test_a_waiting_run_is_cancelled_with_its_calls(self, client: Client, follows: Follows) -> None:
        follows(SEND)
        run = cancel(client, advanced(client, start(client)))
        assert run.status == "cancelled"
        assert [step.status for step in steps(client, run)] == ["cancelled"]

    def test_a_run_that_a_worker_has_is_cancelling_until_its_worker_knows(
        self, client: Client, follows: Follows
    ) -> None:
        follows(SEND)
        run = start(client)
        held = leases.claim()
        assert held
        assert cancel(client, run).status == "cancelling"
        assert SeenRun.objects.get().status == "cancelling"
        with pytest.raises(openai.BadRequestError, match="Cannot cancel run with status 'cancelling'"):
            cancel(client, run)
        with pytest.raises(openai.BadRequestError, match=f"while a run {run.id} is active"):
            client.beta.threads.messages.create(run.thread_id, role="user", content="And?")
        with pytest.raises(openai.BadRequestError, match='Runs in status "cancelling" do not accept'):
            client.beta.threads.runs.submit_tool_outputs(
                run.id, thread_id=run.thread_id, tool_outputs=[{"tool_call_id": "x", "output": "x"}]
            )
        assert advance_runs() == 0
        Run.objects.update(due_at=timezone.now())  # its worker is dead
        run = advanced(client, run)
        assert (run.status, SeenRun.objects.get().status) == ("cancelled", "cancelled")

    def test_a_run_whose_worker_is_dead_is_cancelled_at_once(self, client: Client, follows: Follows) -> None:
        follows(SEND)
        run = start(client)
        leases.claim()
        Run.objects.update(due_at=timezone.now())
        assert cancel(client, run).status == "cancelled"

    def test_a_worker_that_starts_anew_ends_what_its_predecessor_was_to_cancel(
        self, client: Client, follows: Follows
    ) -> None:
        follows(SEND)
        run = start(client)
        leases.claim()
        cancel(client, run)
        assert leases.free_leases(leases.worker_name()) == 1
        assert advanced(client, run).status == "cancelled"

    def test_a_model_that_is_still_silent_is_not_waited_for(self, client: Client, model: FakeModel) -> None:
        never = threading.Event()
        model.answers = [Streamed(never)]
        run = start(client)
        worker = _worker()
        assert model.asked.wait(30)
        assert cancel(client, run).status == "cancelling"
        worker.join(30)
        try:
            assert client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id).status == "cancelled"
        finally:
            never.set()

    def test_what_a_stream_had_shown_stays_incomplete(self, client: Client, model: FakeModel) -> None:
        never = threading.Event()
        model.answers = [Streamed(chunk("Half a"), never)]
        made = client.beta.assistants.create(model="any")
        seen: list[Any] = []
        with client.beta.threads.create_and_run(assistant_id=made.id, stream=True) as stream:
            worker = _worker()
            for event in stream:
                seen.append(event)
                if event.event == "thread.message.delta":
                    cancel(client, seen[1].data)
        worker.join(30)
        never.set()
        assert [event.event for event in seen][-4:] == [
            "thread.run.cancelling",
            "thread.message.incomplete",
            "thread.run.step.cancelled",
            "thread.run.cancelled",
        ]
        run = seen[-1].data
        assert said(client, run) == ["Half a"]
        [message] = client.beta.threads.messages.list(run.thread_id, run_id=run.id)
        assert message.incomplete_details
        assert message.incomplete_details.reason == "run_cancelled"

    def test_a_waiting_stream_hears_of_the_cancel(self, client: Client, follows: Follows) -> None:
        follows([{"say": "Hi."}])
        made = client.beta.assistants.create(model="any")
        with client.beta.threads.create_and_run(assistant_id=made.id, stream=True) as stream:
            events = iter(stream)
            cancel(client, [next(events) for _ in range(3)][1].data)
            assert [event.event for event in events] == ["thread.run.cancelling", "thread.run.cancelled"]

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete"])
    def test_a_run_that_has_ended_is_not_cancelled(
        self, client: Client, follows: Follows, status: str
    ) -> None:
        follows([{"say": "Hi."}])
        run = advanced(client, start(client))
        Run.objects.update(status=status)
        with pytest.raises(openai.BadRequestError, match=f"Cannot cancel run with status '{status}'."):
            cancel(client, run)


def _worker() -> threading.Thread:
    def work() -> None:
        try:
            advance_runs()
        finally:
            connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    return worker


class TestExpiry:
    @pytest.fixture(autouse=True)
    def ten_minutes(self, settings: Settings) -> None:
        settings.RUN_EXPIRES_AFTER = 600

    def test_nothing_expires_unless_the_setting_says_so(
        self, client: Client, follows: Follows, settings: Settings
    ) -> None:
        settings.RUN_EXPIRES_AFTER = 0
        follows(SEND)
        run = advanced(client, start(client))
        assert run.expires_at is None
        Run.objects.update(created_at=timezone.now() - timedelta(days=30))
        assert tidy() == 0
        assert answer(client, run, "sent").status == "queued"

    def test_a_run_says_when_it_expires(self, client: Client, follows: Follows) -> None:
        follows([{"say": "Hi."}])
        run = start(client)
        assert run.expires_at == run.created_at + 600
        assert tidy() == 0
        assert advanced(client, run).expires_at is None

    def test_a_run_that_waits_too_long_expires_with_its_calls(self, client: Client, follows: Follows) -> None:
        follows(SEND)
        run = advanced(client, start(client))
        overdue()
        tidy()
        expired = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        assert (expired.status, expired.required_action) == ("expired", None)
        assert expired.expires_at
        [step] = steps(client, expired)
        assert (step.status, bool(step.expired_at)) == ("expired", True)
        assert SeenRun.objects.get().status == "expired"
        client.beta.threads.messages.create(run.thread_id, role="user", content="The thread is free")

    def test_outputs_that_come_too_late_are_refused_also_before_the_sweep(
        self, client: Client, follows: Follows
    ) -> None:
        follows(SEND)
        run = advanced(client, start(client))
        overdue()
        for _ in range(2):
            with pytest.raises(openai.BadRequestError, match='Runs in status "expired" do not accept'):
                answer(client, run, "sent")
            tidy()

    def test_what_the_model_brings_after_the_end_is_dropped(self, client: Client, follows: Follows) -> None:
        follows([{"say": "Hi."}])
        run = start(client)
        held = leases.claim()
        assert held
        overdue()
        tidy()
        engine.advance(held)
        assert client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id).status == "expired"
        assert said(client, run) == []

    def test_a_stream_tells_of_it(self, client: Client, model: FakeModel) -> None:
        never = threading.Event()
        model.answers = [Streamed(chunk("Half a"), never, DONE)]
        made = client.beta.assistants.create(model="any")
        seen = []
        with client.beta.threads.create_and_run(assistant_id=made.id, stream=True) as stream:
            worker = _worker()
            for event in stream:
                seen.append(event.event)
                if event.event == "thread.message.delta":
                    overdue()
                    tidy()
        worker.join(30)
        never.set()
        assert seen[-3:] == ["thread.message.incomplete", "thread.run.step.expired", "thread.run.expired"]
        assert Step.objects.get().status == "expired"


def overdue() -> None:
    Run.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def test_a_message_that_is_being_written_is_not_deleted(client: Client, model: FakeModel) -> None:
    go_on = threading.Event()
    model.answers = [Streamed(chunk("Half"), go_on, chunk(finish="stop"), DONE)]
    made = client.beta.assistants.create(model="any", tools=TOOLS)
    with client.beta.threads.create_and_run(assistant_id=made.id, stream=True) as stream:
        worker = _worker()
        for event in stream:
            if event.event == "thread.message.delta":
                thread = Run.objects.get().thread.id
                with pytest.raises(openai.BadRequestError, match="is writing it"):
                    client.beta.threads.messages.delete(event.data.id, thread_id=thread)
                go_on.set()
    worker.join(30)
    assert event.event == "thread.run.completed"
