"""A person takes hours: what a run hears meanwhile, and afterwards, whatever becomes of it.

Each test fails when the rule it names is removed.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from django.utils import timezone

from approvals import actions, effects, gate, outbox, tasks
from approvals.actions.inbound_runs import keep_thread
from approvals.actions.runs import raise_alert
from approvals.actions.telling import answer_undecided
from approvals.actions.transitions import current
from approvals.errors import Conflict, Invalid, NotPermitted
from approvals.models import OutboundMessage, OutboxEntry, User
from assistants import actions as assistant_actions
from assistants import polling, runtimes
from assistants.models import Assistant, Connection, Run, ToolCall
from assistants.observe import SeenCall, observe
from assistants.reconcile import judge
from audit.models import Event
from mailboxes.envelope import Draft
from mailboxes.models import Conversation, Mailbox
from tests import factories
from tests.approvals import living
from tests.approvals.far_side import FarSide
from tests.servers import RecordingServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SEND = ("send_email", '{"to": "a@b.example", "subject": "One", "body": "b"}')
OTHER = ("send_email", '{"to": "a@b.example", "subject": "Two", "body": "b"}')
INBOX = ("check_inbox", "{}")


@pytest.fixture
def foreign(assistant: Assistant) -> Assistant:
    """Its runs live on somebody else's server."""
    assistant.connection = factories.a_connection(
        protocol=Connection.Protocol.ASSISTANTS, base_url="http://runs.example/v1"
    )
    assistant.save()
    return assistant


def a_run(foreign: Assistant, mailbox: Mailbox, far: FarSide, *calls: tuple[str, str], lives: int = 0) -> Run:
    """It waits for `calls`, taken through the gate. `lives`: seconds until it expires."""
    run = living.a_waiting_run(foreign, mailbox, *calls)
    expires_at = timezone.now() + timedelta(seconds=lives) if lives else None
    far.begin(run, *run.calls.order_by("position"), expires_at=expires_at)
    tasks.sync_runs()
    run.refresh_from_db()
    return run


def work() -> None:
    """Until nothing moves any more."""
    for _ in range(6):
        OutboxEntry.objects.filter(done_at=None).update(due_at=timezone.now(), leased_until=None)
        Run.objects.exclude(sync_due_at=None).update(sync_due_at=timezone.now())
        Connection.objects.update(polls_whole_at=0)
        tasks.deliver()
        tasks.receive()
        tasks.drain()
        tasks.drive()
        tasks.sync_runs()


def held() -> list[OutboundMessage]:
    return list(OutboundMessage.objects.pending().order_by("pk"))


def told(far: FarSide, run: Run) -> list[str]:
    """The statuses that the run was told, by the order of its calls."""
    outputs = far.outputs(run)
    calls = run.calls.order_by("position")
    return [json.loads(outputs[call.call_id]).get("status", "-") for call in calls if call.call_id in outputs]


def events(action: Event.Action) -> int:
    return Event.objects.filter(action=action).count()


class TestOutputs:
    def test_all_outputs_of_a_turn_go_together_after_the_last_decision(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND, INBOX, OTHER)
        first, second = held()
        actions.reject(first, by=reviewer, reason="no")
        work()
        assert far_side.journal == []
        living.approved(second, reviewer)
        work()
        assert told(far_side, run) == ["rejected", "-", "sent"]
        assert {call.settled for call in run.calls.all()} == {"submitted"}

    def test_where_partial_outputs_are_taken_none_waits_for_another(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        far_side.can = runtimes.Abilities(partial=True)
        run = a_run(foreign, mailbox, far_side, SEND, OTHER)
        first, second = held()
        actions.reject(first, by=reviewer, reason="no")
        work()
        assert told(far_side, run) == ["rejected"]
        actions.reject(second, by=reviewer, reason="no")
        work()
        assert told(far_side, run) == ["rejected", "rejected"]

    def test_where_partial_outputs_are_taken_a_read_is_answered_while_a_person_thinks(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        Connection.objects.update(protocol=Connection.Protocol.AGENTS)
        foreign.refresh_from_db()
        far_side.can = runtimes.Abilities(partial=True)
        run = a_run(foreign, mailbox, far_side, SEND, INBOX)
        work()
        assert told(far_side, run) == ["-"]
        assert held()

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("reject", {"status": "rejected", "sent": False, "reason": "Too soon."}),
            ("cancel", {"status": "cancelled", "sent": False}),
            ("expire", {"status": "expired", "sent": False}),
            ("fail", {"status": "failed", "sent": False, "error": "550 no such user"}),
            ("give_up", {"status": "failed", "sent": False, "error": "It bounced."}),
            ("give_up_silently", {"status": "failed", "sent": False, "error": "The delivery was given up."}),
            ("mark_sent", {"status": "sent", "sent": True, "to": ["a@b.example"]}),
        ],
    )
    def test_the_run_hears_the_truth_in_each_case(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide, status: str,
        expected: dict[str, object],
    ) -> None:  # fmt: skip
        run = a_run(foreign, mailbox, far_side, SEND)
        (message,) = held()
        OutboundMessage.objects.update(deadline_at=timezone.now())
        match status:
            case "reject":
                actions.reject(message, by=reviewer, reason="Too soon.")
            case "cancel":
                actions.cancel(message, by=reviewer)
            case "expire":
                assert actions.expire(message)
            case "fail":
                living.failed(message, reviewer)
            case "mark_sent":
                actions.mark_sent(living.in_doubt(message, reviewer), by=reviewer, digest=message.digest)
            case _:
                reason = "" if status.endswith("silently") else "It bounced."
                doubt = living.in_doubt(message, reviewer)
                actions.give_up(doubt, by=reviewer, digest=message.digest, reason=reason)
        work()
        (output,) = far_side.outputs(run).values()
        assert json.loads(output) | {"message_id": message.pk, **expected} == json.loads(output)

    def test_mail_for_a_call_that_the_run_does_not_have_tells_it_nothing(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, INBOX)
        work()
        context = gate.Context("", run.thread_id, run.run_id, "call_made_up")
        key = factories.a_key(foreign, mailboxes=[mailbox])
        draft = Draft(to=("a@b.example",), subject="x", markdown="x")
        actions.reject(gate.send(draft, mailbox, by=key, context=context).message, by=reviewer, reason="no")
        effects.resume_run(OutboxEntry(kind="resume_run", ref=run.pk))
        assert (told(far_side, run), far_side.started) == (["-"], [])

    def test_a_delivery_in_doubt_leaves_its_call_open(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        a_run(foreign, mailbox, far_side, SEND)
        living.in_doubt(held()[0], reviewer)
        work()
        assert far_side.journal == []


class TestDeadlines:
    def test_shortly_before_the_run_expires_an_undecided_call_is_answered_for_now(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND, lives=600)
        assert run.sync_due_at
        work()
        assert far_side.journal == []
        far_side.begin(run, *run.calls.all(), expires_at=timezone.now() + timedelta(seconds=80))
        Run.objects.update(sync_due_at=timezone.now())
        work()
        (output,) = map(json.loads, far_side.outputs(run).values())
        assert (output["status"], output["sent"]) == ("pending_approval", False)
        assert "Do not retry" in output["instruction"]
        assert held()

    def test_the_look_at_the_deadline_is_planned_and_costs_no_budget(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        Connection.objects.update(polls_whole_at=timezone.now().timestamp() + 10_000)
        run = a_run(foreign, mailbox, far_side, SEND, lives=100)
        assert run.sync_due_at
        assert run.expires_at
        assert run.sync_due_at == run.expires_at - Run.HOLD_MARGIN
        assert run.quiet_looks == 0
        later = timezone.now() + timedelta(seconds=11)
        assert polling.claim_due(later)

    def test_what_is_decided_after_a_provisional_answer_is_told_once_by_a_follow_up(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        smtp_server: RecordingServer,
    ) -> None:  # fmt: skip
        run = a_run(foreign, mailbox, far_side, SEND, lives=60)
        work()
        far_side.becomes(run, "completed")
        living.approved(held()[0], reviewer)
        work()
        work()
        assert len(smtp_server.messages) == 1
        ((thread, prompt),) = far_side.started
        assert thread == run.thread_id
        assert '"status": "sent"' in prompt
        follow_up = Run.objects.get(follows=run)
        assert (follow_up.cause, follow_up.thread_id) == ("follow_up", run.thread_id)
        assert run.calls.get().follow_up == follow_up
        assert far_side.runs[follow_up.run_id].metadata["counterseal_run"] == follow_up.pk

    @pytest.mark.parametrize(("policy", "lives"), [("hold", 60), ("", 0), ("hold_with_deadline", 0)])
    def test_a_run_that_may_wait_is_left_waiting(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide, policy: str, lives: int
    ) -> None:
        Connection.objects.update(hold_policy=policy)
        foreign.refresh_from_db()
        a_run(foreign, mailbox, far_side, SEND, lives=lives)
        work()
        assert far_side.journal == []

    def test_pending_now_answers_each_hold_at_once_and_lets_a_release_be_delivered(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide, smtp_server: RecordingServer
    ) -> None:
        Connection.objects.update(hold_policy="pending_now")
        foreign.refresh_from_db()
        mailbox.allowlist.create(pattern="friend@b.example")
        run = a_run(foreign, mailbox, far_side, SEND, (SEND[0], SEND[1].replace("a@b", "friend@b")))
        assert far_side.journal == []
        work()
        assert told(far_side, run) == ["pending_approval", "sent"]

    def test_pending_now_tells_of_a_delivery_in_doubt(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        living.in_doubt(held()[0], reviewer)
        Connection.objects.update(hold_policy="pending_now")
        Run.objects.update(sync_due_at=timezone.now())
        work()
        assert told(far_side, run) == ["delivery_unknown"]

    def test_at_the_deadline_what_is_on_its_way_or_in_doubt_is_told_as_that(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND, OTHER, lives=600)
        doubt, coming = held()
        living.in_doubt(doubt, reviewer)
        living.approved(coming, reviewer)
        far_side.begin(run, *run.calls.order_by("position"), expires_at=timezone.now())
        Run.objects.update(sync_due_at=timezone.now())
        tasks.sync_runs()
        tasks.drain()
        tasks.drive()
        outputs = [json.loads(text) for text in far_side.outputs(run).values()]
        assert [(one["status"], one["sent"]) for one in outputs] == [
            ("delivery_unknown", None),
            ("sending", None),
        ]

    def test_the_decision_wins_against_the_deadline_that_comes_with_it(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        run = a_run(foreign, mailbox, far_side, SEND, lives=600)
        actions.reject(held()[0], by=reviewer, reason="no")
        Run.objects.update(expires_at=timezone.now())
        run.refresh_from_db()
        stale = list(run.calls.all())
        monkeypatch.setattr(assistant_actions, "open_calls", lambda run: stale)
        answer_undecided(run)
        monkeypatch.undo()
        monkeypatch.setattr(runtimes, "of", lambda run: far_side)
        work()
        assert told(far_side, run) == ["rejected"]
        assert not far_side.started

    def test_pending_now_answers_also_what_returned_to_the_reviewers(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        Connection.objects.update(hold_policy="pending_now")
        Mailbox.objects.update(oversight_mode="autonomous")
        foreign.refresh_from_db()
        run = a_run(foreign, mailbox, far_side, SEND)
        actions.set_mode(
            Mailbox.objects.get(), "gated_all", by=factories.a_person("a@x.test", "administrator")
        )
        work()
        assert told(far_side, run) == ["pending_approval"]


class TestGone:
    @pytest.mark.parametrize("end", ["expired", "cancelled", "failed", "incomplete", "404"])
    def test_the_mail_follows_the_decision_and_the_thread_gets_one_follow_up(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide, end: str,
        smtp_server: RecordingServer,
    ) -> None:  # fmt: skip
        run = a_run(foreign, mailbox, far_side, SEND, OTHER)
        if end == "404":
            del far_side.runs[run.run_id]
        else:
            far_side.becomes(run, end)
        for message in held():
            living.approved(message, reviewer)
        work()
        work()
        assert len(smtp_server.messages) == 2
        assert far_side.journal == []
        ((thread, prompt),) = far_side.started
        assert (thread, prompt.count('"status": "sent"')) == (run.thread_id, 2)
        assert {call.settled for call in run.calls.all()} == {"gone"}
        assert events(Event.Action.RUN_GONE) == 1

    def test_a_decision_after_the_run_was_found_gone_is_followed_up_too(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        del far_side.runs[run.run_id]
        work()
        run.refresh_from_db()
        assert run.status == "gone"
        actions.reject(held()[0], by=reviewer, reason="no")
        reads = far_side.reads
        work()
        assert len(far_side.started) == 1
        assert run.calls.get().settled == "gone"
        assert far_side.reads <= reads + 6  # the follow-up's; nobody asks for what is gone

    def test_a_read_that_was_not_heard_is_no_news(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        """A follow-up about it might read again, and expire again, without end."""
        run = living.a_waiting_run(foreign, mailbox, INBOX)
        far_side.begin(run, *run.calls.all())
        tasks.sync_runs()
        far_side.becomes(run, "expired")
        work()
        assert run.calls.get().settled == "gone"
        assert events(Event.Action.RUN_GONE) == 1
        assert far_side.started == []

    def test_a_follow_up_tells_how_it_is_by_now_once_for_each_call(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        smtp_server: RecordingServer,
    ) -> None:  # fmt: skip
        """It failed, and before the run could hear that, a person had it sent; then the run expired."""
        run = a_run(foreign, mailbox, far_side, SEND, OTHER)
        first, second = held()
        first = living.failed(first, reviewer)
        actions.retry(first, by=reviewer, digest=first.digest)
        OutboxEntry.objects.filter(done_at=None).update(due_at=timezone.now(), leased_until=None)
        tasks.deliver()
        assert current(first).status == "sent"
        far_side.becomes(run, "expired")
        actions.reject(second, by=reviewer, reason="no")
        for _ in range(3):
            work()
            for seen in list(far_side.runs.values()):
                far_side.becomes(
                    Run(run_id=seen.run_id), "expired" if seen.run_id == run.run_id else "completed"
                )
        prompts = "".join(prompt for _, prompt in far_side.started)
        assert (prompts.count('"sent"'), prompts.count("rejected"), prompts.count("failed")) == (2 + 1, 1, 0)

    def test_a_start_that_was_refused_and_heard_all_the_same_is_no_failure(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        begin = far_side.start

        def heard_and_refused(run: Run, *, again: bool) -> runtimes.Snapshot:
            observe(run.assistant, run.driver, begin(run, again=again))
            raise runtimes.Refused("403")

        monkeypatch.setattr(far_side, "start", heard_and_refused)
        run = actions.start_run(foreign, "Do it.", mailbox, by=reviewer)
        tasks.drain()
        tasks.drive()
        run.refresh_from_db()
        assert (run.status, run.run_id) == ("queued", "run_far_1")
        assert events(Event.Action.RUN_FAILED) == 0

    def test_a_later_decision_gets_a_follow_up_of_its_own_when_the_first_has_ended(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND, OTHER)
        first, second = held()
        far_side.becomes(run, "expired")
        Run.objects.update(sync_due_at=timezone.now())
        actions.reject(first, by=reviewer, reason="no")
        work()
        actions.reject(second, by=reviewer, reason="no")
        work()
        assert len(far_side.started) == 1  # the thread is busy with it
        begun = Run.objects.get(follows=run, status="queued")
        far_side.becomes(begun, "completed")
        Run.objects.update(sync_due_at=timezone.now())
        work()
        assert [prompt.count("rejected") for _, prompt in far_side.started] == [1, 1]

    def test_a_follow_up_whose_answer_was_lost_is_not_started_twice(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        far_side.becomes(run, "expired")
        actions.reject(held()[0], by=reviewer, reason="no")
        tasks.drain()
        tasks.drive()
        with far_side.fault("lost"):
            tasks.drain()
            tasks.drive()
            work()
        work()
        assert len(far_side.started) == 1
        assert Run.objects.get(follows=run).run_id

    def test_a_follow_up_that_was_never_asked_for_needs_no_look_back(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        """While somebody else's run holds the thread, each attempt surely left nothing there."""
        run = a_run(foreign, mailbox, far_side, SEND)
        far_side.becomes(run, "expired")
        actions.reject(held()[0], by=reviewer, reason="no")
        blocker = living.a_waiting_run(foreign, mailbox)
        far_side.begin(blocker)
        Run.objects.filter(pk=blocker.pk).delete()
        far_side.runs[blocker.run_id] = far_side.runs[blocker.run_id].__class__(
            blocker.run_id, run.thread_id, "asst_1", "in_progress"
        )
        work()
        planned = Run.objects.get(follows=run)
        assert (planned.status, planned.start_tried_at) == ("starting", None)
        far_side.becomes(blocker, "completed")
        work()
        assert len(far_side.started) == 1

    def test_what_the_run_was_told_and_is_no_longer_true_is_told_anew(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        message = living.failed(held()[0], reviewer)
        work()
        assert told(far_side, run) == ["failed"]
        far_side.becomes(run, "completed")
        actions.retry(message, by=reviewer, digest=message.digest)
        work()
        assert current(message).status == "sent"
        assert [prompt.count('"status": "sent"') for _, prompt in far_side.started] == [1]

    def test_what_is_as_the_run_was_told_is_not_told_again(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        a_run(foreign, mailbox, far_side, SEND)
        message = living.failed(held()[0], reviewer)
        work()
        actions.cancel(message, by=reviewer)
        work()
        assert far_side.started == []

    def test_a_follow_up_without_a_thread_is_an_alert_and_no_loop(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        run = a_run(foreign, mailbox, far_side, SEND)
        far_side.becomes(run, "expired")
        actions.reject(held()[0], by=reviewer, reason="no")

        def gone(run: Run, *, again: bool) -> runtimes.Snapshot:
            raise runtimes.Gone("No thread found")

        monkeypatch.setattr(far_side, "start", gone)
        work()
        run.refresh_from_db()
        assert "could not be told" in run.alert
        assert Run.objects.get(follows=run).status == "failed"
        assert not OutboxEntry.objects.filter(done_at=None).exists()


class TestReconciliation:
    def test_a_lost_reply_is_settled_by_what_the_far_side_shows(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        actions.reject(held()[0], by=reviewer, reason="no")
        with far_side.fault("lost"):
            tasks.drain()
            tasks.drive()
        assert run.calls.get().settled == ""
        work()
        assert len(far_side.journal) == 1
        assert run.calls.get().settled == "confirmed"
        assert events(Event.Action.RUN_RECONCILED) == 1

    def test_where_nothing_is_shown_a_run_that_went_on_after_our_try_is_taken_as_told(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        far_side.shows_outputs = False
        run = a_run(foreign, mailbox, far_side, SEND)
        actions.reject(held()[0], by=reviewer, reason="no")
        with far_side.fault("lost"):
            tasks.drain()
            tasks.drive()
        work()
        assert len(far_side.journal) == 1
        assert run.calls.get().settled == "unverified"

    def test_what_was_not_received_is_handed_over_again(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        actions.reject(held()[0], by=reviewer, reason="no")
        with far_side.fault("down"):
            tasks.drain()
            tasks.drive()
        work()
        assert told(far_side, run) == ["rejected"]
        assert run.calls.get().settled == "submitted"

    @pytest.mark.parametrize("shows", [True, False])
    def test_what_somebody_else_answered_is_an_alert_and_never_overwritten(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide, shows: bool
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        call = run.calls.get()
        far_side.journal.append((run.run_id, call.call_id, '{"status": "made up"}'))
        far_side.shows_outputs = shows
        far_side.becomes(run, "completed")
        actions.reject(held()[0], by=reviewer, reason="no")
        work()
        assert len(far_side.journal) == 1
        run.refresh_from_db()
        assert run.alert
        assert run.calls.get().settled == "answered_elsewhere"
        assert events(Event.Action.RUN_CONFLICT) == 1
        assert far_side.started == []

    def test_a_run_that_somebody_else_answers_is_told_nothing_more(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        far_side.becomes(run, "completed")
        message = living.failed(held()[0], reviewer)
        work()
        assert run.calls.get().settled == "answered_elsewhere"
        actions.retry(message, by=reviewer, digest=message.digest)
        work()
        assert current(message).status == "sent"
        assert far_side.started == []

    def test_an_open_call_that_we_have_not_seen_is_taken_through_the_gate_first(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        """Submitting the others without it would be refused, or lose it."""
        run = a_run(foreign, mailbox, far_side, SEND)
        seen = [SeenCall(call.call_id, *SEND) for call in run.calls.all()]
        far_side.becomes(run, "requires_action", *seen, SeenCall("call_new", *OTHER))
        actions.reject(held()[0], by=reviewer, reason="no")
        work()
        assert far_side.journal == []
        actions.reject(held()[0], by=reviewer, reason="no")
        work()
        assert told(far_side, run) == ["rejected", "rejected"]

    def test_a_refused_submit_is_a_reason_to_look_and_no_failure(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """Our own server takes outputs unasked; this time the run expired a moment before."""
        far_side.can = runtimes.Abilities(repeats=True)
        run = a_run(foreign, mailbox, far_side, SEND)
        actions.reject(held()[0], by=reviewer, reason="no")
        far_side.becomes(run, "expired")
        work()
        assert run.calls.get().settled == "gone"
        assert len(far_side.started) == 1

    def test_a_call_that_somebody_else_answered_holds_up_no_other(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        far_side.journal.append((run.run_id, run.calls.get().call_id, '"theirs"'))
        far_side.becomes(run, "requires_action", SeenCall("call_new", *OTHER))
        work()
        run.refresh_from_db()
        assert run.alert.startswith("Somebody else")
        actions.reject(held()[1], by=reviewer, reason="no")
        work()
        assert json.loads(far_side.outputs(run)["call_new"])["status"] == "rejected"
        run.refresh_from_db()
        assert run.alert.startswith("Somebody else")  # the next success does not take it away
        actions.reject(held()[0], by=reviewer, reason="no")
        work()
        assert len(far_side.journal) == 2

    @pytest.mark.parametrize("fault", ["refused", "down"])
    def test_a_resume_that_fails_stays_visible_and_is_never_dropped(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide, fault: str
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        actions.reject(held()[0], by=reviewer, reason="no")
        with far_side.fault(fault):
            work()
        run.refresh_from_db()
        assert run.alert
        assert events(Event.Action.RUN_ALERTED) >= 1
        assert events(Event.Action.RUN_DELAYED) >= 5
        assert OutboxEntry.objects.filter(kind="resume_run", done_at=None).exists()
        actions.retry_resume(run, by=reviewer)
        work()
        run.refresh_from_db()
        assert told(far_side, run) == ["rejected"]
        assert run.alert == ""

    def test_a_run_that_may_not_be_read_any_more_is_an_alert(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        Run.objects.update(sync_due_at=timezone.now())
        with far_side.fault("refused"):
            assert tasks.sync_runs() == 1
        run.refresh_from_db()
        assert "the key was revoked" in run.alert
        assert run.sync_due_at
        work()
        run.refresh_from_db()
        assert run.alert == ""

    def test_outputs_that_are_asked_for_and_refused_are_put_before_a_person(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        def too_long(run: Run, calls: list[ToolCall]) -> None:
            raise runtimes.NotWaiting("string too long")

        run = a_run(foreign, mailbox, far_side, SEND)
        monkeypatch.setattr(far_side, "submit", too_long)
        actions.reject(held()[0], by=reviewer, reason="no")
        tasks.drain()
        tasks.drive()
        run.refresh_from_db()
        assert "string too long" in run.alert

    @pytest.mark.parametrize(
        ("ours", "shown", "expected"),
        [
            ('{"a": 1}', '{"a":1}', "confirmed"),
            ("x", "x", "confirmed"),
            ('{"a": 1}', '{"a": 2}', "answered_elsewhere"),
            ("null", "", "answered_elsewhere"),
            ("not json", "nor this", "answered_elsewhere"),
        ],
    )
    def test_outputs_are_compared_as_json_or_as_text(self, ours: str, shown: str, expected: str) -> None:
        seen = runtimes.Snapshot("r", "t", "a", "completed", outputs={"call_1": shown})
        assert judge(ToolCall(call_id="call_1", output=ours), seen, tried=True) == expected


class TestTurns:
    """A thread takes one run at a time."""

    @pytest.fixture
    def answering(self, foreign: Assistant, mailbox: Mailbox) -> Assistant:
        Mailbox.objects.update(on_inbound="run")
        foreign.mailbox_links.update(answers_inbound=True)
        mailbox.refresh_from_db()
        return foreign

    def arrives(self, mailbox: Mailbox, subject: str, answers: str = "") -> None:
        reference = f"In-Reply-To: {answers}\r\n" if answers else ""
        data = (
            f"From: c@northwind.example\r\nTo: {mailbox.address}\r\nSubject: {subject}\r\n{reference}"
            f"Message-ID: <{subject.replace(' ', '')}@northwind.example>\r\n\r\nHello\r\n"
        )
        gate.receive(mailbox, "c@northwind.example", mailbox.address, data.encode())
        tasks.receive()
        tasks.drain()
        tasks.drive()

    def end(self, far: FarSide, number: int) -> None:
        run = Run.objects.get(run_id=f"run_far_{number}")
        far.becomes(run, "completed")
        Run.objects.filter(pk=run.pk).update(sync_due_at=timezone.now())

    def test_mail_waits_for_the_thread_of_its_conversation_in_order(
        self, answering: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        self.arrives(mailbox, "first")
        for subject in ("second", "third"):
            self.arrives(mailbox, subject, "<first@northwind.example>")
        work()
        assert [thread for thread, _ in far_side.started] == ["thread_far_1"]
        self.end(far_side, 1)
        work()
        assert len(far_side.started) == 2
        self.end(far_side, 2)
        work()
        assert [thread for thread, _ in far_side.started] == ["thread_far_1"] * 3
        assert [prompt.split("\n")[0].rpartition(" ")[2] for _, prompt in far_side.started] == [
            "first",
            "second",
            "third",
        ]

    def test_an_answer_to_the_mail_of_a_run_continues_that_runs_thread(
        self, answering: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(answering, mailbox, far_side, SEND)
        (message,) = held()
        living.approved(message, reviewer)
        work()
        far_side.becomes(run, "completed")
        Run.objects.update(sync_due_at=timezone.now())
        work()
        self.arrives(mailbox, "answer", message.email.message_id)
        work()
        assert [thread for thread, _ in far_side.started] == [run.thread_id]

    def test_other_conversations_have_threads_of_their_own(
        self, answering: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        self.arrives(mailbox, "one")
        self.arrives(mailbox, "two")
        work()
        assert [thread for thread, _ in far_side.started] == ["thread_far_1", "thread_far_2"]

    def test_a_start_that_failed_for_good_lets_the_next_one_begin(
        self, answering: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        with far_side.fault("refused"):
            self.arrives(mailbox, "first")
            work()
        self.arrives(mailbox, "second", "<first@northwind.example>")
        work()
        assert Run.objects.filter(status="failed").count() == 1
        assert len(far_side.started) == 1

    def test_a_key_that_is_being_changed_loses_no_run(
        self, answering: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        with far_side.fault("unauthorized"):
            self.arrives(mailbox, "first")
            work()
        planned = Run.objects.get()
        assert (planned.status, planned.alert) == (
            "starting",
            "It cannot be started: 401 the key was revoked",
        )
        work()
        planned.refresh_from_db()
        assert (planned.status, planned.alert) == ("queued", "")

    def test_two_conversations_of_one_thread_keep_their_order_and_are_woken(
        self, answering: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(answering, mailbox, far_side, INBOX)
        plans: list[Run] = []
        for subject in ("one", "two"):
            conversation = Conversation.objects.create(mailbox=mailbox, subject=subject)
            keep_thread(conversation, run)
            about = {"prompt": subject, "conversation_id": conversation.pk}
            plans.append(assistant_actions.plan_run(answering, cause=Run.Cause.INBOUND, **about))
            with transaction.atomic():
                outbox.enqueue(OutboxEntry.Kind.START_RUN, plans[-1].pk)
        tasks.drain()
        tasks.drive()
        starts = OutboxEntry.objects.filter(kind="start_run", done_at=None)
        starts.update(due_at=timezone.now() + timedelta(minutes=1))
        far_side.becomes(run, "completed")
        Run.objects.filter(pk=run.pk).update(sync_due_at=timezone.now())
        tasks.sync_runs()
        assert [entry.ref for entry in starts.filter(due_at__lte=timezone.now())] == [plans[0].pk]
        starts.filter(ref=plans[1].pk).update(due_at=timezone.now())
        work()
        assert far_side.started == [(run.thread_id, "one")]

    def test_a_thread_that_is_gone_is_begun_anew(
        self, answering: Assistant, mailbox: Mailbox, far_side: FarSide, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.arrives(mailbox, "first")
        work()
        self.end(far_side, 1)
        work()
        start = far_side.start

        def gone(run: Run, *, again: bool) -> runtimes.Snapshot:
            if run.thread_id:
                raise runtimes.Gone("No thread found")
            return start(run, again=again)

        monkeypatch.setattr(far_side, "start", gone)
        self.arrives(mailbox, "second", "<first@northwind.example>")
        work()
        assert [thread for thread, _ in far_side.started] == ["thread_far_1", "thread_far_2"]
        monkeypatch.undo()
        monkeypatch.setattr(runtimes, "of", lambda run: far_side)
        self.end(far_side, 2)
        work()
        self.arrives(mailbox, "third", "<first@northwind.example>")
        work()
        assert far_side.started[-1][0] == "thread_far_2"


class TestPolling:
    def test_a_thousand_waiting_runs_cost_a_bounded_number_of_polls(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        """Ten minutes of a clock that a test moves: at most 60 reads a minute, and a burst of ten."""
        now = timezone.now()
        Run.objects.bulk_create(
            Run(
                assistant=foreign, connection=foreign.connection, driver="counterseal", run_id=f"run_{n}",
                thread_id=f"t{n}", status="requires_action", sync_due_at=now, quiet_looks=5,
            )
            for n in range(1000)
        )  # fmt: skip
        polls = 0
        for second in range(0, 600, 5):  # as the sweep does
            at = now + timedelta(seconds=second)
            while run := polling.claim_due(at):
                polls += 1
                Run.objects.filter(pk=run.pk).update(sync_due_at=at + polling.LONGEST_PAUSE)
        assert 590 <= polls <= 610 + polling.BURST

    def test_while_the_budget_is_spent_news_is_looked_at_and_polls_are_not(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        Connection.objects.update(polls_whole_at=timezone.now().timestamp() + 10_000)
        Run.objects.update(sync_due_at=timezone.now(), quiet_looks=3)
        assert tasks.sync_runs() == 0
        polling.ask_again(run)
        assert tasks.sync_runs() == 1

    def test_a_run_of_which_nothing_is_new_is_asked_ever_more_seldom(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, INBOX)
        work()
        far_side.becomes(run, "in_progress")
        pauses = []
        for _ in range(12):
            Connection.objects.update(polls_whole_at=0)
            Run.objects.update(sync_due_at=timezone.now())
            tasks.sync_runs()
            run.refresh_from_db()
            assert run.sync_due_at
            pauses.append(round((run.sync_due_at - timezone.now()).total_seconds()))
        assert pauses[0] <= 2
        assert pauses == sorted(pauses)
        assert pauses[-1] == 600

    def test_a_run_of_our_own_server_is_never_polled(self, assistant: Assistant, mailbox: Mailbox) -> None:
        assistant.connection = factories.a_connection([])
        run = living.a_waiting_run(assistant, mailbox, SEND)
        polling.synced(polling.claim_due(timezone.now()) or run)
        run.refresh_from_db()
        assert run.sync_due_at is None


class TestByHand:
    def test_what_cannot_be_done_is_refused_with_a_sentence(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        for text in ("", "  ", "x" * 10_001, "a\0b"):
            with pytest.raises(Invalid, match="Say what the run is to be told"):
                actions.send_follow_up(run, text, by=reviewer)
        with pytest.raises(Conflict, match="no thread"):
            actions.send_follow_up(actions.start_run(foreign, "x", mailbox, by=reviewer), "x", by=reviewer)
        callers = living.a_waiting_run(foreign, mailbox, SEND, driver="caller")
        for act in (actions.retry_resume, partial(actions.send_follow_up, text="x")):
            with pytest.raises(Conflict, match="adopt it first"):
                act(callers, by=reviewer)
        auditor = factories.a_person("au@acme.test", "auditor")
        elsewhere = factories.a_person("e@acme.test", "reviewer", mailboxes=[factories.a_mailbox()])
        Run.objects.update(mailbox_id=mailbox.pk)
        foreign.mailbox_links.create(mailbox=Mailbox.objects.exclude(pk=mailbox.pk).get())
        for person in (auditor, elsewhere):
            with pytest.raises(NotPermitted):
                actions.retry_resume(run, by=person)

    def test_an_alert_is_noted_when_it_is_new(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        for why in ("no answer", "no answer", "401"):
            raise_alert(run, why)
            run.refresh_from_db()
        assert events(Event.Action.RUN_ALERTED) == 2

    def test_a_person_tells_a_run_more_in_its_thread(
        self, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        planned = actions.send_follow_up(run, "  The customer called.  ", by=reviewer)
        work()
        planned.refresh_from_db()
        assert planned.status == "starting"  # the thread is busy
        actions.reject(held()[0], by=reviewer, reason="no")
        work()
        far_side.becomes(run, "completed")
        Run.objects.update(sync_due_at=timezone.now())
        work()
        assert far_side.started == [(run.thread_id, "The customer called.")]


def test_a_far_side_that_names_a_pause_is_left_alone_for_so_long(
    foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(run: Run, calls: list[ToolCall]) -> None:
        raise runtimes.Unreachable("429 slow down", after=90)

    a_run(foreign, mailbox, far_side, SEND)
    monkeypatch.setattr(far_side, "submit", busy)
    actions.reject(held()[0], by=reviewer, reason="no")
    tasks.drain()
    tasks.drive()
    due_at = OutboxEntry.objects.get(kind="resume_run", done_at=None).due_at
    assert timedelta(seconds=80) < due_at - timezone.now() <= timedelta(seconds=90)
