"""Runs over Responses and Conversations: the real client against a server as strict as the real one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from assistants import actions, runtimes
from assistants.models import Assistant, Run, ToolCall
from assistants.observe import OWN_ROW, observe
from tests.assistants.runtimes.responding import (
    CREATE,
    INBOX,
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

    def test_a_conflict_is_a_lock_by_another_name(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        server.faults = [(CREATE, (409, {}))]
        with pytest.raises(runtimes.Locked):
            actions.start(planned(assistant))
        run = waiting(assistant)
        server.faults = [(CREATE, (409, {}))]
        with pytest.raises(runtimes.Unreachable):
            submit(run)


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

    @pytest.mark.parametrize("thread_id", ["conv_of_others", ""])
    def test_a_response_is_no_run_of_another_thread(
        self, assistant: Assistant, server: ResponsesServer, thread_id: str
    ) -> None:
        theirs = waiting(assistant)
        adopted = Run(
            assistant=assistant,
            connection=assistant.connection,
            run_id=theirs.run_id,
            thread_id=thread_id or theirs.run_id,
        )
        with pytest.raises(runtimes.Gone):
            runtimes.of(adopted).read(adopted)

    @pytest.mark.parametrize("run_id", ["resp_never_was", "msg_1", "conv_1"])
    def test_a_conversation_is_no_run_under_a_name_of_the_askers_choice(
        self, assistant: Assistant, server: ResponsesServer, run_id: str
    ) -> None:
        theirs = waiting(assistant)
        adopted = Run(
            assistant=assistant, connection=assistant.connection, run_id=run_id, thread_id=theirs.thread_id
        )
        with pytest.raises(runtimes.Gone):
            runtimes.of(adopted).read(adopted)

    @pytest.mark.parametrize("thread_id", ["conv_of_others", "chain_x"])
    def test_a_response_without_a_conversation_is_its_own_thread_and_no_other(
        self, assistant: Assistant, server: ResponsesServer, thread_id: str
    ) -> None:
        theirs = waiting(assistant)
        conversation = server.conversations[theirs.thread_id]
        server.conversations["conv_of_others"] = replace(conversation, id="conv_of_others")
        server.responses[theirs.run_id].body["conversation"] = None
        adopted = Run(assistant=assistant, connection=assistant.connection, run_id=theirs.run_id)
        adopted.thread_id = thread_id
        with pytest.raises(runtimes.Gone, match="is not in"):
            runtimes.of(adopted).read(adopted)
        adopted.thread_id = adopted.run_id
        assert len(runtimes.of(adopted).read(adopted).asked) == 2

    def test_that_it_was_ours_all_the_time_is_seen(
        self, assistant: Assistant, server: ResponsesServer
    ) -> None:
        ours = waiting(assistant)
        adopted = Run(assistant=assistant, connection=assistant.connection)
        adopted.run_id, adopted.thread_id = ours.run_id, ours.thread_id
        assert runtimes.of(adopted).read(adopted).metadata[OWN_ROW] == ours.pk
