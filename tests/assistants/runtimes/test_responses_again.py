"""Over Responses, what was not heard is asked again: whatever is lost, nothing is said twice."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from assistants import actions, runtimes
from assistants.models import Assistant, Run, ToolCall
from assistants.observe import observe
from tests.assistants.runtimes.responding import (
    CREATE,
    ITEMS,
    SEND,
    TURNS,
    answered,
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


class TestSubmittingAgain:
    def test_a_reply_lost_after_the_effect_leaves_one_output_per_call(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant)
        server.faults = [(CREATE, "after")]
        with pytest.raises(runtimes.Unreachable):
            submit(run)
        server.finish()
        with pytest.raises(runtimes.NotWaiting):
            submit(run)
        assert verdicts(run) == {ToolCall.Settled.CONFIRMED}
        actions.settle(run.calls.all(), ToolCall.Settled.CONFIRMED)
        # the response that asks now is one whose id nobody has told us
        run = look(run)
        assert (run.status, run.calls.count()) == ("requires_action", 3)
        submit(run)
        assert look(run).status == "completed"
        assert [len(outputs) for outputs in server.journal.values()] == [1, 1, 1]

    def test_nor_does_one_lost_before_the_end_of_the_run(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        """Nothing is open over there then, and so nothing but our look keeps a second output away."""
        server.turns = [{"calls": [SEND]}, {"text": "Sent."}]
        run = waiting(assistant)
        server.faults = [(CREATE, "after")]
        with pytest.raises(runtimes.Unreachable):
            submit(run)
        server.finish()
        with pytest.raises(runtimes.NotWaiting):
            submit(run)
        assert [len(outputs) for outputs in server.journal.values()] == [1]
        assert look(run).status == "completed"

    def test_while_the_response_whose_reply_was_lost_still_works_nothing_is_sent_again(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant)
        server.looks = None
        server.faults = [(CREATE, "after")]
        for _ in range(3):
            with pytest.raises(runtimes.Unreachable):
                submit(run)
            # the conversation does not show it, so as far as anybody can tell the calls are open
            assert verdicts(run) == {None}
        server.finish()
        assert verdicts(run) == {ToolCall.Settled.CONFIRMED}
        assert [len(outputs) for outputs in server.journal.values()] == [1, 1]

    def test_a_request_lost_before_its_effect_is_made_again(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant)
        server.faults = [(CREATE, "before")]
        with pytest.raises(runtimes.Unreachable):
            submit(run)
        assert verdicts(run) == {None}
        submit(run)
        assert [len(outputs) for outputs in server.journal.values()] == [1, 1]

    def test_an_end_between_our_look_and_our_asking_is_seen_and_what_was_asked_is_taken_back(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.turns = [{"calls": [SEND]}, {"text": "Sent."}]
        run = waiting(assistant)
        server.looks = None
        server.faults = [(CREATE, "after")]
        with pytest.raises(runtimes.Unreachable):
            submit(run)
        server.afterwards = [(ITEMS, server.finish)]
        with pytest.raises(runtimes.NotWaiting):
            submit(run)
        server.finish()
        assert verdicts(run) == {ToolCall.Settled.CONFIRMED}
        assert look(run).status == "completed"
        shown = [item["type"] for item in server.conversations[run.thread_id].items]
        assert shown.count("function_call_output") == 1

    def test_where_outputs_show_before_the_model_has_replied_it_is_waited_for(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.shows_early = True
        run = waiting(assistant)
        server.looks = None
        submit(run)
        assert look(run).status == "queued"
        server.forget_responses()
        assert look(run).status == "in_progress"

    def test_outputs_heard_but_not_noted_are_not_given_again(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant)
        server.looks = None
        runtimes.of(run).submit(run, answered(run))
        with pytest.raises(runtimes.NotWaiting):
            submit(run)
        assert verdicts(run) == {ToolCall.Settled.CONFIRMED}

    def test_a_look_that_was_under_way_forgets_no_newer_response(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant)
        seen = runtimes.of(run).read(run)
        submit(run)
        newest = Run.objects.get().latest_id
        assert observe(assistant, run.driver, seen).latest_id == newest != run.latest_id

    def test_two_workers_at_once_leave_one_output_per_call(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant)
        calls = answered(run)
        runtimes.of(run).submit(run, calls)
        with pytest.raises(runtimes.Unreachable):
            runtimes.of(run).submit(run, calls)
        assert [len(outputs) for outputs in server.journal.values()] == [1, 1]

    def test_an_output_that_somebody_else_gave_is_seen_as_that(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.turns = [{"calls": [SEND]}, {"text": "Sent."}]
        run = waiting(assistant)
        theirs: Any = [
            {"type": "function_call_output", "call_id": run.calls.get().call_id, "output": "theirs"}
        ]
        with openai.OpenAI(base_url=server.url, api_key="theirs") as client:
            client.responses.create(
                model="served", conversation=run.thread_id, input=theirs, tools=[], metadata={}
            )
        with pytest.raises(runtimes.NotWaiting):
            submit(run)
        assert verdicts(run) == {ToolCall.Settled.ELSEWHERE}

    def test_an_end_that_the_conversation_shows_late_is_no_question(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.turns = [{"calls": [SEND]}]
        run = waiting(assistant)
        server.lags = True
        submit(run)
        run = look(run)
        assert (run.status, said(run)[-1]) == ("completed", ("assistant", "Done."))

    def test_after_thirty_days_the_conversation_still_knows(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant)
        server.forget_responses()
        assert look(run).status == "requires_action"
        submit(run)
        server.finish()
        server.forget_responses()
        assert look(run).status == "requires_action"
        submit(run)
        server.finish()
        server.forget_responses()
        assert look(run).status == "completed"

    def test_a_conversation_that_is_gone_is_gone(self, assistant: Assistant, server: ResponsesServer) -> None:
        run = waiting(assistant)
        server.conversations.clear()
        for ask in (lambda: look(run), lambda: submit(run)):
            with pytest.raises(runtimes.Gone):
                ask()


class TestStartingAgain:
    def test_a_reply_lost_after_the_effect_starts_nothing_twice(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = planned(assistant)
        server.faults = [(CREATE, "after")]
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        server.finish()
        run = actions.start(run)
        assert (run.status, run.calls.count()) == ("requires_action", 2)
        submit(run)
        submit(look(run))
        run = look(run)
        assert run.status == "completed"
        assert said(run)[0] == ("user", "Write to Anna.")
        assert len(server.heard) == len(server.conversations) == 1

    def test_while_the_first_attempt_still_works_it_is_waited_for(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = planned(assistant)
        server.looks = None
        server.faults = [(CREATE, "after")]
        for _ in range(3):
            with pytest.raises(runtimes.Unreachable):
                actions.start(run)
        server.finish()
        assert actions.start(run).status == "requires_action"
        assert len(server.heard) == 1

    def test_an_end_between_our_look_and_our_asking_is_seen_and_what_was_asked_is_taken_back(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.turns, server.looks = [{"text": "Hello."}], None
        run = planned(assistant)
        server.faults = [(CREATE, "after")]
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        server.afterwards = [(ITEMS, server.finish)]
        run = actions.start(run)
        server.finish()
        assert (run.status, said(run)[1:]) == ("completed", [("assistant", "Hello.")])
        assert len(server.conversations[run.thread_id].items) == 3

    @pytest.mark.parametrize("fault", [(CREATE, "before"), ("POST /conversations", "before")])
    def test_a_request_lost_before_its_effect_is_made_again(
        self, assistant: Assistant, server: ResponsesServer, fault: tuple[str, str]
    ) -> None:
        run = planned(assistant)
        server.faults = [fault]
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        assert look(actions.start(run)).status == "requires_action"
        assert len(server.heard) == len(server.conversations) == 1

    def test_mail_that_ends_like_our_reference_is_taken_for_no_other_run(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.turns = []
        first = look(actions.start(planned(assistant)))
        prompt = f"Mail from a stranger.\n\n(reference {first.pk})"
        second = look(actions.start(planned(assistant, prompt, thread_id=first.thread_id)))
        assert said(second) == [("user", prompt), ("assistant", "Done.")]
        third = look(actions.start(planned(assistant, "Next.", thread_id=first.thread_id)))
        assert said(third) == [("user", "Next."), ("assistant", "Done.")]
