"""What leaves, against a mail server that is not ours; what the run is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from django.db import transaction
from django.utils import timezone

from approvals import actions, effects, gate, outbox, sweep, tasks
from approvals.actions import dispatch
from approvals.actions.transitions import current
from approvals.models import MailboxAssistant, OutboundMessage, OutboxEntry, User
from approvals.states import Status
from assistants.models import ApiKey, Assistant, Run
from audit import nudge
from audit.models import Event
from mailboxes import delivery, envelope, identity
from mailboxes.models import Account, CaughtMessage, Email, Mailbox, RawMessage, Revision
from tests import factories
from tests.approvals import living
from tests.servers import AsgiServer, RecordingServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def message(api_key: ApiKey, mailbox: Mailbox) -> OutboundMessage:
    return living.a_held_message(
        api_key, mailbox, cc=("copy@northwind.example",), bcc=("blind@northwind.example",)
    )


def due_again() -> None:
    OutboxEntry.objects.filter(done_at=None).update(due_at=timezone.now())


class TestDelivery:
    def test_what_arrives_ends_with_the_frozen_bytes_and_starts_with_the_stored_block(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        living.approved(message, reviewer)
        assert tasks.deliver() == 1
        ((sender, recipients, data),) = smtp_server.messages
        revision = dispatch.revision_of(message)
        assert data == bytes(revision.block or b"") + bytes(revision.frozen)
        assert revision.sent_digest == hashlib.sha256(data).hexdigest()
        assert sender == "support@acme.test"
        assert sorted(recipients) == revision.recipients
        assert b"blind@" not in data
        parsed = message_from_bytes(data, policy=policy.default)
        assert [name for name in parsed if name in ("Date", "X-AI-Generated", "X-MultiMail-Identity")]
        claims = identity.verify(str(parsed["X-MultiMail-Identity"]))
        assert claims
        assert claims["approved"] is True
        after = current(message)
        assert after.status == Status.SENT
        assert after.delivery["reply"].startswith("250")

    def test_it_leaves_once(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        living.approved(message, reviewer)
        tasks.deliver()
        OutboxEntry.objects.update(done_at=None, leased_until=None)
        tasks.deliver()
        assert len(smtp_server.messages) == 1

    def test_without_a_mail_server_the_catcher_has_it(self, message: OutboundMessage, reviewer: User) -> None:
        living.approved(message, reviewer)
        tasks.deliver()
        caught = CaughtMessage.objects.get()
        assert bytes(caught.data).endswith(bytes(dispatch.revision_of(message).frozen))

    def test_one_refused_recipient_and_nobody_gets_it(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        smtp_server.refuse["copy@northwind.example"] = "550 5.1.1 no such user"
        living.approved(message, reviewer)
        tasks.deliver()
        assert smtp_server.messages == []
        after = current(message)
        assert after.status == Status.FAILED
        assert "copy@northwind.example" in after.delivery["refused"]

    def test_a_busy_server_is_asked_again_with_the_same_bytes(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        smtp_server.data_reply = "451 4.3.0 try later"
        living.approved(message, reviewer)
        tasks.deliver()
        first = dispatch.revision_of(message).block
        assert current(message).status == Status.APPROVED
        smtp_server.data_reply = ""
        due_again()
        tasks.deliver()
        assert current(message).status == Status.SENT
        assert smtp_server.messages[0][2].startswith(bytes(first or b"-"))

    def test_after_a_day_of_trying_it_fails(
        self, message: OutboundMessage, reviewer: User, settings: object
    ) -> None:
        settings.EMAIL_URL = "smtp://127.0.0.1:1"  # type: ignore[attr-defined]
        living.approved(message, reviewer)
        tasks.deliver()
        assert current(message).status == Status.APPROVED
        OutboxEntry.objects.update(created_at=timezone.now() - timedelta(hours=25))
        due_again()
        tasks.deliver()
        assert current(message).status == Status.FAILED
        assert "Tried for a day" in current(message).delivery["error"]

    def test_a_refusal_of_the_content_is_final(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        smtp_server.data_reply = "554 5.7.1 no"
        living.approved(message, reviewer)
        tasks.deliver()
        assert current(message).status == Status.FAILED

    def test_a_worker_that_died_while_sending_leaves_it_to_a_person(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        living.sending(message, reviewer)
        OutboxEntry.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
        tasks.deliver()
        assert smtp_server.messages == []
        assert current(message).status == Status.NEEDS_ATTENTION

    def test_a_lost_final_reply_leaves_it_to_a_person(
        self, message: OutboundMessage, reviewer: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Lost:
            def data(self, data: bytes) -> delivery.Receipt:
                raise delivery.DeliveryError("connection lost", permanent=False, unknown=True)

        @contextmanager
        def offer(*_args: object, **_options: object) -> Iterator[Lost]:
            yield Lost()

        monkeypatch.setattr(delivery, "offer", offer)
        living.approved(message, reviewer)
        tasks.deliver()
        assert current(message).status == Status.NEEDS_ATTENTION
        assert not OutboxEntry.objects.filter(done_at=None).exists()

    def test_bytes_that_were_tampered_with_never_leave(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        living.approved(message, reviewer)
        Revision.objects.update(frozen=bytes(dispatch.revision_of(message).frozen) + b"and more\r\n")
        tasks.deliver()
        assert smtp_server.connections == 0
        assert current(message).status == Status.FAILED

    def test_recipients_that_were_tampered_with_never_get_it(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        living.approved(message, reviewer)
        Revision.objects.update(recipients=["eve@evil.example"])
        tasks.deliver()
        assert smtp_server.messages == []

    def test_what_was_held_after_the_approval_does_not_leave(
        self, message: OutboundMessage, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        living.approved(message, reviewer)
        Account.objects.update(held_at=timezone.now(), held_reason="incident")
        tasks.deliver()
        assert smtp_server.connections == 0
        assert current(message).status == Status.PENDING

    def test_a_hold_between_the_recipients_and_the_data_still_stops_it(
        self,
        message: OutboundMessage,
        reviewer: User,
        smtp_server: RecordingServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def hold_now(*args: object) -> Revision:
            Account.objects.update(held_at=timezone.now(), held_reason="incident")
            return store_block(*args)  # type: ignore[arg-type]

        store_block = dispatch.store_block
        monkeypatch.setattr(dispatch, "store_block", hold_now)
        living.approved(message, reviewer)
        tasks.deliver()
        assert smtp_server.messages == []
        assert current(message).status == Status.PENDING

    def test_a_mode_loosened_between_the_recipients_and_the_data_loses_nothing(
        self,
        api_key: ApiKey,
        mailbox: Mailbox,
        smtp_server: RecordingServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def loosen(*args: object) -> Revision:
            Mailbox.objects.update(oversight_mode="autonomous")
            return store_block(*args)  # type: ignore[arg-type]

        store_block = dispatch.store_block
        Account.objects.update(oversight_email="boss@acme.test")
        Mailbox.objects.update(oversight_mode="monitored")
        message = living.a_held_message(api_key, Mailbox.objects.get())
        monkeypatch.setattr(dispatch, "store_block", loosen)
        tasks.deliver()
        assert smtp_server.messages == []
        due_again()
        tasks.deliver()
        assert current(message).status == Status.SENT
        assert len(smtp_server.messages) == 1

    def test_the_longest_message_of_a_monitored_mailbox_is_copied_too(
        self, api_key: ApiKey, mailbox: Mailbox
    ) -> None:
        Account.objects.update(oversight_email="boss@acme.test")
        Mailbox.objects.update(oversight_mode="monitored")
        body = "x" * envelope.MAX_BODY
        message = living.a_held_message(api_key, Mailbox.objects.get(), markdown=body)
        tasks.deliver()
        tasks.drain()
        tasks.drive()
        assert OutboundMessage.objects.filter(copy_of=message).exists()

    def test_what_leaves_a_monitored_mailbox_at_the_second_try_is_copied_too(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User
    ) -> None:
        Account.objects.update(oversight_email="boss@acme.test")
        failed, in_doubt = (living.a_held_message(api_key, mailbox) for _ in range(2))
        living.failed(failed, reviewer)
        living.in_doubt(in_doubt, reviewer)
        Mailbox.objects.update(oversight_mode="monitored")
        actions.retry(failed, by=reviewer, digest=failed.digest)
        actions.mark_sent(in_doubt, by=reviewer, digest=in_doubt.digest)
        tasks.deliver()
        tasks.drain()
        tasks.drive()
        assert OutboundMessage.objects.filter(copy_of__in=[failed, in_doubt]).count() == 2

    def test_a_monitored_mailbox_sends_a_copy_as_a_message_of_its_own(
        self, api_key: ApiKey, mailbox: Mailbox, smtp_server: RecordingServer
    ) -> None:
        Account.objects.update(oversight_email="boss@acme.test")
        Mailbox.objects.update(oversight_mode="monitored")
        message = living.a_held_message(api_key, Mailbox.objects.get())
        tasks.deliver()
        tasks.drain()
        tasks.drive()
        tasks.deliver()
        assert [recipients for _, recipients, _ in smtp_server.messages] == [
            ["customer@northwind.example"],
            ["boss@acme.test"],
        ]
        copy = OutboundMessage.objects.get(copy_of=message)
        assert copy.status == Status.SENT
        assert gate.copy_to_oversight(message) is None
        Account.objects.update(oversight_email="")
        assert gate.copy_to_oversight(copy) is None


class TestReceiving:
    def test_bytes_that_cannot_be_parsed_are_kept_and_flagged(self, mailbox: Mailbox) -> None:
        data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 20_000
        raw = gate.receive(mailbox, "a@b.example", mailbox.address, data)
        tasks.receive()
        email = RawMessage.objects.get(pk=raw.pk).email
        assert email.parse_error
        assert email.from_address == "a@b.example"

    def test_a_reply_to_our_mail_joins_its_conversation(
        self, message: OutboundMessage, mailbox: Mailbox
    ) -> None:
        data = (
            f"From: customer@northwind.example\r\nTo: {mailbox.address}\r\nSubject: Re: x\r\n"
            f"In-Reply-To: {message.email.message_id}\r\nMessage-ID: <r1@northwind.example>\r\n\r\nThanks\r\n"
        )
        raw = gate.receive(mailbox, "customer@northwind.example", mailbox.address, data.encode())
        tasks.receive()
        assert RawMessage.objects.get(pk=raw.pk).email.conversation == message.email.conversation


class TestSweep:
    def test_it_expires_what_nobody_decided(self, message: OutboundMessage, mailbox: Mailbox) -> None:
        Mailbox.objects.update(oversight_mode="gated_all")
        held = living.an_inbound(mailbox)
        assert sweep.sweep() == 0
        OutboundMessage.objects.update(deadline_at=timezone.now())
        Email.objects.update(deadline_at=timezone.now())
        assert sweep.sweep() == 2
        held.refresh_from_db()
        assert held.inbound_status == "expired"

    def test_it_wakes_the_workers_whose_work_is_due(
        self, message: OutboundMessage, reviewer: User, monkeypatch: pytest.MonkeyPatch, assistant: Assistant
    ) -> None:
        woken: list[str] = []
        monkeypatch.setattr(nudge, "now", woken.append)
        sweep.sweep()
        assert woken == []
        living.approved(message, reviewer)
        gate.receive(message.email.mailbox, "a@b.example", "support@acme.test", b"Subject: x\r\n\r\nx")
        living.a_waiting_run(assistant, message.email.mailbox, ("send_email", "{}"))
        sweep.sweep()
        assert woken == ["approvals.tasks.deliver", "approvals.tasks.receive", "approvals.tasks.sync_runs"]
        with transaction.atomic():
            outbox.enqueue(OutboxEntry.Kind.START_RUN, "rn_1")
        woken.clear()
        sweep.sweep()
        assert "approvals.tasks.drive" in woken


class TestRuns:
    """Against our own Assistants server over HTTP, with a scripted model."""

    @pytest.fixture
    def scripted(self, live_server_asgi: AsgiServer, mailbox: Mailbox) -> Assistant:
        send = {"to": "a@b.example", "subject": "One", "body": "b", "mailbox_id": "{mailbox_id}"}
        script = [
            {"when": {"turn": 2}, "say": "All done."},
            {
                "calls": [
                    {"name": "send_email", "arguments": send},
                    {"name": "check_inbox", "arguments": {"mailbox_id": "{mailbox_id}"}},
                    {"name": "send_email", "arguments": send | {"subject": "Two"}},
                ]
            },
        ]
        connection = factories.a_connection(script)  # type: ignore[arg-type]
        return factories.an_assistant("Scripted", mailboxes=[mailbox], connection=connection)

    def work(self) -> None:
        from assistants.server.tasks import advance_runs

        for _ in range(5):
            tasks.drain()
            tasks.drive()
            advance_runs()
            tasks.sync_runs()
            tasks.deliver()

    def test_outputs_are_submitted_once_together_after_the_second_decision(
        self, scripted: Assistant, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        run = actions.start_run(scripted, "Write to them both.", mailbox, by=reviewer)
        self.work()
        run.refresh_from_db()
        assert run.status == Run.Status.REQUIRES_ACTION
        first, second = OutboundMessage.objects.order_by("pk")
        living.approved(first, reviewer)
        self.work()
        run.refresh_from_db()
        assert run.status == Run.Status.REQUIRES_ACTION
        assert not run.calls.exclude(submitted_at=None).exists()
        actions.reject(second, by=reviewer, reason="not needed")
        self.work()
        run.refresh_from_db()
        assert run.status == Run.Status.COMPLETED
        assert run.transcript[-1]["text"] == "All done."
        assert len(smtp_server.messages) == 1
        assert Event.objects.filter(action=Event.Action.RUN_RESUMED).count() == 1
        assert Event.objects.filter(action=Event.Action.RUN_COMPLETED).count() == 1
        assert Event.objects.get(action=Event.Action.RUN_STARTED).run_id == run.run_id
        assert len({call.submitted_at for call in run.calls.all()}) == 1

    def test_a_resume_that_was_heard_but_not_noted_is_not_submitted_again(
        self, scripted: Assistant, mailbox: Mailbox, reviewer: User
    ) -> None:
        run = actions.start_run(scripted, "Write to them both.", mailbox, by=reviewer)
        self.work()
        for message in OutboundMessage.objects.all():
            actions.reject(message, by=reviewer, reason="no")
        self.work()
        run.calls.update(submitted_at=None, settled="")  # as if the process had died after the submit
        effects.resume_run(OutboxEntry(kind="resume_run", ref=run.pk, attempts=2))
        assert {call.settled for call in run.calls.all()} == {"confirmed"}

    def test_mail_that_arrives_starts_a_run_once(
        self, scripted: Assistant, mailbox: Mailbox, reviewer: User
    ) -> None:
        Mailbox.objects.update(on_inbound="run")
        MailboxAssistant.objects.filter(assistant=scripted).update(answers_inbound=True)
        email = living.an_inbound(mailbox)
        self.work()
        run = Run.objects.get()
        assert (run.email_id, run.status) == (email.pk, Run.Status.REQUIRES_ACTION)
        assert "untrusted" in run.prompt
        effects.start_run(OutboxEntry(kind="start_run", ref=run.pk))
        assert Run.objects.count() == 1

    def test_a_server_that_is_away_is_asked_again(
        self, scripted: Assistant, mailbox: Mailbox, reviewer: User, settings: object
    ) -> None:
        url = settings.INTERNAL_URL  # type: ignore[attr-defined]
        run = actions.start_run(scripted, "Write.", mailbox, by=reviewer)
        settings.INTERNAL_URL = "http://127.0.0.1:1"  # type: ignore[attr-defined]
        tasks.drain()
        tasks.drive()
        assert OutboxEntry.objects.get(ref=run.pk).done_at is None
        settings.INTERNAL_URL = url  # type: ignore[attr-defined]
        due_again()
        self.work()
        run.refresh_from_db()
        assert run.status == Run.Status.REQUIRES_ACTION
        for message in OutboundMessage.objects.all():
            actions.reject(message, by=reviewer, reason="no")
        settings.INTERNAL_URL = "http://127.0.0.1:1"  # type: ignore[attr-defined]
        tasks.drain()
        tasks.drive()
        Run.objects.update(sync_due_at=timezone.now())
        tasks.sync_runs()
        run.refresh_from_db()
        assert run.sync_due_at
        settings.INTERNAL_URL = url  # type: ignore[attr-defined]
        due_again()
        self.work()
        run.refresh_from_db()
        assert run.status == Run.Status.COMPLETED


def test_a_run_without_a_connection_fails_with_a_sentence(assistant: Assistant, mailbox: Mailbox) -> None:
    Mailbox.objects.update(on_inbound="run")
    MailboxAssistant.objects.update(answers_inbound=True)
    living.an_inbound(mailbox)
    tasks.drain()
    tasks.drive()
    run = Run.objects.get()
    assert run.status == Run.Status.FAILED
    assert run.last_error == "Support Agent has no model connection."


@pytest.mark.django_db(transaction=True)
def test_no_query_follows_the_record_in_a_transaction(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, django_capture_on_commit_callbacks: object
) -> None:
    """The head of the chain is what every writer waits for, so it is locked last."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(
        connection,
    ) as seen:
        message = living.a_held_message(api_key, mailbox)
        living.approved(message, reviewer)
        tasks.deliver()
    statements = [query["sql"] for query in seen]
    heads = [i for i, sql in enumerate(statements) if 'UPDATE "audit_chainhead"' in sql]
    assert len(heads) >= 4
    for i in heads:
        assert statements[i + 1].startswith(("COMMIT", "RELEASE")), statements[i + 1]


class TestTheDriver:
    def test_a_run_that_could_not_be_started_for_a_day_fails(
        self, mailbox: Mailbox, reviewer: User, settings: object
    ) -> None:
        settings.INTERNAL_URL = "http://127.0.0.1:1"  # type: ignore[attr-defined]
        agent = factories.an_assistant("S", mailboxes=[mailbox], connection=factories.a_connection())
        run = actions.start_run(agent, "Do it.", mailbox, by=reviewer)
        OutboxEntry.objects.update(created_at=timezone.now() - timedelta(hours=25))
        tasks.drain()
        tasks.drive()
        run.refresh_from_db()
        assert run.status == Run.Status.STARTING  # it had waited for its turn so long
        Run.objects.update(start_tried_at=timezone.now() - timedelta(hours=25))
        due_again()
        tasks.drain()
        tasks.drive()
        run.refresh_from_db()
        assert run.status == Run.Status.FAILED
        assert run.last_error.startswith("Tried for a day")
        OutboxEntry.objects.update(done_at=None)
        tasks.drain()
        tasks.drive()
        assert Event.objects.filter(action=Event.Action.RUN_FAILED).count() == 1

    def test_a_run_of_a_caller_is_only_noted(self, assistant: Assistant, mailbox: Mailbox) -> None:
        living.a_waiting_run(assistant, mailbox, ("send_email", "{}"), driver="caller")
        assert tasks.sync_runs() == 1
        Run.objects.update(sync_due_at=timezone.now())
        assert tasks.sync_runs() == 1
        assert Event.objects.filter(action=Event.Action.RUN_WAITING).count() == 1
        assert Run.objects.get().sync_due_at is None

    def test_one_run_that_cannot_be_read_does_not_stop_the_others(
        self, assistant: Assistant, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = living.a_waiting_run(assistant, mailbox, ("send_email", "{}"))
        living.a_waiting_run(assistant, mailbox, ("send_email", "{}"), driver="caller")
        assert tasks.sync_runs() == 2
        broken.refresh_from_db()
        assert "no model connection" in broken.last_error
        assert broken.sync_due_at
