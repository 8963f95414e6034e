"""Runs over the Agents API, against somebody else's server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from assistants import actions, runtimes, tools
from assistants.models import Assistant, Connection, Run, ToolCall
from assistants.observe import OWN_ROW
from assistants.runtimes.agents import AgentsRuntime
from mailboxes.models import Mailbox
from tests import factories
from tests.foreign.agents_server import FakeAgents
from tests.servers import AsgiServer

pytestmark = pytest.mark.django_db

SEND = ("send_email", {"to": "a@b.example", "subject": "s", "body": "bé"})
INBOX: tuple[str, dict[str, str]] = ("check_inbox", {})
SENT = '{"status": "sent"}'
CREATE = "POST /agents/sessions"
EVENTS = r"POST /agents/sessions/\w+/events"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeAgents]:
    """One for all tests: our client keeps its connections, whose end takes a second."""
    fake = FakeAgents()
    with AsgiServer.running(fake) as server:
        fake.url = f"{server.url}/v1"
        yield fake


@pytest.fixture
def far(server: FakeAgents) -> FakeAgents:
    server.reset()
    return server


@pytest.fixture
def connection(far: FakeAgents, db: None) -> Connection:
    return factories.a_connection(protocol=Connection.Protocol.AGENTS, base_url=far.url, model="astra")


@pytest.fixture
def agent(connection: Connection, mailbox: Mailbox) -> Assistant:
    return factories.an_assistant(mailboxes=[mailbox], connection=connection, instructions="Be brief.")


def planned(agent: Assistant, prompt: str = "Look.", **fields: Any) -> Run:
    return actions.plan_run(agent, cause=Run.Cause.PERSON, prompt=prompt, **fields)


def started(agent: Assistant, prompt: str = "Look.", **fields: Any) -> Run:
    return actions.start(planned(agent, prompt, **fields))


def runtime(run: Run) -> AgentsRuntime:
    found = runtimes.of(run)
    assert isinstance(found, AgentsRuntime)
    return found


def answered(run: Run, *outputs: str | None) -> list[ToolCall]:
    """The run's calls with these outputs; None leaves one open."""
    calls = list(run.calls.order_by("position"))
    for call, output in zip(calls, outputs, strict=True):
        call.output = output
        call.save()
    return [call for call in calls if call.output is not None]


def test_the_fake_is_what_the_official_client_expects_of_the_real_one(far: FakeAgents) -> None:
    far.script = [[[SEND]]]
    client = openai.OpenAI(base_url=far.url, api_key="k", max_retries=0, _strict_response_validation=True)
    with client:
        sessions = client.beta.agents.sessions
        made = sessions.create(
            agent={"model": "astra", "tools": tools.schemas("agents")},
            environment={"type": "none"},
            input="Hello",
            metadata={"a": "b"},
        )
        assert sessions.retrieve(made.id).required_actions[0].type == "function_call"
        (turn,) = sessions.turns.list(made.id)
        assert sessions.turns.retrieve(turn.id, session_id=made.id).status == "waiting"
        sessions.events.create(
            made.id,
            events=[
                {
                    "type": "agent.session.input.tool_result",
                    "turn_id": turn.id,
                    "call_id": far.session.actions[0]["call_id"],
                    "success": True,
                    "output": SENT,
                }
            ],
        )
        kinds = [item.type for item in sessions.turns.items.list(turn.id, session_id=made.id, order="asc")]
        assert kinds == ["message", "function_call", "function_call_output", "message"]
        assert [item.type for item in sessions.items.list(made.id, limit=1)] == kinds[::-1]
        assert [one.id for one in sessions.list(metadata={"a": "b"})] == [made.id]
        assert not sessions.list(metadata={"a": "c"}).data


class TestStarting:
    def test_a_run_is_the_first_turn_of_a_session_of_its_own(
        self, far: FakeAgents, agent: Assistant, mailbox: Mailbox
    ) -> None:
        far.script = [[[SEND, INBOX]]]
        run = started(agent, mailbox_id=mailbox.pk)
        (asked,) = far.asked(CREATE)
        assert asked.sent == {
            "agent": {"model": "astra", "instructions": "Be brief.", "tools": tools.schemas("agents")},
            "environment": {"type": "none"},
            "input": "Look.",
            "metadata": {OWN_ROW: run.pk, "mailbox_id": mailbox.pk},
        }
        assert (run.thread_id, run.run_id) == (far.session.id, far.session.turns[0]["id"])
        assert run.status == Run.Status.REQUIRES_ACTION
        assert [(call.name, json.loads(call.arguments)) for call in run.calls.order_by("position")] == [
            SEND,
            INBOX,
        ]

    def test_a_start_that_was_heard_is_found_again(self, far: FakeAgents, agent: Assistant) -> None:
        run = planned(agent)
        far.loses_reply = CREATE
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        # the real list with a filter shows new sessions late
        far.list_lags = True
        run = actions.start(run)
        assert run.thread_id == far.session.id

    def test_a_start_that_was_not_heard_is_made_again(self, far: FakeAgents, agent: Assistant) -> None:
        run = planned(agent)
        far.fails_before = CREATE
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        run = actions.start(run)
        assert run.thread_id == far.session.id

    def test_a_session_that_has_no_turn_yet_is_asked_again(self, far: FakeAgents, agent: Assistant) -> None:
        run = planned(agent)
        far.is_slow = True
        with pytest.raises(runtimes.Unreachable, match="not begun"):
            actions.start(run)
        far.apply()
        assert actions.start(run).run_id == far.session.turns[0]["id"]

    def test_without_a_model_it_is_refused_with_a_sentence(self, far: FakeAgents, agent: Assistant) -> None:
        Connection.objects.update(model="")
        with pytest.raises(runtimes.Refused, match="names no model"):
            started(Assistant.objects.get())
        assert far.requests == []

    def test_what_the_far_side_calls_wrong_is_not_tried_again(
        self, far: FakeAgents, agent: Assistant
    ) -> None:
        with pytest.raises(runtimes.Refused, match="input is required"):
            started(agent, "")


class TestGoingOn:
    @pytest.fixture
    def first(self, far: FakeAgents, agent: Assistant) -> Run:
        return started(agent)

    def test_a_later_run_is_a_turn_of_the_same_session(
        self, far: FakeAgents, agent: Assistant, first: Run
    ) -> None:
        run = started(agent, "And now?", thread_id=first.thread_id)
        assert [turn["id"] for turn in far.session.turns] == [first.run_id, run.run_id]
        assert run.status == Run.Status.COMPLETED
        assert [(said["role"], said["text"]) for said in run.transcript] == [
            ("user", "And now?"),
            ("assistant", "Done."),
        ]

    def test_the_same_words_twice_are_two_turns(self, far: FakeAgents, agent: Assistant, first: Run) -> None:
        run = started(agent, thread_id=first.thread_id)
        assert run.run_id == far.session.turns[1]["id"]

    @pytest.mark.parametrize("fault", ["", "fails_before", "loses_reply", "is_slow"])
    def test_the_same_words_of_somebody_else_are_another_turn(
        self, far: FakeAgents, agent: Assistant, fault: str
    ) -> None:
        with openai.OpenAI(base_url=far.url, api_key="k", max_retries=0) as client:
            begun = client.beta.agents.sessions.create(
                agent={"model": "astra"}, environment={"type": "none"}, input="Go on."
            )
        run = planned(agent, "Go on.", thread_id=begun.id)
        if fault:
            setattr(far, fault, True if fault == "is_slow" else EVENTS)
            with pytest.raises(runtimes.Unreachable):
                actions.start(run)
            far.apply()
        run = actions.start(Run.objects.select_related("assistant", "connection").get(pk=run.pk))
        _, turn = far.session.turns
        assert run.run_id == turn["id"]

    @pytest.mark.parametrize("heeds_keys", [True, False])
    def test_what_was_heard_is_not_said_twice(
        self, far: FakeAgents, agent: Assistant, first: Run, heeds_keys: bool
    ) -> None:
        far.heeds_keys = heeds_keys
        run = planned(agent, "And now?", thread_id=first.thread_id)
        far.loses_reply = EVENTS
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        assert actions.start(run).run_id == far.session.turns[1]["id"]
        assert len(far.session.turns) == 2

    def test_what_is_still_in_a_queue_is_not_said_twice(
        self, far: FakeAgents, agent: Assistant, first: Run
    ) -> None:
        run = planned(agent, "And now?", thread_id=first.thread_id)
        far.is_slow = True
        for _ in range(2):
            with pytest.raises(runtimes.Unreachable, match="not begun"):
                actions.start(run)
        far.apply()
        assert actions.start(run).run_id == far.session.turns[1]["id"]
        assert len(far.session.turns) == 2

    def test_a_busy_session_is_told_nothing(self, far: FakeAgents, agent: Assistant) -> None:
        """The message would steer the turn that waits for a person."""
        far.script = [[[SEND]]]
        first = started(agent)
        with pytest.raises(runtimes.Locked, match="requires_action"):
            started(agent, "And now?", thread_id=first.thread_id)
        assert far.asked(EVENTS) == []

    def test_a_session_that_refuses_input_for_now_is_locked(
        self, far: FakeAgents, agent: Assistant, first: Run
    ) -> None:
        run = planned(agent, "And now?", thread_id=first.thread_id)
        far.session.keys[run.pk] = ["something else"]
        with pytest.raises(runtimes.Locked):
            actions.start(run)

    def test_a_failed_session_is_refused(self, far: FakeAgents, agent: Assistant, first: Run) -> None:
        far.session.status, far.session.error = "failed", "The model is gone."
        with pytest.raises(runtimes.Refused, match="The model is gone"):
            started(agent, "And now?", thread_id=first.thread_id)

    def test_a_spending_limit_may_be_raised(self, far: FakeAgents, agent: Assistant, first: Run) -> None:
        far.session.status = "budget_reached"
        with pytest.raises(runtimes.Unreachable, match="spending limit"):
            started(agent, "And now?", thread_id=first.thread_id)

    def test_a_deleted_session_is_gone(self, far: FakeAgents, agent: Assistant, first: Run) -> None:
        far.sessions.clear()
        with pytest.raises(runtimes.Gone):
            started(agent, "And now?", thread_id=first.thread_id)


class TestReading:
    @pytest.fixture
    def run(self, far: FakeAgents, agent: Assistant) -> Run:
        far.script = [[[SEND]]]
        return started(agent)

    @pytest.mark.parametrize(
        ("turn", "session", "status"),
        [
            ("queued", "in_progress", "queued"),
            ("in_progress", "in_progress", "in_progress"),
            # its calls were answered between the two looks
            ("waiting", "in_progress", "in_progress"),
            ("in_progress", "budget_reached", "in_progress"),
            ("completed", "idle", "completed"),
            ("failed", "idle", "failed"),
            ("cancelled", "idle", "cancelled"),
            ("completed", "failed", "completed"),
            ("in_progress", "failed", "failed"),
        ],
    )
    def test_the_turn_says_how_the_run_is(
        self, far: FakeAgents, run: Run, turn: str, session: str, status: str
    ) -> None:
        far.session.actions = []
        far.session.turns[0]["status"], far.session.status = turn, session
        assert runtime(run).read(run).status == status

    def test_calls_of_another_turn_are_not_its_own(self, far: FakeAgents, run: Run) -> None:
        far.session.actions[0]["turn_id"] = "turn_of_a_stranger"
        seen = runtime(run).read(run)
        assert (seen.calls, seen.status) == ([], Run.Status.IN_PROGRESS)

    def test_accepted_outputs_show_however_long_the_turn(self, far: FakeAgents, run: Run) -> None:
        (call,) = answered(run, SENT)
        # more than one page of them
        for n in range(250):
            far.session.items.append(far.session.items[0] | {"id": f"more_{n}"})
        runtime(run).submit(run, [call])
        assert runtime(run).read(run).outputs == {call.call_id: SENT}

    def test_an_output_in_parts_and_one_that_is_an_error_are_texts(self, far: FakeAgents, run: Run) -> None:
        item = {"type": "function_call_output", "turn_id": run.run_id, "status": "completed"}
        parts = [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]
        far.session.items += [
            item | {"id": "i1", "call_id": "c1", "output": parts, "error": None},
            item | {"id": "i2", "call_id": "c2", "output": None, "error": "It broke."},
        ]
        assert runtime(run).read(run).outputs == {"c1": "one\ntwo", "c2": "It broke."}

    def test_why_a_turn_failed_is_told(self, far: FakeAgents, run: Run) -> None:
        far.end(far.session, "failed", {"code": "server_error", "message": "The model gave up."})
        assert runtime(run).read(run).last_error == "The model gave up."

    @pytest.mark.parametrize(
        ("action", "sentence"),
        [
            ({"type": "environment_connection", "environment_id": "env_1"}, "environment to be connected"),
            (
                {
                    "type": "computer_use_approval_request",
                    "request_id": "req_1",
                    "request": {"type": "browser_origin_access", "origin": "https://x.example"},
                },
                "about its browser",
            ),
        ],
    )
    def test_what_cannot_be_answered_here_is_said_and_hides_no_call(
        self, far: FakeAgents, run: Run, action: dict[str, Any], sentence: str
    ) -> None:
        far.session.actions.append(action | ({"turn_id": run.run_id} if "request_id" in action else {}))
        seen = runtime(run).read(run)
        assert sentence in seen.last_error
        assert len(seen.asked) == 1
        far.session.actions.pop(0)
        seen = runtime(run).read(run)
        assert (seen.status, seen.asked) == (Run.Status.REQUIRES_ACTION, frozenset())
        assert sentence in seen.last_error

    def test_a_deleted_session_is_gone(self, far: FakeAgents, run: Run) -> None:
        far.sessions.clear()
        with pytest.raises(runtimes.Gone):
            runtime(run).read(run)

    def test_a_run_that_somebody_else_began_can_be_read(
        self, far: FakeAgents, agent: Assistant, run: Run, connection: Connection
    ) -> None:
        theirs = Run(assistant=agent, connection=connection, thread_id=run.thread_id, run_id=run.run_id)
        assert len(runtime(theirs).read(theirs).calls) == 1


class TestSubmitting:
    @pytest.fixture
    def run(self, far: FakeAgents, agent: Assistant) -> Run:
        far.script = [[[SEND, INBOX]]]
        return started(agent)

    def test_each_call_gets_its_output_and_the_turn_goes_on(self, far: FakeAgents, run: Run) -> None:
        calls = answered(run, SENT, "[]")
        runtime(run).submit(run, calls)
        assert far.journal == [(calls[0].call_id, SENT), (calls[1].call_id, "[]")]
        assert runtime(run).read(run).status == Run.Status.COMPLETED

    def test_one_call_is_answered_before_the_other(self, far: FakeAgents, run: Run) -> None:
        assert runtime(run).can.partial
        (call,) = answered(run, SENT, None)
        runtime(run).submit(run, [call])
        seen = runtime(run).read(run)
        assert far.journal == [(call.call_id, SENT)]
        assert seen.status == Run.Status.REQUIRES_ACTION
        assert [one.name for one in seen.calls] == ["check_inbox"]

    @pytest.mark.parametrize("when", ["fails_before", "loses_reply"])
    def test_a_submit_may_be_repeated(self, far: FakeAgents, run: Run, when: str) -> None:
        calls = answered(run, SENT, "[]")
        setattr(far, when, EVENTS)
        with pytest.raises(runtimes.Unreachable):
            runtime(run).submit(run, calls)
        runtime(run).submit(run, calls)
        assert far.outputs == {calls[0].call_id: [SENT], calls[1].call_id: ["[]"]}

    def test_also_where_keys_are_not_heeded_there_is_one_output(self, far: FakeAgents, run: Run) -> None:
        far.heeds_keys = False
        calls = answered(run, SENT, "[]")
        far.loses_reply = EVENTS
        with pytest.raises(runtimes.Unreachable):
            runtime(run).submit(run, calls)
        with pytest.raises(runtimes.NotWaiting, match="Unknown pending tool call"):
            runtime(run).submit(run, calls)
        seen = runtime(run).read(run)
        assert seen.outputs == {calls[0].call_id: SENT}
        assert seen.asked == {calls[1].call_id}

    def test_what_is_only_accepted_is_not_taken_yet(self, far: FakeAgents, run: Run) -> None:
        calls = answered(run, SENT, "[]")
        far.is_slow = True
        for _ in range(2):
            with pytest.raises(runtimes.Unreachable, match="has not taken them"):
                runtime(run).submit(run, calls)
        far.apply()
        runtime(run).submit(run, calls)
        assert far.outputs == {calls[0].call_id: [SENT], calls[1].call_id: ["[]"]}

    def test_a_turn_that_is_cancelled_over_it_did_not_take_them(self, far: FakeAgents, run: Run) -> None:
        calls = answered(run, SENT, "[]")
        far.is_slow = True
        with pytest.raises(runtimes.Unreachable):
            runtime(run).submit(run, calls)
        far.end(far.session, "cancelled")
        with pytest.raises(runtimes.NotWaiting):
            runtime(run).submit(run, calls)
        assert far.journal == []

    def test_somebody_elses_answer_stands(self, far: FakeAgents, run: Run) -> None:
        calls = answered(run, SENT, "[]")
        theirs: Any = {
            "type": "agent.session.input.tool_result",
            "turn_id": run.run_id,
            "call_id": calls[0].call_id,
            "success": True,
            "output": "theirs",
        }
        runtime(run).sessions.events.create(run.thread_id, events=[theirs])
        with pytest.raises(runtimes.NotWaiting):
            runtime(run).submit(run, calls)
        assert runtime(run).read(run).outputs == {calls[0].call_id: "theirs"}

    def test_a_deleted_session_is_gone(self, far: FakeAgents, run: Run) -> None:
        far.sessions.clear()
        with pytest.raises(runtimes.Gone):
            runtime(run).submit(run, answered(run, SENT, "[]"))


def test_what_another_servers_tool_may_do_is_denied(far: FakeAgents, agent: Assistant) -> None:
    """No person can be asked here; the agent hears at once that it may not, and goes on."""
    request = {
        "type": "mcp_tool_call",
        "server_label": "bank",
        "name": "pay",
        "arguments": {"amount": 5},
        "message": "May it?",
    }
    far.script = [[{"type": "mcp_approval_request", "request_id": "req_1", "request": request}]]
    run = started(agent)
    call = run.calls.get()
    assert (call.call_id, call.name, call.arguments) == ("req_1", "mcp:bank.pay", '{"amount": 5}')
    runtime(run).submit(run, answered(run, '{"error": "There is no such tool."}'))
    assert far.journal == [("req_1", "deny")]
    assert far.session.status == "idle"
