"""Runs begin once on somebody else's server of the Assistants protocol, whatever becomes of the replies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from pytest_django import Settings

from assistants import actions, runtimes, tools
from assistants.models import Assistant, Run
from assistants.observe import OWN_ROW
from assistants.runtimes import beginning
from tests import factories
from tests.assistants.runtimes.assisting import SEND, over_assistants
from tests.assistants.runtimes.responding import look, planned, said
from tests.foreign.assistants_server import FakeAssistants
from tests.foreign.assistants_ways import DIFFERENCES, OPEN_ASSISTANT, REFERENCE, Ways, losing
from tests.servers import AsgiServer

pytestmark = pytest.mark.django_db

CREATE_RUN = "POST /threads/[^/]+/runs$"
CREATE_THREAD = "POST /threads$"


@pytest.fixture(scope="module")
def running() -> Iterator[FakeAssistants]:
    with FakeAssistants.running() as fake:
        yield fake


@pytest.fixture
def fake(running: FakeAssistants) -> FakeAssistants:
    running.reset()
    return running


@pytest.fixture
def assistant(assistant: Assistant, fake: FakeAssistants) -> Assistant:
    return over_assistants(assistant, fake)


def started(run: Run) -> Run:
    """The way of the worker: again and again, until it is heard."""
    for _ in range(3):
        run = Run.objects.select_related("assistant", "connection", "follows").get(pk=run.pk)
        try:
            return actions.start(run)
        except runtimes.Unreachable:
            continue
    raise AssertionError("it was never heard")


def a_thread(assistant: Assistant, fake: FakeAssistants) -> Run:
    """An earlier run that has come to its end."""
    fake.scripts.insert(0, ["Hello."])
    run = look(actions.start(planned(assistant, "Before.")))
    assert run.status == "completed"
    return run


@pytest.mark.parametrize(("ways", "kind"), losing(DIFFERENCES, "errs", "refuses"))
class TestWhateverTheServerAndWhicheverReplyIsLost:
    def test_a_run_in_a_new_thread_begins_once(
        self, assistant: Assistant, fake: FakeAssistants, ways: Ways, kind: str
    ) -> None:
        fake.ways = ways
        over_assistants(assistant, fake)
        for pattern in ("POST /assistants", CREATE_THREAD, CREATE_RUN):
            fake.fault(pattern, kind)
        run = planned(assistant)
        for _ in range(3):
            with pytest.raises(runtimes.Unreachable):
                actions.start(run)
        run = look(started(run))
        assert run.status == "completed"
        assert fake.said(run.thread_id) == ["Write to Anna.", "All right."]
        assert len(fake.runs) == 1

    def test_a_run_in_a_thread_that_is_there_begins_once(
        self, assistant: Assistant, fake: FakeAssistants, ways: Ways, kind: str
    ) -> None:
        fake.ways = ways
        over_assistants(assistant, fake)
        before = a_thread(assistant, fake)
        fake.fault(CREATE_RUN, kind)
        run = look(started(planned(assistant, "And now?", thread_id=before.thread_id)))
        assert (run.thread_id, run.status) == (before.thread_id, "completed")
        assert said(run)[-1] == ("assistant", "All right.")
        assert [of.sent["metadata"][OWN_ROW] for of in fake.runs.values()] == [before.pk, run.pk]


@pytest.mark.parametrize("kind", ["", "refuses", "drops"])
@pytest.mark.parametrize("times", ["seconds", "milliseconds", "text"])
def test_where_no_metadata_are_kept_the_same_words_of_long_ago_are_no_attempt_of_ours(
    assistant: Assistant, fake: FakeAssistants, times: str, kind: str
) -> None:
    fake.ways = Ways(metadata="", times=times)
    fake.pass_time(-60)
    before = a_thread(assistant, fake)
    fake.pass_time(60)
    if kind:
        fake.fault(CREATE_RUN, kind)
    run = look(started(planned(assistant, "Before.", thread_id=before.thread_id)))
    assert list(fake.runs) == [before.run_id, run.run_id]
    assert fake.said(run.thread_id) == ["Before.", "Hello.", "Before.", "All right."]


class TestInANewThread:
    def test_the_thread_is_kept_before_its_run_is_asked_for(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        fake.fault(CREATE_RUN, "refuses")
        run = planned(assistant)
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        run.refresh_from_db()
        assert [run.thread_id] == list(fake.threads)
        assert started(run).thread_id == run.thread_id

    def test_a_thread_whose_creation_was_not_heard_of_stays_empty_of_runs(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        fake.fault(CREATE_THREAD, "hangs")
        run = planned(assistant)
        assert run.connection
        run.connection.timeout = 0.5
        with pytest.raises(runtimes.Unreachable):
            actions.start(run)
        run = started(run)
        assert len(fake.threads) == 2
        assert [of.thread_id for of in fake.runs.values()] == [run.thread_id]

    def test_it_goes_on_in_the_thread_of_an_attempt_that_was_faster(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        late = planned(assistant)
        faster = Run.objects.select_related("assistant", "connection").get(pk=late.pk)
        fake.fault(CREATE_RUN, "refuses")
        with pytest.raises(runtimes.Unreachable):
            actions.start(faster)
        seen = runtimes.of(late).start(late, again=False)
        assert [of.thread_id for of in fake.runs.values()] == [faster.thread_id] == [seen.thread_id]
        assert fake.said(seen.thread_id) == ["Write to Anna."]

    def test_who_starts_it_costs_two_requests_once_the_assistant_is_known(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        a_thread(assistant, fake)
        fake.requests.clear()
        actions.start(planned(assistant))
        assert [asked.line.split("/")[-1] for asked in fake.requests] == ["threads", "runs"]


class TestWhileAnotherRunHoldsTheThread:
    @pytest.mark.parametrize(
        "ways", [REFERENCE, Ways(locks=False), OPEN_ASSISTANT], ids=["lock", "no lock", "Open Assistant API"]
    )
    def test_it_waits_its_turn_and_says_nothing(
        self, assistant: Assistant, fake: FakeAssistants, ways: Ways
    ) -> None:
        fake.ways = ways
        over_assistants(assistant, fake)
        fake.scripts.append([[SEND], "Sent."])
        ahead = look(actions.start(planned(assistant, "First.")))
        for _ in range(2):
            with pytest.raises(runtimes.Locked, match=ahead.run_id):
                actions.start(planned(assistant, "Second.", thread_id=ahead.thread_id))
        assert fake.said(ahead.thread_id) == ["First."]
        assert len(fake.runs) == 1

    @pytest.mark.parametrize(
        "told",
        [
            (400, "Thread thread_1 already has an active run run_1."),
            (400, "Can't add messages to thread_1 while a run run_1 is active."),
            (400, "Another run is in_progress."),
            (400, "The thread is locked."),
            (409, "Conflict."),
        ],
        ids=lambda told: told[1],
    )
    def test_a_run_that_was_faster_than_our_look_is_told_in_any_words(
        self, assistant: Assistant, fake: FakeAssistants, told: tuple[int, str]
    ) -> None:
        before = a_thread(assistant, fake)
        fake.fault(CREATE_RUN, (told[0], {"error": {"message": told[1]}}))
        with pytest.raises(runtimes.Locked, match=told[1]):
            actions.start(planned(assistant, thread_id=before.thread_id))

    def test_one_that_has_outlived_its_expiry_holds_nothing(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        """Some notice that a run has expired only when they work on it."""
        fake.ways = Ways(locks=False, lifetime=-1, notices_expiry=False)
        fake.scripts.append([[SEND], "Sent."])
        stuck = look(actions.start(planned(assistant)))
        assert stuck.status == "requires_action"
        run = actions.start(planned(assistant, thread_id=stuck.thread_id))
        assert run.run_id != stuck.run_id

    def test_what_it_will_never_take_is_no_lock(self, assistant: Assistant, fake: FakeAssistants) -> None:
        before = a_thread(assistant, fake)
        fake.fault(CREATE_RUN, (400, {"error": {"message": "Unknown model 'served'."}}))
        with pytest.raises(runtimes.Refused, match=r"Unknown model 'served'\. \(HTTP 400\)"):
            actions.start(planned(assistant, thread_id=before.thread_id))

    def test_a_thread_that_was_deleted_is_gone(self, assistant: Assistant, fake: FakeAssistants) -> None:
        before = a_thread(assistant, fake)
        fake.threads.clear()
        with pytest.raises(runtimes.Gone, match="No thread found"):
            actions.start(planned(assistant, thread_id=before.thread_id))
        assert list(fake.assistants) == [before.remote_assistant_id]


class TestItsAssistant:
    def test_it_is_made_once_with_our_tools_and_the_model_that_the_connection_serves(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        for _ in range(2):
            actions.start(planned(assistant))
        (made,) = fake.assistants.values()
        assert (made["name"], made["model"], made["instructions"]) == (
            assistant.name,
            "served",
            "Be brief.",
        )
        assert made["tools"] == tools.schemas("assistants")
        for run in fake.runs.values():
            assert (run.sent["model"], run.sent["instructions"]) == ("served", "Be brief.")
            assert run.sent["tools"] == made["tools"]

    def test_it_is_made_anew_if_somebody_deleted_it(self, assistant: Assistant, fake: FakeAssistants) -> None:
        before = a_thread(assistant, fake)
        fake.assistants.clear()
        run = actions.start(planned(assistant, thread_id=before.thread_id))
        assert run.remote_assistant_id in fake.assistants
        assert run.remote_assistant_id != before.remote_assistant_id
        assert fake.said(run.thread_id)[2:] == ["Write to Anna."]

    def test_a_follow_up_of_a_run_that_was_somebody_elses_keeps_its_assistant_as_it_is(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        before = a_thread(assistant, fake)
        theirs = fake.assistants["asst_theirs"] = {"id": "asst_theirs"}
        Run.objects.update(remote_assistant_id=theirs["id"])
        before.refresh_from_db()
        fields: Any = {"cause": Run.Cause.FOLLOW_UP, "prompt": "Sent.", "thread_id": before.thread_id}
        run = actions.start(actions.plan_run(assistant, follows=before, **fields))
        sent = fake.runs[run.run_id].sent
        assert sent["assistant_id"] == "asst_theirs"
        assert not {"model", "instructions", "tools"} & set(sent)
        assert sent["metadata"]["followup_id"] == run.pk
        # and when that one is gone too, ours tells it
        del fake.assistants["asst_theirs"]
        run = started(actions.plan_run(assistant, follows=before, **fields))
        assert fake.runs[run.run_id].sent["assistant_id"] == assistant.remote_id


class TestWhatTheThreadIsTold:
    def test_what_was_decided_comes_with_the_run_in_one_request(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        before = a_thread(assistant, fake)
        fake.requests.clear()
        actions.start(planned(assistant, "It was sent.", thread_id=before.thread_id))
        looked, asked = fake.requests
        assert looked.line.startswith("GET")
        assert [one["content"] for one in asked.sent["additional_messages"]] == ["It was sent."]

    def test_a_server_that_keeps_no_message_that_comes_with_a_run_is_told_of(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        fake.ways = Ways(additional_messages=False)
        before = a_thread(assistant, fake)
        assert before.last_error == ""
        run = look(actions.start(planned(assistant, "It was sent.", thread_id=before.thread_id)))
        assert (run.status, "did not keep the message" in run.last_error) == ("completed", True)

    @pytest.mark.parametrize("fault", ["", CREATE_RUN, "POST /threads/[^/]+/messages"])
    def test_servers_whose_runs_bring_no_messages_are_told_before_and_once(
        self, assistant: Assistant, fake: FakeAssistants, monkeypatch: pytest.MonkeyPatch, fault: str
    ) -> None:
        monkeypatch.setattr(beginning, "NO_ADDITIONAL_MESSAGES", ("127.0.0.1",))
        fake.ways = Ways(additional_messages=False)
        before = a_thread(assistant, fake)
        if fault:
            fake.fault(fault, "drops")
        run = look(started(planned(assistant, "It was sent.", thread_id=before.thread_id)))
        assert fake.said(run.thread_id)[2:] == ["It was sent.", "All right."]
        assert len(fake.runs) == 2


@pytest.mark.django_db(transaction=True)
def test_our_own_server_is_asked_for_a_run_in_one_request(settings: Settings, assistant: Assistant) -> None:
    """It is on the way of each inbound mail; the server itself finds the run of a former attempt."""
    assistant.connection = factories.a_connection([{"say": "Done."}])
    assistant.save()
    lines: list[str] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        lines.append(scope["path"])
        await get_asgi_application()(scope, receive, send)

    with AsgiServer.running(site) as server:
        settings.INTERNAL_URL = settings.PUBLIC_URL = server.url
        actions.start(planned(assistant))
        first, *_ = lines
        lines.clear()
        run = actions.start(planned(assistant))
        assert lines == ["/openai/v1/threads/runs"]
        assert first == "/openai/v1/assistants"
        Run.objects.filter(pk=run.pk).update(run_id="", status="starting")
        assert started(run).run_id == run.run_id
