"""The main job over Responses: what a model asks to send waits for a person, and the model hears of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from approvals import actions, gate, tasks
from approvals.models import OutboundMessage, OutboxEntry, User
from assistants.models import Assistant, Connection, Run
from audit.models import Event
from mailboxes.models import Mailbox
from tests.approvals import living
from tests.assistants.runtimes.responding import CREATE, over_responses
from tests.foreign.responses_server import ResponsesServer
from tests.servers import RecordingServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SEND = ("send_email", '{"to": "anna@far.test", "subject": "One", "body": "b"}')
OTHER = ("send_email", '{"to": "bert@far.test", "subject": "Two", "body": "b"}')
INBOX = ("check_inbox", "{}")


@pytest.fixture
def server(responses_server: ResponsesServer) -> ResponsesServer:
    responses_server.reset({"calls": [SEND]}, {"text": "It is sent."})
    return responses_server


@pytest.fixture
def assistant(assistant: Assistant, server: ResponsesServer) -> Assistant:
    return over_responses(assistant, server)


def work() -> None:
    """Until nothing moves any more."""
    for _ in range(6):
        OutboxEntry.objects.filter(done_at=None).update(due_at=timezone.now(), leased_until=None)
        Run.objects.exclude(sync_due_at=None).update(sync_due_at=timezone.now())
        Connection.objects.update(polls_whole_at=0)
        tasks.deliver()
        tasks.receive()
        tasks.drain()
        tasks.drive()
        tasks.sync_runs()


def begun(assistant: Assistant, mailbox: Mailbox, by: User) -> Run:
    run = actions.start_run(assistant, "Write to Anna.", mailbox, by=by)
    work()
    return again(run)


def again(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def held() -> list[OutboundMessage]:
    return list(OutboundMessage.objects.pending().order_by("pk"))


def told(server: ResponsesServer) -> list[Any]:
    """What the model was told of each call, in the order of its calls; each once."""
    assert all(len(outputs) == 1 for outputs in server.journal.values())
    outputs = [json.loads(output) for _, (output,) in sorted(server.journal.items())]
    return [output.get("status", output) if isinstance(output, dict) else output for output in outputs]


def test_what_a_run_asks_to_send_leaves_after_the_decision_and_the_run_goes_on(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    smtp_server: RecordingServer,
) -> None:
    run = begun(assistant, mailbox, reviewer)
    assert run.status == "requires_action"
    assert not smtp_server.messages
    (message,) = held()
    living.approved(message, reviewer)
    work()
    run = again(run)
    assert (run.status, run.transcript[-1]["text"]) == ("completed", "It is sent.")
    assert told(server) == ["sent"]
    assert len(smtp_server.messages) == 1
    assert {call.settled for call in run.calls.all()} == {"submitted"}


def test_two_gated_calls_and_a_read_are_answered_together(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    smtp_server: RecordingServer,
) -> None:
    server.turns = [{"calls": [SEND, INBOX, OTHER]}]
    run = begun(assistant, mailbox, reviewer)
    first, second = held()
    actions.reject(first, by=reviewer, reason="Too soon.")
    work()
    assert not server.journal
    living.approved(second, reviewer)
    work()
    rejected, inbox, sent = told(server)
    assert (rejected, sent) == ("rejected", "sent")
    assert inbox == {"emails": []}
    assert len(server.asked(CREATE)) == 2
    assert again(run).status == "completed"


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("is_slow", [True, False])
def test_a_lost_reply_is_settled_by_what_the_conversation_shows(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    smtp_server: RecordingServer,
    fault: str,
    is_slow: bool,
) -> None:
    run = begun(assistant, mailbox, reviewer)
    living.approved(held()[0], reviewer)
    server.faults = [(CREATE, fault)]
    server.looks = None if is_slow else 0
    work()
    server.finish()
    server.looks = 0
    work()
    assert again(run).status == "completed"
    assert again(run).alert == ""
    assert told(server) == ["sent"]
    assert len(smtp_server.messages) == 1
    reconciled = Event.objects.filter(action=Event.Action.RUN_RECONCILED)
    assert reconciled.exists() == (fault == "after")


def test_a_decision_after_thirty_days_is_still_told(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    smtp_server: RecordingServer,
) -> None:
    run = begun(assistant, mailbox, reviewer)
    server.forget_responses()
    living.approved(held()[0], reviewer)
    work()
    assert again(run).status == "completed"
    assert told(server) == ["sent"]


def test_the_mail_follows_the_decision_although_the_conversation_is_gone(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    smtp_server: RecordingServer,
) -> None:
    run = begun(assistant, mailbox, reviewer)
    server.conversations.clear()
    living.approved(held()[0], reviewer)
    work()
    assert len(smtp_server.messages) == 1
    assert again(run).status == "gone"
    assert {call.settled for call in run.calls.all()} == {"gone"}


def test_a_run_that_does_not_wait_hears_of_the_decision_in_its_conversation(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    smtp_server: RecordingServer,
) -> None:
    Connection.objects.update(hold_policy=Connection.HoldPolicy.PENDING_NOW)
    assistant.refresh_from_db()
    server.turns = [{"calls": [SEND]}, {"text": "A person will decide."}, {"text": "It is sent."}]
    run = begun(assistant, mailbox, reviewer)
    assert (run.status, told(server)) == ("completed", ["pending_approval"])
    living.approved(held()[0], reviewer)
    work()
    follow_up = Run.objects.get(follows=run)
    assert (follow_up.status, follow_up.thread_id) == ("completed", run.thread_id)
    assert follow_up.transcript[-1]["text"] == "It is sent."
    assert '"status": "sent"' in server.heard[-1]
    assert told(server) == ["pending_approval"]
    assert len(smtp_server.messages) == 1


def test_mail_that_comes_meanwhile_waits_and_then_goes_on_in_the_same_conversation(
    assistant: Assistant, mailbox: Mailbox, reviewer: User, server: ResponsesServer
) -> None:
    Mailbox.objects.update(on_inbound="run")
    assistant.mailbox_links.update(answers_inbound=True)
    mailbox.refresh_from_db()
    for subject, reference in (("first", ""), ("second", "In-Reply-To: <first@far.test>\r\n")):
        names = f"Subject: {subject}\r\n{reference}Message-ID: <{subject}@far.test>\r\n"
        gate.receive(
            mailbox, "c@far.test", mailbox.address, f"From: c@far.test\r\n{names}\r\nHi\r\n".encode()
        )
        work()
    assert [text.split("\n")[0] for text in server.heard] == ["New mail from c@far.test: first"]
    actions.reject(held()[0], by=reviewer, reason="No.")
    work()
    assert [text.split("\n")[0].rpartition(" ")[2] for text in server.heard] == ["first", "second"]
    assert len(server.conversations) == 1
    assert {run.status for run in Run.objects.all()} == {"completed"}


def test_a_call_that_a_failed_response_left_open_does_not_lock_the_conversation(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    smtp_server: RecordingServer,
) -> None:
    """The follow-up brings the output along, because nothing can be said before it is there."""
    server.turns = [{"calls": [SEND]}, {"status": "failed"}]
    run = begun(assistant, mailbox, reviewer)
    living.approved(held()[0], reviewer)
    work()
    assert again(run).status == "failed"
    server.turns = [{}, {"text": "I see."}]
    server.journal.clear()
    follow_up = actions.start_run(assistant, "What became of it?", mailbox, by=reviewer)
    Run.objects.filter(pk=follow_up.pk).update(thread_id=run.thread_id)
    work()
    assert again(follow_up).transcript[-1]["text"] == "I see."
    assert told(server) == ["sent"]
    assert len(smtp_server.messages) == 1


def test_an_approval_that_an_mcp_server_asks_for_is_declined_with_the_reason(
    assistant: Assistant, mailbox: Mailbox, reviewer: User, server: ResponsesServer
) -> None:
    server.turns = [{"approvals": [("delete_file", "{}")]}, {"text": "As you say."}]
    run = begun(assistant, mailbox, reviewer)
    (given,) = server.asked(CREATE)[-1]["input"]
    assert given["approve"] is False
    assert "There is no tool mcp_approval_request" in given["reason"]
    assert again(run).status == "completed"
