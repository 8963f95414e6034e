"""Runs on somebody else's server of the Assistants protocol, which differs: reading, and submitting."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from assistants import actions, runtimes
from assistants.models import Assistant, ToolCall
from tests.assistants.runtimes.assisting import INBOX, SEND, TWICE, hand_over, over_assistants
from tests.assistants.runtimes.responding import answered, look, planned, said, submit, verdicts, waiting
from tests.foreign.assistants_server import KEY, FakeAssistants
from tests.foreign.assistants_ways import AZURE, DIFFERENCES, REFERENCE, Ways

pytestmark = pytest.mark.django_db

Settled = ToolCall.Settled
LOST = ["drops", "errs", "hangs"]


@pytest.fixture(scope="module")
def running() -> Iterator[FakeAssistants]:
    with FakeAssistants.running() as fake:
        yield fake


@pytest.fixture
def fake(running: FakeAssistants) -> FakeAssistants:
    running.reset()
    running.scripts.append(list(TWICE))
    return running


@pytest.fixture
def assistant(assistant: Assistant, fake: FakeAssistants) -> Assistant:
    return over_assistants(assistant, fake)


def requests(fake: FakeAssistants, during: Any) -> list[str]:
    """The ends of the addresses that were asked."""
    before = len(fake.requests)
    during()
    return [asked.line.rsplit("/", 1)[-1].split("_")[0] for asked in fake.requests[before:]]


@pytest.mark.parametrize("ways", DIFFERENCES.values(), ids=DIFFERENCES)
def test_whatever_the_server_a_run_waits_goes_on_and_ends_with_one_output_per_call(
    assistant: Assistant, fake: FakeAssistants, ways: Ways
) -> None:
    fake.ways = ways
    over_assistants(assistant, fake)
    run = look(actions.start(planned(assistant)))
    assert run.status == "requires_action"
    assert [call.name for call in run.calls.order_by("position")] == [SEND[0], INBOX[0]]
    assert run.calls.get(position=0).arguments == '{"to": "a@far.test"}'
    if ways.lifetime and ways.shows_expiry:
        assert run.expires_at
        assert abs(run.expires_at - run.created_at - timedelta(minutes=10)) < timedelta(minutes=1)
    else:
        assert run.expires_at is None
    submit(run)
    run = look(run)
    assert (run.status, run.calls.count()) == ("requires_action", 3)
    submit(run)
    run = look(run)
    assert (run.status, run.last_error) == ("completed", "")
    assert said(run) == [("user", "Write to Anna."), ("assistant", "Sent.")]
    assert [len(outputs) for outputs in fake.outputs().values()] == [1, 1, 1]
    assert len(fake.asked("submit_tool_outputs")) == 2


class TestReading:
    def test_a_run_that_waits_unchanged_costs_one_request(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        run = waiting(assistant)
        assert requests(fake, lambda: look(run)) == ["run"]

    def test_one_that_has_moved_costs_two_and_one_whose_outputs_are_in_doubt_three(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        run = waiting(assistant)
        hand_over(run)
        assert requests(fake, lambda: look(run)) == ["run", "steps", "messages"]
        actions.settle(answered(run)[:2], Settled.SUBMITTED)
        fake.scripts.append(["Done."])
        second = actions.start(planned(assistant))
        assert requests(fake, lambda: look(second)) == ["run", "messages"]

    @pytest.mark.parametrize(
        ("ways", "verdict"),
        [
            (REFERENCE, Settled.CONFIRMED),
            (Ways(shows_outputs=False), Settled.UNVERIFIED),
            (Ways(has_steps=False), Settled.UNVERIFIED),
        ],
        ids=["shown", "not shown", "no steps"],
    )
    def test_the_steps_tell_what_was_heard(
        self, assistant: Assistant, fake: FakeAssistants, ways: Ways, verdict: str
    ) -> None:
        run = waiting(assistant)
        fake.ways = ways
        hand_over(run)
        assert verdicts(run) == {verdict}

    def test_what_somebody_else_submitted_in_part_is_shown_and_no_longer_asked_for(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        fake.ways = Ways(partial=True)
        run = waiting(assistant)
        first, second = answered(run)
        first.output = "theirs"
        runtimes.of(run).submit(run, [first])
        seen = runtimes.of(run).read(run)
        assert seen.outputs == {first.call_id: "theirs"}
        assert seen.asked == {second.call_id}
        assert verdicts(run) == {Settled.ELSEWHERE, None}

    def test_an_expired_run_is_seen_as_such(self, assistant: Assistant, fake: FakeAssistants) -> None:
        run = waiting(assistant)
        fake.pass_time(601)
        assert look(run).status == "expired"

    def test_a_run_that_was_deleted_is_gone(self, assistant: Assistant, fake: FakeAssistants) -> None:
        run = waiting(assistant)
        fake.runs.clear()
        with pytest.raises(runtimes.Gone, match="No run found"):
            look(run)

    @pytest.mark.parametrize("kind", ["proxy", "nonsense", "refuses", "throttles", "drops"])
    def test_what_a_proxy_says_of_a_server_that_is_away_ends_no_run(
        self, assistant: Assistant, fake: FakeAssistants, kind: str
    ) -> None:
        run = waiting(assistant)
        fake.fault("GET", kind)
        with pytest.raises(runtimes.Unreachable):
            look(run)
        assert look(run).status == "requires_action"

    def test_one_that_waits_without_saying_for_what_is_asked_again(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        run = waiting(assistant)
        answered(run)
        fake.ways = Ways(lists_calls=False, has_steps=False)
        with pytest.raises(runtimes.Unreachable, match="does not say for which"):
            look(run)
        assert run.calls.filter(settled="").count() == 2

    def test_why_a_run_failed_is_kept_in_whatever_form_it_is_told(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        for error, told in [
            ({"code": "rate_limit_exceeded", "message": "Quota."}, "Quota."),
            ({"code": "server_error", "message": None}, "server_error"),
            ("Out of memory.", "Out of memory."),
        ]:
            fake.scripts.insert(0, list(TWICE))
            run = waiting(assistant)
            fake.runs[run.run_id].status, fake.runs[run.run_id].last_error = "failed", error
            run = look(run)
            assert (run.status, run.last_error) == ("failed", told)


class TestSubmitting:
    @pytest.mark.parametrize("kind", LOST)
    def test_a_lost_reply_says_try_again_and_the_next_look_that_it_was_heard(
        self, assistant: Assistant, fake: FakeAssistants, kind: str
    ) -> None:
        run = waiting(assistant)
        fake.fault("submit", kind)
        assistant.connection.timeout = 0.5  # type: ignore[union-attr]
        run.connection = assistant.connection
        with pytest.raises(runtimes.Unreachable):
            runtimes.of(run).submit(run, answered(run))
        assert verdicts(run) == {Settled.CONFIRMED}
        assert [len(outputs) for outputs in fake.outputs().values()] == [1, 1]

    @pytest.mark.parametrize("kind", ["refuses", "throttles"])
    def test_what_was_not_heard_is_still_asked_for(
        self, assistant: Assistant, fake: FakeAssistants, kind: str
    ) -> None:
        run = waiting(assistant)
        fake.fault("submit", kind)
        with pytest.raises(runtimes.Unreachable):
            hand_over(run)
        assert verdicts(run) == {None}

    @pytest.mark.parametrize(
        ("given", "after"),
        [("7", 7), ("0", None), ("", None), ("Sun, 22 Nov 2026 12:00:00 GMT", None), ("9" * 400, 86_400)],
        ids=["a number", "at once", "nothing", "a date", "nonsense"],
    )
    def test_who_asks_to_be_left_alone_for_a_while_is(
        self, assistant: Assistant, fake: FakeAssistants, given: str, after: float | None
    ) -> None:
        run = waiting(assistant)
        fake.retry_after = given
        fake.fault("GET", "throttles")
        with pytest.raises(runtimes.Unreachable) as told:
            look(run)
        assert told.value.after == after

    @pytest.mark.parametrize("ways", [REFERENCE, Ways(ended_is_missing=True)], ids=["400", "404"])
    def test_a_run_that_has_gone_on_wants_nothing_and_is_not_gone(
        self, assistant: Assistant, fake: FakeAssistants, ways: Ways
    ) -> None:
        run = waiting(assistant)
        calls = hand_over(run)
        fake.ways = ways
        fake.runs[run.run_id].status = "completed"
        with pytest.raises(runtimes.NotWaiting):
            runtimes.of(run).submit(run, calls)

    @pytest.mark.parametrize(
        ("ways", "told"),
        [(REFERENCE, runtimes.NotWaiting), (Ways(breaks_on_bogus=True), runtimes.Unreachable)],
        ids=["400", "500"],
    )
    def test_calls_that_are_not_asked_for_are_a_reason_to_look(
        self, assistant: Assistant, fake: FakeAssistants, ways: Ways, told: type[Exception]
    ) -> None:
        run = waiting(assistant)
        fake.ways = ways
        with pytest.raises(told):
            runtimes.of(run).submit(run, [ToolCall(call_id="call_bogus", output="x")])
        answered(run)
        assert verdicts(run) == {None}

    def test_a_key_that_is_refused_is_never_quoted(self, assistant: Assistant, fake: FakeAssistants) -> None:
        run = waiting(assistant)
        assert run.connection
        run.connection.api_key = "sk-revoked-and-secret"
        with pytest.raises(runtimes.Refused, match=r"Incorrect API key provided: \[key\]") as told:
            runtimes.of(run).submit(run, answered(run))
        cause = told.value.__cause__
        assert "secret" not in f"{told.value} {cause} {cause!r}"


class TestConnecting:
    @pytest.mark.parametrize(
        "path", ["", "/", "/v1", "/v1/", "/api/projects/acme", "/api/projects/acme/"], ids=str
    )
    def test_any_base_address_will_do(self, assistant: Assistant, fake: FakeAssistants, path: str) -> None:
        fake.ways = AZURE
        over_assistants(assistant, fake, base_url=f"{fake.url}{path}")
        assert waiting(assistant).status == "requires_action"
        assert {asked.query["api-version"] for asked in fake.requests} == {"v1"}
        assert {asked.headers["authorization"] for asked in fake.requests} == {f"Bearer {KEY}"}

    def test_nobody_at_home_is_a_sentence_with_the_address(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        over_assistants(assistant, fake, base_url="http://127.0.0.1:1/v1")
        with pytest.raises(runtimes.Unreachable, match=r"127\.0\.0\.1 could not be reached: "):
            actions.start(planned(assistant))

    def test_one_request_takes_no_longer_than_the_connection_allows(
        self, assistant: Assistant, fake: FakeAssistants
    ) -> None:
        run = waiting(assistant)
        assert run.connection
        run.connection.timeout = 0.5
        fake.fault("GET", "hangs")
        with pytest.raises(runtimes.Unreachable, match="did not answer in time"):
            runtimes.of(run).read(run)
