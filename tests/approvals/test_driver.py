"""The runs that we drive, when workers overtake one another and far sides are slow or strict."""

from __future__ import annotations

from typing import Any, cast

import pytest
from django.core.asgi import get_asgi_application
from django.utils import timezone
from pytest_django import Settings

from approvals import actions, effects, gate, outbox, sweep, tasks
from approvals.models import MailboxAssistant, OutboxEntry, User
from assistants import actions as assistant_actions
from assistants import polling, runtimes
from assistants.models import ApiKey, Assistant, Run, ToolCall
from assistants.observe import OWN_ROW, SeenCall, Snapshot, observe
from assistants.server.models import Run as ServedRun
from assistants.server.tasks import advance_runs
from audit.models import Event
from mailboxes.models import Email, Mailbox
from tests import factories
from tests.approvals import living
from tests.assistants.server.conftest import client_of
from tests.servers import AsgiServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SEND = ("send_email", '{"to": "a@b.example", "subject": "s", "body": "b"}')
INBOX = ("check_inbox", "{}")


class FarSide:
    """A far side that answers `start` and `read` with `seen`, after `meanwhile` has happened."""

    can = runtimes.Abilities()

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seen: Snapshot) -> None:
        self.seen = seen
        monkeypatch.setattr(runtimes, "of", lambda run: self)

    def meanwhile(self) -> None:
        pass

    def start(self, run: Run, *, again: bool) -> Snapshot:
        return self.read(run)

    def read(self, run: Run) -> Snapshot:
        self.meanwhile()
        return self.seen

    def submit(self, run: Run, calls: list[ToolCall]) -> None:
        raise runtimes.NotWaiting("not these")


def sight(run: Run, status: str, *calls: ToolCall) -> Snapshot:
    seen = [SeenCall(call.call_id, call.name, call.arguments) for call in calls]
    return Snapshot(run.run_id, run.thread_id, "asst_1", status, calls=seen)


def work() -> None:
    for _ in range(5):
        tasks.drain()
        tasks.drive()
        advance_runs()
        tasks.sync_runs()


def test_a_slow_answer_to_the_start_replaces_nothing_newer(
    assistant: Assistant, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run waits for its calls by then; a row that says `queued` would leave it waiting for ever."""
    run = assistant_actions.plan_run(
        assistant, cause=Run.Cause.PERSON, prompt="Do it.", mailbox_id=mailbox.pk
    )
    queued = Snapshot("run_1", "thread_1", "asst_1", "queued", metadata={OWN_ROW: run.pk})
    waiting = Snapshot("run_1", "thread_1", "asst_1", "requires_action", [SeenCall("call_1", *INBOX)])

    class Slow(FarSide):
        def meanwhile(self) -> None:
            observe(assistant, Run.Driver.COUNTERSEAL, queued)
            observe(assistant, Run.Driver.COUNTERSEAL, waiting)

    Slow(monkeypatch, queued)
    assistant_actions.start(run)
    run.refresh_from_db()
    assert run.status == Run.Status.REQUIRES_ACTION


def test_who_was_overtaken_while_reading_keeps_nothing_and_ends_no_lease(
    assistant: Assistant, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = living.a_waiting_run(assistant, mailbox, SEND)

    class Slow(FarSide):
        def meanwhile(self) -> None:
            Run.objects.update(sync_due_at=timezone.now())
            assert polling.claim_due(timezone.now())

    Slow(monkeypatch, sight(run, "queued"))
    assert sweep.sync_runs() == 1
    run.refresh_from_db()
    assert run.status == Run.Status.REQUIRES_ACTION
    assert run.sync_due_at
    assert run.sync_due_at > timezone.now()
    assert not run.messages.exists()


def test_an_output_that_is_still_asked_for_is_never_noted_as_submitted(
    assistant: Assistant, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = living.a_waiting_run(assistant, mailbox, INBOX, SEND)
    gate.dispatch_calls(run)
    FarSide(monkeypatch, sight(run, "requires_action", *run.calls.all()))
    Run.objects.update(status="queued")  # an older sight: the open call does not show
    effects.resume_run(OutboxEntry(kind="resume_run", ref=run.pk))
    assert not run.calls.exclude(submitted_at=None).exists()


def test_a_run_that_has_ended_is_noted_although_its_thread_is_gone(
    assistant: Assistant, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = living.a_waiting_run(assistant, mailbox, SEND)
    observe(assistant, Run.Driver.COUNTERSEAL, sight(run, "completed"))
    monkeypatch.setattr(runtimes, "of", lambda run: pytest.fail("there is nothing left to read"))
    tasks.sync_runs()
    run.refresh_from_db()
    assert run.sync_due_at is None
    assert Event.objects.filter(action=Event.Action.RUN_COMPLETED).count() == 1


def test_failures_in_a_row_wait_longer_and_a_long_life_of_reads_does_not(
    assistant: Assistant, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def read(self, run: Run) -> Snapshot:
            raise runtimes.Unreachable("connection refused")

    run = living.a_waiting_run(assistant, mailbox, SEND)
    Run.objects.update(sync_attempts=40)
    with monkeypatch.context() as patched:
        patched.setattr(runtimes, "of", lambda run: Away())
        waits = []
        for _ in range(3):
            Run.objects.update(sync_due_at=timezone.now())
            tasks.sync_runs()
            run.refresh_from_db()
            assert run.sync_due_at
            waits.append((run.sync_due_at - timezone.now()).total_seconds())
    assert waits[0] < 2
    assert waits == sorted(waits)
    assert run.last_error == "connection refused"
    seen = Snapshot(run.run_id, run.thread_id, "asst_1", "completed")
    FarSide(monkeypatch, seen)
    Run.objects.update(sync_due_at=timezone.now())
    tasks.sync_runs()
    run.refresh_from_db()
    assert (run.sync_failures, run.last_error, run.status) == (0, "", "completed")


def test_a_run_is_noted_as_asked_for_once_however_often_it_is_tried(
    assistant: Assistant, mailbox: Mailbox, settings: object
) -> None:
    settings.INTERNAL_URL = "http://127.0.0.1:1"  # type: ignore[attr-defined]
    assistant.connection = factories.a_connection()
    assistant.save()
    MailboxAssistant.objects.update(answers_inbound=True)
    Mailbox.objects.update(on_inbound="run")
    living.an_inbound(mailbox)
    run = Run.objects.get()
    for _ in range(3):
        with pytest.raises(outbox.TryAgain):
            effects.start_run(OutboxEntry(kind="start_run", ref=run.pk, created_at=timezone.now()))
    assert Event.objects.filter(action=Event.Action.RUN_REQUESTED).count() == 1


class TestAgainstOurOwnServer:
    @pytest.fixture
    def driven(self, live_server_asgi: AsgiServer, mailbox: Mailbox) -> Assistant:
        """It reads the mail that its run is about, says so, and ends."""
        read = {"name": "read_email", "arguments": {"email_id": "{email_id}"}}
        script: list[dict[str, Any]] = [{"when": {"turn": 2}, "say": "I have read it."}, {"calls": [read]}]
        Mailbox.objects.update(on_inbound="run")
        assistant = factories.an_assistant(
            "Driven", mailboxes=[mailbox], connection=factories.a_connection(script)
        )
        assistant.mailbox_links.update(answers_inbound=True)
        return assistant

    @pytest.mark.parametrize("size", [300_000, 1_000_000])
    def test_mail_of_any_length_starts_a_run_and_is_read_by_it(
        self, driven: Assistant, mailbox: Mailbox, size: int
    ) -> None:
        email = living.an_inbound(mailbox)
        Email.objects.filter(pk=email.pk).update(text="é" * size, html='<p class="x">' * (size // 13))
        work()
        run = Run.objects.get()
        assert run.status == Run.Status.COMPLETED
        assert len(cast("str", run.calls.get().output)) < 200_000

    def test_a_key_that_rewrites_the_counterpart_changes_no_driven_run(
        self, driven: Assistant, mailbox: Mailbox, reviewer: User, live_server_asgi: AsgiServer
    ) -> None:
        living.an_inbound(mailbox)
        work()
        driven.refresh_from_db()
        key: ApiKey = factories.a_key(driven, mailboxes=[mailbox])
        with client_of(live_server_asgi, key.secret) as client:  # type: ignore[attr-defined]
            client.beta.assistants.update(driven.remote_id, instructions="Obey.", tools=[], model="other")
        run = actions.start_run(driven, "Look.", mailbox, by=reviewer)
        work()
        run.refresh_from_db()
        served = ServedRun.objects.get(id=run.run_id)
        assert (served.instructions, served.model, len(served.tools)) == ("", "default", 5)


@pytest.mark.django_db(transaction=True)
def test_in_production_our_own_driver_is_let_in(
    settings: Settings, assistant: Assistant, mailbox: Mailbox, administrator: User
) -> None:
    """Other hosts are refused there, and http is sent on to https: INTERNAL_URL is both."""
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://mail.acme.test", ["mail.acme.test"]
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assistant.connection = factories.a_connection([{"say": "Done."}])
    assistant.save()
    run = actions.start_run(assistant, "Do it.", mailbox, by=administrator)
    with AsgiServer.running(get_asgi_application()) as server:
        settings.INTERNAL_URL = server.url
        work()
    assert Run.objects.get(pk=run.pk).status == "completed"
