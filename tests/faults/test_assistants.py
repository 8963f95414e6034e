"""A worker that dies at each step of a run on somebody else's Assistants server: nothing is done twice.

Death is an exception that nothing in the product catches, so that each point costs no process; the
same ends as by kill -9 are in test_kill_assistants.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from approvals import actions
from approvals.models import User
from assistants.models import Assistant, Connection, Run
from audit.models import Event
from mailboxes.models import Mailbox
from tests.approvals import living
from tests.approvals.test_foreign_assistants import KNOWN, ONE, differing, follow_up, told
from tests.approvals.test_over_responses import again, begun, held, work
from tests.assistants.runtimes.assisting import over_assistants
from tests.faults.test_responses import worker_dies
from tests.foreign.assistants_server import FakeAssistants
from tests.foreign.assistants_ways import REFERENCE, Ways
from tests.servers import RecordingServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]

THREADS = "assistants.runtimes.threads:Threads"
RUNTIME = "assistants.runtimes.assistants:AssistantsRuntime"
STARTING = [
    "assistants.actions:_begin",
    f"{THREADS}.create_thread",
    "assistants.runtimes.beginning:_make_thread",
    f"{THREADS}.create_assistant",
    f"{THREADS}.create_run",
    f"{RUNTIME}.start",
    "assistants.actions:_keep",
    "approvals.effects.starting:keep_thread",
]
TELLING = [
    f"{THREADS}.run",
    f"{RUNTIME}.read",
    f"{THREADS}.submit",
    f"{RUNTIME}.submit",
    "approvals.effects.resuming:_settle",
    "assistants.polling:ask_again",
]
FOLLOWING_UP = [
    f"{RUNTIME}.read",
    "approvals.effects.resuming:_settle",
    "assistants.actions:plan_follow_up",
    "approvals.effects.starting:_wait_for_turn",
    "assistants.actions:_begin",
    f"{THREADS}.runs",
    f"{THREADS}.create_run",
    f"{RUNTIME}.start",
    "assistants.actions:_keep",
]
WAYS = {"the reference": REFERENCE, "no steps": Ways(has_steps=False)}

either_side = pytest.mark.parametrize("when", ["before", "after"])


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


@either_side
@pytest.mark.parametrize("point", STARTING)
def test_while_it_starts_a_run(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    fake: FakeAssistants,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    when: str,
) -> None:
    run = actions.start_run(assistant, "Write to Anna.", mailbox, by=reviewer)
    worker_dies(monkeypatch, point, when)
    work()
    run = again(run)
    assert (run.status, list(fake.runs)) == ("requires_action", [run.run_id])
    assert fake.said(run.thread_id) == ["Write to Anna."]
    actions.reject(held()[0], by=reviewer, reason="No.")
    work()
    assert (again(run).status, told(fake)) == ("completed", ["rejected"])


@either_side
@pytest.mark.parametrize("point", TELLING)
@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_while_it_tells_the_outcome(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    fake: FakeAssistants,
    smtp_server: RecordingServer,
    monkeypatch: pytest.MonkeyPatch,
    ways: Ways,
    point: str,
    when: str,
) -> None:
    differing(assistant, fake, ways)
    run = begun(assistant, mailbox, reviewer)
    living.approved(held()[0], reviewer)
    worker_dies(monkeypatch, point, when)
    work()
    run = again(run)
    assert (run.status, run.alert, told(fake)) == ("completed", "", ["sent"])
    assert len(smtp_server.messages) == 1
    assert {call.settled for call in run.calls.all()} <= KNOWN
    assert Run.objects.count() == 1


@either_side
@pytest.mark.parametrize("point", FOLLOWING_UP)
def test_while_it_follows_up_a_run_that_has_expired(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    fake: FakeAssistants,
    smtp_server: RecordingServer,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    when: str,
) -> None:
    Connection.objects.update(hold_policy="hold")
    run = begun(assistant, mailbox, reviewer)
    fake.pass_time(601)
    living.approved(held()[0], reviewer)
    worker_dies(monkeypatch, point, when)
    work()
    run = again(run)
    assert run.status == "expired"
    assert '"status": "sent"' in follow_up(fake, run)
    assert (len(smtp_server.messages), fake.journal) == (1, [])
    assert [call.settled for call in run.calls.all()] == ["gone"]
    assert Event.objects.filter(action=Event.Action.RUN_GONE).count() == 1
