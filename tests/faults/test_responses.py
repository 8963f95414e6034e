"""A worker that dies at each step of a run over Responses: nothing is asked, told or sent twice.

Death is an exception that nothing in the product catches, so that each point costs no process; the
same ends as by kill -9 are in test_kill.py.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from approvals import actions
from approvals.models import User
from assistants.models import Assistant, Run
from mailboxes.models import Mailbox
from tests.approvals import living
from tests.approvals.test_over_responses import SEND, again, held, told, work
from tests.assistants.runtimes.responding import over_responses
from tests.foreign.responses_server import ResponsesServer
from tests.servers import RecordingServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]

STARTING = [
    "assistants.actions:_begin",
    "openai.resources.conversations.conversations:Conversations.create",
    "assistants.runtimes.responses:ResponsesRuntime._open_thread",
    "openai.resources.responses.responses:Responses.create",
    "assistants.runtimes.responses:ResponsesRuntime.start",
    "assistants.actions:_keep",
]
TELLING = [
    "openai.resources.conversations.items:Items.list",
    "openai.resources.responses.responses:Responses.create",
    "assistants.runtimes.responses:ResponsesRuntime.submit",
    "approvals.effects.resuming:_settle",
    "assistants.polling:ask_again",
]


class Died(BaseException):
    pass


@pytest.fixture
def server(responses_server: ResponsesServer) -> ResponsesServer:
    responses_server.reset({"calls": [SEND]}, {"text": "It is sent."})
    return responses_server


@pytest.fixture
def assistant(assistant: Assistant, server: ResponsesServer) -> Assistant:
    return over_responses(assistant, server)


@pytest.fixture(params=[False, True], ids=["fast", "slow"])
def settled(request: pytest.FixtureRequest, server: ResponsesServer) -> Callable[[], None]:
    """Work until all is done; slow: a response is still in the making when the next worker comes."""
    if request.param:
        server.looks = None

    def settle() -> None:
        work()
        server.finish()
        server.looks = 0
        work()

    return settle


def worker_dies(monkeypatch: pytest.MonkeyPatch, point: str, when: str) -> None:
    """Work with a worker that dies once it comes to `point`."""
    module, _, name = point.partition(":")
    *path, last = name.split(".")
    holder: Any = import_module(module)
    for part in path:
        holder = getattr(holder, part)
    whole = getattr(holder, last)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            whole(*args, **kwargs)
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(holder, last, dying)
        with pytest.raises(Died):
            work()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", STARTING)
def test_a_worker_that_dies_while_it_starts_a_run_starts_it_once(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    settled: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    when: str,
) -> None:
    run = actions.start_run(assistant, "Write to Anna.", mailbox, by=reviewer)
    worker_dies(monkeypatch, point, when)
    settled()
    assert again(run).status == "requires_action"
    assert len(server.heard) == 1
    actions.reject(held()[0], by=reviewer, reason="No.")
    work()
    assert again(run).status == "completed"
    assert told(server) == ["rejected"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", TELLING)
def test_a_worker_that_dies_while_it_tells_the_outcome_tells_it_once(
    assistant: Assistant,
    mailbox: Mailbox,
    reviewer: User,
    server: ResponsesServer,
    smtp_server: RecordingServer,
    settled: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    when: str,
) -> None:
    looks, server.looks = server.looks, 0
    run = actions.start_run(assistant, "Write to Anna.", mailbox, by=reviewer)
    work()
    living.approved(held()[0], reviewer)
    server.looks = looks
    worker_dies(monkeypatch, point, when)
    settled()
    assert told(server) == ["sent"]
    assert len(smtp_server.messages) == 1
    run = again(run)
    assert (run.status, run.alert) == ("completed", "")
    assert {call.settled for call in run.calls.all()} <= {"submitted", "confirmed"}
    assert Run.objects.count() == 1
