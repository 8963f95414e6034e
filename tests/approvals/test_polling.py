"""When a run is read again: under a lease that outlasts the read, and never more often than it may be."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from approvals import actions, sweep, tasks
from approvals.actions.transitions import current
from approvals.models import OutboundMessage, User
from assistants import polling, runtimes
from assistants.models import ApiKey, Assistant, Connection, Run
from assistants.observe import SeenCall
from mailboxes.models import Email, Mailbox
from tests import factories
from tests.approvals import living
from tests.approvals.far_side import FarSide

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SEND = ("send_email", '{"to": "a@b.example", "subject": "One", "body": "b"}')
INBOX = ("check_inbox", "{}")
HOUR = timedelta(hours=1)


@pytest.fixture
def foreign(assistant: Assistant) -> Assistant:
    """Its runs live on somebody else's server."""
    assistant.connection = factories.a_connection(
        protocol=Connection.Protocol.ASSISTANTS, base_url="http://runs.example/v1"
    )
    assistant.save()
    return assistant


def claimed(now: datetime) -> Run:
    run = polling.claim_due(now)
    assert run
    return run


class TestLease:
    @pytest.mark.parametrize(("timeout", "seconds"), [(None, 30), (600, 600), (1, 1)])
    def test_it_outlasts_a_read_of_three_requests(
        self, foreign: Assistant, mailbox: Mailbox, timeout: float | None, seconds: int
    ) -> None:
        Connection.objects.update(timeout=timeout)
        living.a_waiting_run(foreign, mailbox, INBOX)
        now = timezone.now()
        claimed(now)
        assert polling.claim_due(now + timedelta(seconds=3 * seconds)) is None
        assert polling.claim_due(now + timedelta(seconds=3 * seconds + 60))

    def test_how_patient_we_are_with_a_model_is_not_how_long_our_own_server_takes(
        self, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        assistant.connection = factories.a_connection([])
        assistant.connection.timeout = 600
        assistant.connection.save()
        assistant.save()
        living.a_waiting_run(assistant, mailbox, INBOX)
        now = timezone.now()
        claimed(now)
        assert polling.claim_due(now + timedelta(minutes=3))

    def test_a_read_that_outlasts_it_counts_all_the_same(self, foreign: Assistant, mailbox: Mailbox) -> None:
        living.a_waiting_run(foreign, mailbox, INBOX)
        Run.objects.update(sync_due_at=timezone.now() - 2 * HOUR)
        run = claimed(timezone.now() - HOUR)
        polling.put_off(run, "did not answer in time")
        run.refresh_from_db()
        assert run.sync_failures == 1
        assert run.sync_due_at
        assert run.sync_due_at > timezone.now()
        Run.objects.update(sync_due_at=timezone.now() - 2 * HOUR)
        run = claimed(timezone.now() - HOUR)
        polling.synced(run)
        run.refresh_from_db()
        assert run.sync_failures == 0
        assert run.sync_due_at
        assert run.sync_due_at > timezone.now()

    def test_whoever_was_overtaken_changes_nothing(self, foreign: Assistant, mailbox: Mailbox) -> None:
        living.a_waiting_run(foreign, mailbox, INBOX)
        first = claimed(timezone.now())
        polling.ask_again(first)
        second = claimed(timezone.now())
        polling.put_off(first, "late")
        polling.synced(first)
        first.refresh_from_db()
        assert first.sync_due_at == second.sync_due_at
        assert (first.sync_failures, first.last_error) == (0, "")

    def test_news_that_came_during_a_read_is_looked_at(self, foreign: Assistant, mailbox: Mailbox) -> None:
        living.a_waiting_run(foreign, mailbox, INBOX)
        for end in (polling.synced, lambda run: polling.put_off(run, "down", pause=HOUR)):
            run = claimed(timezone.now())
            polling.ask_again(run)
            end(run)
            assert Run.objects.due(timezone.now()).get() == run


def test_what_a_read_found_is_no_reason_to_read_again(
    foreign: Assistant, mailbox: Mailbox, far_side: FarSide
) -> None:
    run = living.a_waiting_run(foreign, mailbox, SEND)
    far_side.begin(run, *run.calls.all())
    tasks.sync_runs()
    far_side.becomes(run, "requires_action", SeenCall("call_new", *SEND))
    polling.ask_again(run)
    before = far_side.reads
    tasks.sync_runs()
    assert run.calls.filter(call_id="call_new").exists()
    assert far_side.reads == before + 1


class TestFailing:
    def test_reads_that_fail_come_out_of_the_budget(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        for _ in range(30):
            run = living.a_waiting_run(foreign, mailbox, INBOX)
            far_side.begin(run, *run.calls.all())
        Connection.objects.update(polls_per_minute=1)
        with far_side.fault("down"):
            for _ in range(5):
                Run.objects.exclude(sync_due_at=None).update(sync_due_at=timezone.now())
                tasks.sync_runs()
        # each once, because there was a reason, and then a burst of polls
        assert 30 <= far_side.reads <= 31 + polling.BURST

    def test_a_far_side_that_says_when_is_not_asked_before(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(run: Run) -> runtimes.Snapshot:
            raise runtimes.Unreachable("429 too many requests", after=1800)

        run = living.a_waiting_run(foreign, mailbox, INBOX)
        monkeypatch.setattr(far_side, "read", busy)
        before = timezone.now()
        tasks.sync_runs()
        run.refresh_from_db()
        assert run.sync_due_at
        assert run.sync_due_at >= before + timedelta(minutes=30)

    def test_failures_do_not_put_it_off_past_its_deadline(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = living.a_waiting_run(foreign, mailbox, INBOX)
        until = timezone.now() + timedelta(minutes=2)
        Run.objects.update(expires_at=until + Run.HOLD_MARGIN, sync_failures=20)
        with far_side.fault("down"):
            tasks.sync_runs()
        run.refresh_from_db()
        assert run.sync_due_at == until

    def test_an_alert_that_cannot_be_raised_keeps_no_other_run_waiting(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(run: Run, why: str) -> None:
            raise RuntimeError("no alerts today")

        for _ in range(2):
            living.a_waiting_run(foreign, mailbox, INBOX)
        monkeypatch.setattr(sweep, "raise_alert", broken)
        with far_side.fault("refused"):
            assert tasks.sync_runs() == 2


class TestDeadline:
    @pytest.fixture
    def run(self, assistant: Assistant, mailbox: Mailbox, far_side: FarSide) -> Run:
        """On our own server, which is never polled; it waits for a person."""
        assistant.connection = factories.a_connection([])
        assistant.save()
        run = living.a_waiting_run(assistant, mailbox, SEND)
        far_side.begin(run, *run.calls.all())
        tasks.sync_runs()
        return run

    def test_one_that_passes_while_the_calls_are_gone_through_is_kept(
        self, run: Run, far_side: FarSide
    ) -> None:
        """Seen two seconds ago, a second before its deadline; nobody will say anything of it any more."""
        now = timezone.now()
        expires_at = now - timedelta(seconds=1) + Run.HOLD_MARGIN
        polling.ask_again(run)
        Run.objects.update(updated_at=now - timedelta(seconds=2), expires_at=expires_at)
        far_side.begin(run, *run.calls.all(), expires_at=expires_at)
        polling.synced(claimed(timezone.now()))
        tasks.sync_runs()
        assert run.calls.get().is_provisional

    def test_what_cannot_be_answered_for_now_is_looked_at_now_and_then(
        self, run: Run, far_side: FarSide, reviewer: User
    ) -> None:
        """Approved mail on its way: where every hold is answered at once, its outcome is a moment away."""
        Connection.objects.update(hold_policy="pending_now")
        living.approved(OutboundMessage.objects.get(), reviewer)
        polling.ask_again(run)
        before = timezone.now()
        assert tasks.sync_runs() <= 2
        run.refresh_from_db()
        assert run.calls.get().output is None
        assert run.sync_due_at
        assert run.sync_due_at >= before + polling.WAITING_PAUSE

    def test_a_run_that_its_caller_drives_has_none(self, assistant: Assistant, mailbox: Mailbox) -> None:
        run = living.a_waiting_run(assistant, mailbox, SEND, driver="caller")
        Run.objects.update(expires_at=timezone.now() + HOUR)
        tasks.sync_runs()
        run.refresh_from_db()
        assert run.sync_due_at is None


def test_what_cannot_expire_keeps_nothing_else_from_it(
    api_key: ApiKey, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (living.a_held_message(api_key, mailbox) for _ in range(2))
    Mailbox.objects.update(oversight_mode="gated_all")
    letters = [living.an_inbound(mailbox) for _ in range(2)]
    OutboundMessage.objects.update(deadline_at=timezone.now())
    Email.objects.update(deadline_at=timezone.now())
    expire, expire_inbound = actions.expire, actions.expire_inbound

    def all_but_one(message: OutboundMessage) -> bool:
        if message == first:
            raise RuntimeError("odd")
        return expire(message)

    def all_letters_but_one(email: Email) -> bool:
        if email == letters[0]:
            raise RuntimeError("odd")
        return expire_inbound(email)

    monkeypatch.setattr(actions, "expire", all_but_one)
    monkeypatch.setattr(actions, "expire_inbound", all_letters_but_one)
    assert sweep.sweep() == 2
    assert (current(first).status, current(second).status) == ("pending", "expired")
