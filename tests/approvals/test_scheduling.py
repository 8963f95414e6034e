"""Mail that leaves later: asked about first or when its time has come, changed, and taken back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from approvals import actions, gate, tasks
from approvals.actions.transitions import current
from approvals.errors import Conflict, Invalid
from approvals.models import OutboundMessage, OutboxEntry, User
from approvals.states import Status
from assistants.models import ApiKey, Assistant
from audit.models import Event
from audit.verify import verify
from mailboxes.attachments import Attachment
from mailboxes.envelope import Draft
from mailboxes.models import AllowlistEntry, Mailbox
from tests.approvals import living
from tests.servers import RecordingServer

pytestmark = pytest.mark.django_db
TOMORROW = timedelta(days=1)
FILE = Attachment("a.txt", "text/plain", b"hello")


def later(key: ApiKey, *, timing: str = "gate_first", **content: Any) -> OutboundMessage:
    fields = {"to": ("anna@example.com",), "subject": "Later", "markdown": "Soon."} | content
    draft = Draft(**fields, send_at=timezone.now() + TOMORROW, gate_timing=timing)
    return gate.send(draft, Mailbox.objects.get(), by=key).message


def when_its_time_has_come() -> Any:
    return time_machine.travel(timezone.now() + TOMORROW + timedelta(minutes=1), tick=True)


def due_at(message: OutboundMessage, kind: str) -> Any:
    return OutboxEntry.objects.get(ref=message.pk, kind=kind, done_at=None).due_at


class TestGateFirst:
    def test_it_is_decided_now_and_leaves_at_its_time(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        message = later(api_key)
        assert message.status == Status.PENDING
        message = living.approved(message, reviewer)
        assert message.status == Status.SCHEDULED
        tasks.deliver()
        assert smtp_server.messages == []
        with when_its_time_has_come():
            tasks.deliver()
        assert current(message).status == Status.SENT
        assert len(smtp_server.messages) == 1
        assert "message.scheduled" in Event.objects.values_list("action", flat=True)
        assert verify().ok

    def test_a_time_that_passed_while_it_waited_means_at_once(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        message = later(api_key)
        with when_its_time_has_come():
            assert living.approved(message, reviewer).status == Status.APPROVED
            tasks.deliver()
        assert len(smtp_server.messages) == 1

    def test_what_the_policy_releases_waits_for_its_time_too(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        Mailbox.objects.update(oversight_mode="autonomous")
        message = later(api_key)
        assert current(message).status == Status.SCHEDULED
        assert due_at(message, "deliver_email") == message.send_at

    def test_tightening_takes_back_what_waits_for_its_time(
        self, api_key: ApiKey, mailbox: Mailbox, administrator: User
    ) -> None:
        Mailbox.objects.update(oversight_mode="autonomous")
        message = later(api_key)
        actions.set_mode(Mailbox.objects.get(), "gated_send", by=administrator)
        assert current(message).status == Status.PENDING
        assert not OutboxEntry.objects.filter(kind="deliver_email", done_at=None).exists()

    def test_a_second_approval_is_needed_first(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User, second_reviewer: User
    ) -> None:
        Mailbox.objects.update(approvals_needed=2)
        message = later(api_key)
        assert living.approved(message, reviewer).status == Status.PENDING
        assert living.approved(message, second_reviewer).status == Status.SCHEDULED

    def test_the_run_hears_at_the_decision_and_again_only_if_it_fails(
        self, assistant: Assistant, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        call = {"to": "anna@example.com", "subject": "x", "body": "x", "mailbox_id": mailbox.pk}
        run = living.a_waiting_run(assistant, mailbox, ("send_email", json.dumps(call)))
        gate.dispatch_calls(run)
        message = run.messages.get()
        OutboundMessage.objects.update(send_at=timezone.now() + TOMORROW)
        living.approved(current(message), reviewer)
        told = json.loads(run.calls.get().output or "")
        assert (told["status"], told["sent"]) == ("scheduled", False)
        assert told["send_at"].endswith("Z")
        with when_its_time_has_come():
            tasks.deliver()
        assert current(message).status == Status.SENT
        assert not OutboxEntry.objects.filter(kind="start_run").exists()

    def test_a_run_that_was_told_scheduled_hears_of_a_failure(
        self, assistant: Assistant, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
    ) -> None:
        call = {"to": "anna@example.com", "subject": "x", "body": "x", "mailbox_id": mailbox.pk}
        run = living.a_waiting_run(assistant, mailbox, ("send_email", json.dumps(call)))
        gate.dispatch_calls(run)
        message = run.messages.get()
        OutboundMessage.objects.update(send_at=timezone.now() + TOMORROW)
        living.approved(current(message), reviewer)
        smtp_server.refuse["anna@example.com"] = "550 no such person"
        with when_its_time_has_come():
            tasks.deliver()
        assert current(message).status == Status.FAILED
        assert OutboxEntry.objects.filter(kind="start_run", done_at=None).count() == 1


class TestScheduleFirst:
    def test_nobody_is_asked_before_its_time(self, api_key: ApiKey, mailbox: Mailbox, reviewer: User) -> None:
        message = later(api_key, timing="schedule_first")
        assert (message.status, message.deadline_at) == (Status.DEFERRED, None)
        with pytest.raises(Conflict):
            living.approved(message, reviewer)
        tasks.drain()
        assert current(message).status == Status.DEFERRED
        with when_its_time_has_come():
            tasks.drain()
            held = current(message)
            assert held.status == Status.PENDING
            assert held.deadline_at
            assert held.deadline_at > timezone.now()
            assert living.approved(held, reviewer).status == Status.APPROVED

    def test_the_mailbox_says_which_unless_the_call_does(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        Mailbox.objects.update(default_gate_timing="schedule_first")
        assert later(api_key, timing="").status == Status.DEFERRED
        assert later(api_key, timing="gate_first", subject="Other").status == Status.PENDING

    @pytest.mark.parametrize(
        ("mode", "status"),
        [
            ("autonomous", Status.APPROVED),
            ("gated_all", Status.PENDING),
            ("read_only", Status.FAILED),
        ],
    )
    def test_the_policy_that_is_in_force_then_decides(
        self, api_key: ApiKey, mailbox: Mailbox, mode: str, status: Status
    ) -> None:
        message = later(api_key, timing="schedule_first")
        Mailbox.objects.update(oversight_mode=mode)
        with when_its_time_has_come():
            tasks.drain()
        assert current(message).status == status
        assert verify().ok

    def test_the_allowlist_of_then_is_asked(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        message = later(api_key, timing="schedule_first")
        AllowlistEntry.objects.create(mailbox=mailbox, pattern="*@example.com")
        with when_its_time_has_come():
            tasks.drain()
        assert current(message).status == Status.APPROVED

    def test_in_a_closed_mailbox_it_fails(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        message = later(api_key, timing="schedule_first")
        Mailbox.objects.update(is_active=False)
        with when_its_time_has_come():
            tasks.drain()
        assert current(message).status == Status.FAILED

    def test_it_can_be_cancelled(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        message = later(api_key, timing="schedule_first")
        assert actions.cancel(message, by=api_key).status == Status.CANCELLED
        with when_its_time_has_come():
            tasks.drain()
        assert current(message).status == Status.CANCELLED


class TestRevising:
    def test_what_waits_changes_in_every_field_as_a_new_revision(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User
    ) -> None:
        message = later(api_key, attachments=(FILE,))
        first = message.digest
        changes = {
            "to": ["bob@example.com"],
            "cc": ["c@example.com"],
            "subject": "Changed",
            "markdown": "New words.",
            "send_at": timezone.now() + 2 * TOMORROW,
        }
        message = gate.revise(message, changes, by=api_key)
        assert (message.revision, message.status) == (2, Status.PENDING)
        assert message.digest != first
        assert message.email.recipients == ["bob@example.com", "c@example.com"]
        assert (message.email.subject, message.email.text) == ("Changed", "New words.\n")
        with pytest.raises(Conflict):
            actions.approve(message, by=reviewer, revision=1, digest=first)
        assert living.approved(message, reviewer).status == Status.SCHEDULED
        second = message.email.revisions.get(number=2)
        assert b"a.txt" in bytes(second.frozen)
        assert second.digest == message.digest

    def test_an_approval_of_before_is_void(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User, second_reviewer: User
    ) -> None:
        Mailbox.objects.update(approvals_needed=2)
        message = living.approved(later(api_key), reviewer)
        message = gate.revise(message, {"subject": "Changed"}, by=api_key)
        assert message.approvals_given == 0
        assert living.approved(message, second_reviewer).status == Status.PENDING
        assert living.approved(current(message), reviewer).status == Status.SCHEDULED

    def test_a_signature_is_not_put_under_its_text_twice(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        Mailbox.objects.update(signature_block="Acme", auto_bcc="file@acme.test")
        message = gate.revise(later(api_key), {"subject": "Changed"}, by=api_key)
        assert message.email.text.count("Acme") == 1
        message = gate.revise(message, {"markdown": "New."}, by=api_key)
        assert message.email.text.count("Acme") == 1
        assert message.email.bcc == ["file@acme.test"]
        assert message.email.revisions.get(number=3).added_recipients == ["file@acme.test"]

    def test_only_the_time_of_what_is_scheduled_changes(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        Mailbox.objects.update(oversight_mode="autonomous")
        message = later(api_key)
        when = timezone.now() + 3 * TOMORROW
        with pytest.raises(Conflict):
            gate.revise(message, {"subject": "x", "send_at": when}, by=api_key)
        message = gate.revise(message, {"send_at": when}, by=api_key)
        assert (message.status, message.send_at) == (Status.SCHEDULED, when)
        assert due_at(message, "deliver_email") == when

    def test_a_person_who_approved_it_is_asked_anew(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User
    ) -> None:
        message = living.approved(later(api_key), reviewer)
        when = timezone.now() + 3 * TOMORROW
        message = gate.revise(message, {"send_at": when}, by=api_key)
        assert (message.status, message.send_at) == (Status.PENDING, when)
        assert living.approved(message, reviewer).status == Status.SCHEDULED
        assert due_at(message, "deliver_email") == when

    def test_the_time_of_what_is_deferred_changes(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        when = timezone.now() + 3 * TOMORROW
        message = gate.revise(later(api_key, timing="schedule_first"), {"send_at": when}, by=api_key)
        assert (message.status, message.revision) == (Status.DEFERRED, 1)
        assert due_at(message, "ask_deferred") == when

    def test_what_has_left_or_ended_changes_no_more(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User
    ) -> None:
        message = later(api_key)
        actions.reject(message, by=reviewer, reason="no")
        with pytest.raises(Conflict):
            gate.revise(message, {"subject": "x"}, by=api_key)

    def test_what_is_wrong_is_refused_and_changes_nothing(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        message = later(api_key)
        for changes in ({"to": ["nobody"]}, {"send_at": timezone.now()}, {"markdown": " "}):
            with pytest.raises(Invalid):
                gate.revise(message, changes, by=api_key)
        assert current(message).revision == 1


def test_a_mailbox_may_schedule_nothing(api_key: ApiKey, mailbox: Mailbox) -> None:
    Mailbox.objects.update(scheduling_enabled=False)
    with pytest.raises(Invalid, match="schedules no mail"):
        later(api_key)


def test_the_page_says_when_it_leaves(client: Any, api_key: ApiKey, mailbox: Mailbox, reviewer: User) -> None:
    message = later(api_key)
    client.force_login(reviewer)
    assert "Approve, sends" in client.get(f"/queue/{message.pk}").content.decode()
    with when_its_time_has_come():
        client.force_login(reviewer)
        page = client.get(f"/queue/{message.pk}").content.decode()
    assert "Approve and send" in page
    assert "its time has passed" in page
