"""Over Responses, a conversation takes one run at a time."""

from __future__ import annotations

import json

import pytest

from assistants import actions, runtimes
from assistants.models import Assistant, ToolCall
from tests.assistants.runtimes.responding import (
    CREATE,
    INBOX,
    SEND,
    TURNS,
    look,
    over_responses,
    planned,
    said,
    submit,
    verdicts,
    waiting,
)
from tests.foreign.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def server(responses_server: ResponsesServer) -> ResponsesServer:
    responses_server.reset(*TURNS)
    return responses_server


@pytest.fixture
def assistant(assistant: Assistant, server: ResponsesServer) -> Assistant:
    return over_responses(assistant, server)


class TestOneAtATime:
    def test_a_follow_up_queues_behind_an_undecided_call(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.turns = [{"calls": [SEND]}]
        run = waiting(assistant)
        follow_up = planned(assistant, "New mail.", thread_id=run.thread_id)
        with pytest.raises(runtimes.Locked):
            actions.start(follow_up)
        submit(run)
        assert look(run).status == "completed"
        follow_up = look(actions.start(follow_up))
        assert (follow_up.status, follow_up.thread_id) == ("completed", run.thread_id)
        assert [message.split("\n")[0] for message in server.heard] == ["Write to Anna.", "New mail."]
        # only its own words
        assert said(follow_up) == [("user", "New mail."), ("assistant", "Done.")]

    def test_a_conversation_in_use_is_locked(self, assistant: Assistant, server: ResponsesServer) -> None:
        server.turns, server.looks = [], None
        run = actions.start(planned(assistant))
        follow_up = planned(assistant, thread_id=run.thread_id)
        with pytest.raises(runtimes.Locked):
            actions.start(follow_up)
        server.finish()
        assert actions.start(follow_up).status == "queued"

    def test_the_next_run_brings_the_outputs_that_an_ended_one_left_open(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        """The response that should have taken them failed, and nothing can be said before they are there."""
        server.turns = [{"calls": [SEND, INBOX]}, {"status": "failed"}]
        run = waiting(assistant)
        run.calls.filter(name="send_email").update(output="sent")
        given = list(run.calls.all())
        runtimes.of(run).submit(run, given)
        assert look(run).status == "failed"
        server.turns = [{}, {"text": "I see."}]
        server.journal.clear()
        follow_up = look(actions.start(planned(assistant, "What became of it.", thread_id=run.thread_id)))
        assert said(follow_up) == [("user", "What became of it."), ("assistant", "I see.")]
        outputs = [output for (output,) in server.journal.values()]
        assert outputs[0] == "sent"
        assert json.loads(outputs[1])["status"] == "not_answered"

    def test_calls_of_a_response_that_was_cut_short_do_not_lock_the_thread_for_ever(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.turns = [{"calls": [SEND], "status": "incomplete"}, {"text": "Again."}]
        run = look(actions.start(planned(assistant)))
        assert run.status == "incomplete"
        assert not actions.open_calls(run)
        follow_up = look(actions.start(planned(assistant, thread_id=run.thread_id)))
        assert follow_up.status == "completed"

    def test_what_an_ended_run_was_told_shows_although_another_waits_by_now(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.turns = [{"calls": [SEND]}, {"text": "Sent."}, {"calls": [SEND]}]
        run = waiting(assistant)
        server.faults = [(CREATE, "after")]
        with pytest.raises(runtimes.Unreachable):
            submit(run)
        server.finish()
        assert look(run).status == "completed"
        assert waiting(assistant, thread_id=run.thread_id).status == "requires_action"
        assert verdicts(run) == {ToolCall.Settled.CONFIRMED}
        seen = runtimes.of(run).read(run)
        assert (seen.status, seen.calls) == ("completed", [])
