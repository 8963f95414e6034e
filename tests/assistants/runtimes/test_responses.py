"""Runs over Responses and Conversations: the real client against a server as strict as the real one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from assistants import actions, runtimes
from assistants.models import Assistant, Run, ToolCall
from assistants.observe import OWN_ROW, observe
from tests.assistants.runtimes.responding import (
    CREATE,
    INBOX,
    ITEMS,
    SEND,
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


@pytest.fixture(scope="module")
def running() -> Iterator[ResponsesServer]:
    with ResponsesServer.running() as server:
        yield server


@pytest.fixture
def server(running: ResponsesServer) -> ResponsesServer:
    """Its model asks for two things, then for one, and is done."""
    running.reset({"text": "One moment.", "calls": [SEND, INBOX]}, {"calls": [SEND]}, {"text": "Sent."})
    return running


@pytest.fixture
def assistant(assistant: Assistant, server: ResponsesServer) -> Assistant:
    return over_responses(assistant, server)


class TestFromStartToEnd:
    def test_a_run_waits_goes_on_and_ends(self, assistant: Assistant, server: ResponsesServer) -> None:
        run = actions.start(planned(assistant, mailbox_id="mbx_1"))
        assert run.status == "queued"
        run = look(run)
        assert [(call.name, call.arguments) for call in run.calls.order_by("position")] == [SEND, INBOX]
        submit(run)
        run = look(run)
        assert (run.status, run.calls.count()) == ("requires_action", 3)
        submit(run)
        run = look(run)
        assert run.status == "completed"
        assert said(run) == [
            ("user", "Write to Anna."),
            ("assistant", "One moment."),
            ("assistant", "Sent."),
        ]
        assert [len(outputs) for outputs in server.journal.values()] == [1, 1, 1]

    def test_what_is_asked_for_says_all_that_counts(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant, mailbox_id="mbx_1")
        submit(run)
        (conversation,) = server.conversations.values()
        assert conversation.metadata[OWN_ROW] == run.pk
        for asked in server.asked(CREATE):
            assert (asked["model"], asked["instructions"]) == ("served", "Be brief.")
            assert (asked["store"], asked["background"]) == (True, True)
            assert asked["conversation"] == conversation.id
            assert {tool["name"] for tool in asked["tools"]} >= {"send_email", "check_inbox"}
            assert asked["metadata"] == {OWN_ROW: run.pk, "mailbox_id": "mbx_1"}
        assert (run.thread_id, run.run_id) == (conversation.id, min(server.responses))

    def test_the_conversation_is_known_before_anything_is_asked_in_it(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = planned(assistant)
        server.faults = [(CREATE, "before")]
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        assert Run.objects.get().thread_id in server.conversations

    def test_while_it_works_it_shows_the_outputs_that_it_was_given(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        """The conversation does not show them yet, and we may have been killed before we noted the yes."""
        run = waiting(assistant)
        server.looks = None
        runtimes.of(run).submit(run, answered(run))
        assert verdicts(run) == {ToolCall.Settled.CONFIRMED}
        assert look(run).status == "queued"
        server.finish()
        assert look(run).status == "requires_action"

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            ("failed", "The model had an error."),
            ("incomplete", "The response is incomplete: max_output_tokens."),
            ("cancelled", ""),
        ],
    )
    def test_it_ends_as_its_response_does(
        self, assistant: Assistant, server: ResponsesServer, status: str, error: str
    ) -> None:
        server.turns = [{"text": "I wo", "status": status}]
        run = look(actions.start(planned(assistant)))
        assert (run.status, run.last_error) == (status, error)

    def test_a_server_without_background_is_waited_for(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.has_background = False
        run = actions.start(planned(assistant))
        assert run.status == "requires_action"
        submit(run)
        submit(look(run))
        assert look(run).status == "completed"
        assert [len(outputs) for outputs in server.journal.values()] == [1, 1, 1]

    def test_of_a_long_conversation_it_reads_no_more_than_its_own_end(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        run = waiting(assistant)
        conversation = server.conversations[run.thread_id]
        older = [item | {"id": f"{item['id']}_{n}"} for n in range(100) for item in conversation.items[1:3]]
        conversation.items[:0] = older
        before = len(server.asked(ITEMS))
        assert look(run).status == "requires_action"
        assert len(server.asked(ITEMS)) == before + 1


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
        run = waiting(assistant)
        theirs = planned(assistant, thread_id=run.thread_id)
        calls = answered(run, "theirs")
        runtimes.of(theirs).submit(theirs, calls)
        server.finish()
        run.calls.update(output='{"status": "sent"}')
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


class TestApprovals:
    """An MCP server's own request for approval: a call like any other, with an answer of its own kind."""

    @pytest.fixture
    def run(self, assistant: Assistant, server: ResponsesServer) -> Run:
        server.turns = [{"approvals": [("delete_file", '{"path": "/a"}')]}, {"text": "As you say."}]
        return waiting(assistant)

    @pytest.mark.parametrize(
        ("output", "approved"),
        [
            ('{"approve": true}', True),
            ('{"approve": "true"}', False),
            ('{"error": "There is no tool mcp_approval_request."}', False),
            ("yes", False),
        ],
    )
    def test_it_is_approved_only_by_an_output_that_says_so(
        self, run: Run, server: ResponsesServer, output: str, approved: bool
    ) -> None:
        (call,) = run.calls.all()
        assert call.name == "mcp_approval_request"
        assert json.loads(call.arguments) == {
            "server_label": "files",
            "name": "delete_file",
            "arguments": '{"path": "/a"}',
        }
        answered(run, output)
        runtimes.of(run).submit(run, [ToolCall.objects.get()])
        (given,) = server.asked(CREATE)[-1]["input"]
        assert given == {
            "type": "mcp_approval_response",
            "approval_request_id": call.call_id,
            "approve": approved,
            "reason": output,
        }
        server.finish()
        assert verdicts(run) == {ToolCall.Settled.CONFIRMED}
        assert look(run).status == "completed"


class TestRefusals:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_busy_server_is_asked_again(
        self, assistant: Assistant, server: ResponsesServer, status: int
    ) -> None:
        run = waiting(assistant)
        for ask, line in ((submit, CREATE), (submit, ITEMS), (look, "GET /responses")):
            server.faults = [(line, (status, {"retry-after": "1"}))]
            with pytest.raises(runtimes.Unreachable):
                ask(run)
        assert not server.journal

    def test_a_model_that_is_not_served_is_refused_with_the_servers_words(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        assert assistant.connection
        assistant.connection.models_served = {}
        assistant.connection.save()
        with pytest.raises(runtimes.Refused, match="The model 'best' does not exist"):
            actions.start(planned(assistant))

    def test_a_connection_without_a_model_says_so(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        assert assistant.connection
        assistant.connection.model = ""
        assistant.connection.save()
        with pytest.raises(runtimes.Refused, match="names no model"):
            actions.start(planned(assistant))

    def test_a_key_that_is_not_let_in_is_refused(self, assistant: Assistant, server: ResponsesServer) -> None:
        server.faults = [("POST /conversations", (401, {}))]
        with pytest.raises(runtimes.Refused):
            actions.start(planned(assistant))


class TestAdopted:
    def test_a_run_that_somebody_else_began_is_read_from_its_conversation(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        theirs = waiting(assistant)
        Run.objects.all().delete()
        adopted = Run(
            assistant=assistant,
            connection=assistant.connection,
            run_id=theirs.run_id,
            thread_id=theirs.thread_id,
        )
        run = observe(assistant, Run.Driver.COUNTERSEAL, runtimes.of(adopted).read(adopted))
        assert (run.status, run.calls.count()) == ("requires_action", 2)
        submit(run)
        submit(look(run))
        assert look(run).status == "completed"
        assert [len(outputs) for outputs in server.journal.values()] == [1, 1, 1]
