"""Gated mail of runs over the Agents API, from the start to the end, with every part real but the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook

from approvals import actions, tasks
from approvals.models import OutboundMessage, OutboxEntry, User
from assistants import tools
from assistants.models import Assistant, Connection, Run
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals import living
from tests.foreign.agents_server import FakeAgents
from tests.servers import AsgiServer, RecordingServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ONE = ("send_email", {"to": "a@b.example", "subject": "One", "body": "b"})
TWO = ("send_email", {"to": "a@b.example", "subject": "Two", "body": "b"})
INBOX: tuple[str, dict[str, str]] = ("check_inbox", {})
CREATE = "POST /agents/sessions$"
EVENTS = "POST /agents/sessions/.*/events"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeAgents]:
    """One for all tests: our client keeps its connections, whose end takes a second."""
    fake = FakeAgents()
    with AsgiServer.running(fake) as server:
        fake.url = f"{server.url}/v1"
        yield fake


@pytest.fixture
def far(server: FakeAgents, smtp_server: RecordingServer) -> FakeAgents:
    server.reset()
    return server


@pytest.fixture
def agent(far: FakeAgents, mailbox: Mailbox) -> Assistant:
    connection = factories.a_connection(
        protocol=Connection.Protocol.AGENTS, base_url=far.url, model="astra", polls_per_minute=600
    )
    connection.webhook_secret = SECRET
    connection.save()
    return factories.an_assistant(mailboxes=[mailbox], connection=connection)


def work(rounds: int = 8) -> None:
    """Until nothing moves any more, however often it was put off."""
    for _ in range(rounds):
        OutboxEntry.objects.filter(done_at=None).update(due_at=timezone.now(), leased_until=None)
        Run.objects.exclude(sync_due_at=None).update(sync_due_at=timezone.now())
        Connection.objects.update(polls_whole_at=0)
        tasks.deliver()
        tasks.receive()
        tasks.drain()
        tasks.drive()
        tasks.sync_runs()


def begun(agent: Assistant, mailbox: Mailbox, by: User) -> Run:
    run = actions.start_run(agent, "Write to them.", mailbox, by=by)
    work()
    return Run.objects.get(pk=run.pk)


def held() -> list[OutboundMessage]:
    return list(OutboundMessage.objects.pending().order_by("pk"))


def told(far: FakeAgents, run: Run) -> list[str]:
    """The status that each call was told, in the model's order; fails if one was told two."""
    for taken in far.outputs.values():
        assert len(taken) == 1, far.journal
    calls = [call.call_id for call in run.calls.order_by("position")]
    return [json.loads(far.outputs[pk][0]).get("status", "-") for pk in calls if pk in far.outputs]


def test_a_send_waits_for_its_person_and_the_turn_goes_on(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    far.script = [[[ONE], "I have written."]]
    run = begun(agent, mailbox, reviewer)
    assert run.status == Run.Status.REQUIRES_ACTION
    assert (smtp_server.messages, far.journal) == ([], [])
    living.approved(held()[0], reviewer)
    work()
    run.refresh_from_db()
    assert told(far, run) == ["sent"]
    assert len(smtp_server.messages) == 1
    assert run.status == Run.Status.COMPLETED
    assert run.transcript[-1]["text"] == "I have written."
    assert [call.settled for call in run.calls.all()] == ["submitted"]


def test_two_sends_are_decided_apart_and_told_apart(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    far.script = [[[ONE, TWO]]]
    run = begun(agent, mailbox, reviewer)
    first, second = held()
    actions.reject(first, by=reviewer, reason="Too soon.")
    work()
    assert told(far, run) == ["rejected"]
    assert far.session.status == "requires_action"
    living.approved(second, reviewer)
    work()
    run.refresh_from_db()
    assert told(far, run) == ["rejected", "sent"]
    assert (run.status, len(smtp_server.messages)) == (Run.Status.COMPLETED, 1)


def test_reads_and_sends_of_one_turn(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User
) -> None:
    far.script = [[[INBOX, ONE], [INBOX]]]
    run = begun(agent, mailbox, reviewer)
    living.approved(held()[0], reviewer)
    work()
    run.refresh_from_db()
    assert told(far, run) == ["-", "sent", "-"]
    assert run.status == Run.Status.COMPLETED


@pytest.mark.parametrize("heeds_keys", [True, False])
@pytest.mark.parametrize("fault", ["fails_before", "loses_reply"])
@pytest.mark.parametrize("request_line", [CREATE, EVENTS, "GET /agents"])
def test_no_lost_reply_makes_a_second_of_anything(
    far: FakeAgents,
    agent: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    smtp_server: RecordingServer,
    request_line: str,
    fault: str,
    heeds_keys: bool,
) -> None:
    far.heeds_keys = heeds_keys
    far.script = [[[ONE, TWO]]]
    setattr(far, fault, request_line)
    run = begun(agent, mailbox, reviewer)
    for message in held():
        setattr(far, fault, request_line)
        living.approved(message, reviewer)
        work()
    run.refresh_from_db()
    assert told(far, run) == ["sent", "sent"]
    assert (run.status, run.alert) == (Run.Status.COMPLETED, "")
    assert (len(far.sessions), len(far.session.turns), len(smtp_server.messages)) == (1, 1, 2)


def test_what_was_only_accepted_is_owed_until_it_shows(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User
) -> None:
    far.script = [[[ONE]]]
    run = begun(agent, mailbox, reviewer)
    far.is_slow = True
    living.approved(held()[0], reviewer)
    work(3)
    assert run.calls.get().settled == ""
    far.apply()
    work()
    run.refresh_from_db()
    assert told(far, run) == ["sent"]
    assert run.status == Run.Status.COMPLETED
    assert run.calls.get().settled == "submitted"


def test_a_turn_cancelled_meanwhile_is_told_in_the_next(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    far.script = [[[ONE]]]
    run = begun(agent, mailbox, reviewer)
    far.end(far.session, "cancelled")
    work()
    living.approved(held()[0], reviewer)
    far.loses_reply = EVENTS
    work()
    follow_up = Run.objects.get(follows=run)
    assert len(smtp_server.messages) == 1
    assert (far.journal, len(far.session.turns)) == ([], 2)
    assert follow_up.run_id == far.session.turns[1]["id"]
    assert '"status": "sent"' in follow_up.transcript[0]["text"]
    assert run.calls.get().settled == "gone"


def test_a_deleted_session_is_an_alert_and_the_mail_follows_its_decision(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    far.script = [[[ONE]]]
    run = begun(agent, mailbox, reviewer)
    far.sessions.clear()
    living.approved(held()[0], reviewer)
    work()
    run.refresh_from_db()
    assert len(smtp_server.messages) == 1
    assert run.status == Run.Status.GONE
    assert "could not be told" in run.alert


def test_mail_of_a_conversation_waits_until_its_session_is_free(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User
) -> None:
    far.script = [[[ONE]]]
    Mailbox.objects.update(on_inbound=Mailbox.OnInbound.RUN)
    agent.mailbox_links.update(answers_inbound=True)
    first = living.an_inbound(mailbox)
    work()
    run = Run.objects.get()
    second = actions.send_follow_up(run, "One thing more.", by=reviewer)
    work()
    assert len(far.session.turns) == 1
    living.approved(held()[0], reviewer)
    work()
    second.refresh_from_db()
    assert (run.email_id, second.run_id) == (first.pk, far.session.turns[1]["id"])
    assert second.status == Run.Status.COMPLETED


def test_another_servers_tool_is_denied_and_holds_nothing_up(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User
) -> None:
    request = {
        "type": "mcp_tool_call",
        "server_label": "bank",
        "name": "pay",
        "arguments": {},
        "message": "?",
    }
    far.script = [[{"type": "mcp_approval_request", "request_id": "req_1", "request": request}]]
    run = begun(agent, mailbox, reviewer)
    assert far.journal == [("req_1", "deny")]
    assert run.status == Run.Status.COMPLETED


def test_what_only_others_can_answer_is_said_on_the_run(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User
) -> None:
    far.script = [[{"type": "environment_connection", "environment_id": "env_1"}]]
    run = begun(agent, mailbox, reviewer)
    assert run.status == Run.Status.REQUIRES_ACTION
    assert "environment to be connected" in run.last_error
    far.end(far.session, "cancelled")
    work()
    run.refresh_from_db()
    assert (run.status, run.last_error) == (Run.Status.CANCELLED, "")


def test_a_webhook_has_its_run_read_before_any_poll(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User, client: Client
) -> None:
    far.script = [[[ONE]]]
    run = begun(agent, mailbox, reviewer)
    assert run.sync_due_at
    far.end(far.session, "cancelled")
    body = json.dumps({"type": "agent.session.idle", "data": {"id": run.thread_id}})
    now = datetime.fromtimestamp(int(timezone.now().timestamp()), UTC)
    headers: Any = {
        "webhook-id": "wh_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("wh_1", now, body),
    }
    Run.objects.update(sync_due_at=timezone.now() + timedelta(hours=1), quiet_looks=9)
    tasks.sync_runs()
    address = f"/hooks/models/{run.connection_id}"
    assert client.post(address, body, content_type="application/json", headers=headers).status_code == 200
    tasks.drain()
    tasks.drive()
    tasks.sync_runs()
    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED


def test_a_turn_that_somebody_else_began_can_be_adopted(
    far: FakeAgents, agent: Assistant, mailbox: Mailbox, reviewer: User, client: Client
) -> None:
    far.script = [[[ONE]]]
    with openai.OpenAI(base_url=far.url, api_key="k", _strict_response_validation=True) as theirs:
        session = theirs.beta.agents.sessions.create(
            agent={"model": "astra", "tools": tools.schemas("agents")},
            environment={"type": "none"},
            input="Write to them.",
        )
    key: Any = factories.a_key(agent, mailboxes=[mailbox])
    answer = client.post(
        "/v1/runs",
        {"thread_id": session.id, "run_id": far.session.turns[0]["id"]},
        content_type="application/json",
        headers={"Authorization": f"Bearer {key.secret}"},
    )
    assert answer.status_code == 200
    work()
    living.approved(held()[0], reviewer)
    work()
    run = Run.objects.get()
    assert told(far, run) == ["sent"]
    assert run.status == Run.Status.COMPLETED
