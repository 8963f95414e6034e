"""The main job on somebody else's Assistants server, however it differs and whichever reply gets lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from approvals import actions
from approvals.models import User
from assistants.models import Assistant, Connection, Run
from audit.models import Event
from mailboxes.models import Mailbox
from tests.approvals import living
from tests.approvals.test_over_responses import again, begun, held, work
from tests.assistants.runtimes.assisting import over_assistants
from tests.foreign.assistants_server import FakeAssistants
from tests.foreign.assistants_ways import DIFFERENCES, OPEN_ASSISTANT, REFERENCE, Ways, losing
from tests.servers import RecordingServer

pytestmark = pytest.mark.django_db

ONE = ("send_email", {"to": "anna@far.test", "subject": "One", "body": "b"})
TWO = ("send_email", {"to": "bert@far.test", "subject": "Two", "body": "b"})
INBOX: tuple[str, dict[str, Any]] = ("check_inbox", {})

CREATE_RUN = "POST /threads/[^/]+/runs$"
SUBMIT = "submit_tool_outputs"
MORTAL = {name: ways for name, ways in DIFFERENCES.items() if ways.lifetime}
# what we come to know of an output whose reply was lost
KNOWN = {"submitted", "confirmed", "unverified"}


@pytest.fixture(scope="module")
def running() -> Iterator[FakeAssistants]:
    with FakeAssistants.running() as fake:
        yield fake


@pytest.fixture
def fake(running: FakeAssistants) -> FakeAssistants:
    running.reset()
    running.scripts.append([[ONE], "It is sent."])
    return running


@pytest.fixture
def assistant(assistant: Assistant, fake: FakeAssistants) -> Assistant:
    return over_assistants(assistant, fake)


def differing(assistant: Assistant, fake: FakeAssistants, ways: Ways) -> None:
    fake.ways = ways
    assert assistant.connection
    assistant.connection.api_version = ways.api_version
    assistant.connection.save()


def told(fake: FakeAssistants) -> list[Any]:
    """The status that each call was told, in the order in which they were asked; each once."""
    assert all(len(outputs) == 1 for outputs in fake.outputs().values()), fake.journal
    calls = [call["id"] for run in fake.runs.values() for step in run.steps for call in step.calls]
    outputs = [json.loads(fake.outputs()[call][0]) for call in calls if call in fake.outputs()]
    return [output.get("status", "-") for output in outputs]


def follow_up(fake: FakeAssistants, run: Run) -> str:
    """What the thread was told afterwards, by the one run that does so."""
    (planned,) = Run.objects.filter(follows=run)
    assert planned.status == "completed", planned.last_error
    tags = [(one.sent.get("metadata") or {}).get("followup_id") for one in fake.runs.values()]
    assert [tag for tag in tags if tag] == [planned.pk]
    assert planned.thread_id == run.thread_id
    (said,) = [text for text in fake.said(run.thread_id) if run.run_id in text]
    return said


class TestWhateverTheServer:
    @pytest.mark.parametrize("ways", DIFFERENCES.values(), ids=DIFFERENCES)
    def test_each_call_gets_one_output_and_each_decision_its_mail(
        self,
        assistant: Assistant,
        mailbox: Mailbox,
        reviewer: User,
        fake: FakeAssistants,
        smtp_server: RecordingServer,
        ways: Ways,
    ) -> None:
        differing(assistant, fake, ways)
        fake.scripts[0] = [[ONE, INBOX, TWO], [INBOX], "Done."]
        run = begun(assistant, mailbox, reviewer)
        first, second = held()
        actions.reject(first, by=reviewer, reason="Too soon.")
        work()
        assert not fake.journal
        living.approved(second, reviewer)
        work()
        run = again(run)
        assert (run.status, run.alert) == ("completed", "")
        assert told(fake) == ["rejected", "-", "sent", "-"]
        assert len(smtp_server.messages) == 1
        assert {call.settled for call in run.calls.all()} == {"submitted"}

    @pytest.mark.parametrize(("ways", "kind"), losing(DIFFERENCES, "errs", "refuses", "throttles"))
    def test_no_lost_reply_makes_a_second_of_anything(
        self,
        assistant: Assistant,
        mailbox: Mailbox,
        reviewer: User,
        fake: FakeAssistants,
        smtp_server: RecordingServer,
        ways: Ways,
        kind: str,
    ) -> None:
        differing(assistant, fake, ways)
        fake.scripts[0] = [[ONE, INBOX], [TWO], "Done."]
        for pattern in ("POST /threads$", CREATE_RUN, SUBMIT, SUBMIT, "GET .*/runs/", "GET .*/messages"):
            fake.fault(pattern, kind)
        run = begun(assistant, mailbox, reviewer)
        for _ in range(2):
            (message,) = held()
            living.approved(message, reviewer)
            work()
        run = again(run)
        assert (run.status, run.alert) == ("completed", "")
        assert told(fake) == ["sent", "-", "sent"]
        assert len(smtp_server.messages) == 2
        assert len(fake.runs) == Run.objects.count() == 1
        assert {call.settled for call in run.calls.all()} <= KNOWN


@pytest.mark.parametrize("ways", [REFERENCE, OPEN_ASSISTANT], ids=["the reference", "Open Assistant API"])
def test_a_reply_that_never_comes_is_a_lost_one(
    assistant: Assistant, mailbox: Mailbox, reviewer: User, fake: FakeAssistants, ways: Ways
) -> None:
    differing(assistant, fake, ways)
    run = begun(assistant, mailbox, reviewer)
    Connection.objects.update(timeout=1)
    fake.fault(SUBMIT, "hangs")
    actions.reject(held()[0], by=reviewer, reason="No.")
    work()
    assert again(run).status == "completed"
    assert told(fake) == ["rejected"]
    assert {call.settled for call in run.calls.all()} == {"confirmed"}


class TestARunThatEndsWhileThePersonThinks:
    @pytest.mark.parametrize(("ways", "fault"), losing(MORTAL, "", "errs", "refuses"))
    def test_the_email_follows_the_decision_and_the_thread_one_follow_up(
        self,
        assistant: Assistant,
        mailbox: Mailbox,
        reviewer: User,
        fake: FakeAssistants,
        smtp_server: RecordingServer,
        ways: Ways,
        fault: str,
    ) -> None:
        differing(assistant, fake, ways)
        # it may say when it expires: this is about one whose end surprises us
        Connection.objects.update(hold_policy="hold")
        run = begun(assistant, mailbox, reviewer)
        fake.pass_time(601)
        if fault:
            fake.fault(CREATE_RUN, fault)
        living.approved(held()[0], reviewer)
        work()
        run = again(run)
        assert run.status == "expired"
        assert len(smtp_server.messages) == 1
        assert fake.journal == []
        planned = Run.objects.get(follows=run)
        if ways.additional_messages:
            assert '"status": "sent"' in follow_up(fake, run)
            assert planned.last_error == ""
        else:
            assert "did not keep the message" in planned.last_error
        assert [call.settled for call in run.calls.all()] == ["gone"]
        assert Event.objects.filter(action=Event.Action.RUN_GONE).count() == 1

    def test_a_run_that_was_deleted_is_told_as_one_that_expired(
        self,
        assistant: Assistant,
        mailbox: Mailbox,
        reviewer: User,
        fake: FakeAssistants,
        smtp_server: RecordingServer,
    ) -> None:
        run = begun(assistant, mailbox, reviewer)
        fake.runs.clear()
        living.approved(held()[0], reviewer)
        work()
        run = again(run)
        assert (run.status, len(smtp_server.messages)) == ("gone", 1)
        assert '"status": "sent"' in follow_up(fake, run)

    def test_one_whose_thread_is_gone_too_stays_visible_with_its_reason(
        self,
        assistant: Assistant,
        mailbox: Mailbox,
        reviewer: User,
        fake: FakeAssistants,
        smtp_server: RecordingServer,
    ) -> None:
        run = begun(assistant, mailbox, reviewer)
        fake.runs.clear()
        fake.threads.clear()
        living.approved(held()[0], reviewer)
        work()
        run = again(run)
        assert (run.status, len(smtp_server.messages), len(fake.runs)) == ("gone", 1, 0)
        assert "Its thread is gone" in run.alert

    @pytest.mark.parametrize("ways", [REFERENCE, Ways(locks=False)], ids=["lock", "no lock"])
    def test_the_follow_up_waits_while_somebody_elses_run_holds_the_thread(
        self, assistant: Assistant, mailbox: Mailbox, reviewer: User, fake: FakeAssistants, ways: Ways
    ) -> None:
        differing(assistant, fake, ways)
        run = begun(assistant, mailbox, reviewer)
        fake.runs[run.run_id].status = "cancelled"
        fake.scripts.append([[INBOX], "That was somebody else's."])
        other = fake.begin(run.thread_id)
        actions.reject(held()[0], by=reviewer, reason="No.")
        work()
        assert Run.objects.get(follows=run).status == "starting"
        assert fake.runs[other].status == "requires_action"
        fake.runs[other].status = "completed"
        work()
        assert '"status": "rejected"' in follow_up(fake, again(run))


class TestADeadline:
    @pytest.fixture(autouse=True)
    def short_lives(self, fake: FakeAssistants) -> None:
        """Their runs report an end that is nearer than our margin."""
        fake.ways = Ways(lifetime=80)

    @pytest.mark.parametrize("fault", ["", "drops", "errs", "refuses"])
    def test_the_run_hears_that_nobody_has_decided_and_the_thread_later_what_was(
        self,
        assistant: Assistant,
        mailbox: Mailbox,
        reviewer: User,
        fake: FakeAssistants,
        smtp_server: RecordingServer,
        fault: str,
    ) -> None:
        if fault:
            fake.fault(SUBMIT, fault)
        run = begun(assistant, mailbox, reviewer)
        run = again(run)
        assert (run.status, told(fake)) == ("completed", ["pending_approval"])
        assert smtp_server.messages == []
        if fault:
            fake.fault(CREATE_RUN, fault)
        living.approved(held()[0], reviewer)
        work()
        assert len(smtp_server.messages) == 1
        assert '"status": "sent"' in follow_up(fake, run)
        assert told(fake) == ["pending_approval"]

    def test_where_the_connection_says_so_a_run_is_held_to_its_end(
        self, assistant: Assistant, mailbox: Mailbox, reviewer: User, fake: FakeAssistants
    ) -> None:
        Connection.objects.update(hold_policy="hold")
        run = begun(assistant, mailbox, reviewer)
        assert (again(run).status, fake.journal) == ("requires_action", [])


def test_where_somebody_else_answered_we_say_so_and_submit_nothing(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    fake: FakeAssistants,
    smtp_server: RecordingServer,
) -> None:
    run = begun(assistant, mailbox, reviewer)
    (call,) = fake.runs[run.run_id].open_calls
    fake.answer(run.run_id, call["id"], "done by hand")
    living.approved(held()[0], reviewer)
    work()
    run = again(run)
    assert fake.outputs() == {call["id"]: ["done by hand"]}
    assert [call.settled for call in run.calls.all()] == ["answered_elsewhere"]
    assert "Somebody else answered" in run.alert
    assert len(smtp_server.messages) == 1
    assert len(fake.runs) == 1


def test_a_run_whose_key_was_revoked_waits_visibly_until_it_has_another(
    assistant: Assistant, mailbox: Mailbox, reviewer: User, fake: FakeAssistants
) -> None:
    run = begun(assistant, mailbox, reviewer)
    connection = Connection.objects.get()
    good, connection.api_key = connection.api_key, "sk-revoked"
    connection.save()
    actions.reject(held()[0], by=reviewer, reason="No.")
    work()
    run = again(run)
    assert "Incorrect API key" in run.alert
    assert "sk-revoked" not in run.alert + run.last_error
    assert run.status == "requires_action"
    connection.api_key = good
    connection.save()
    work()
    assert (again(run).status, told(fake)) == ("completed", ["rejected"])
