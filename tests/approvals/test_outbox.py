"""Promises survive: they are written with their cause, leased, fenced, and asked for again."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from approvals import outbox
from approvals.models import OutboxEntry
from audit import nudge

Kind = OutboxEntry.Kind
pytestmark = [pytest.mark.django_db, pytest.mark.database]


def promise(ref: str = "em_1", **fields: object) -> OutboxEntry:
    with transaction.atomic():
        outbox.enqueue(Kind.RESUME_RUN, ref)
    OutboxEntry.objects.filter(ref=ref, done_at=None).update(**fields)
    return OutboxEntry.objects.get(ref=ref, done_at=None)


@pytest.mark.django_db(transaction=True)
def test_a_promise_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="transaction of its cause"):
        outbox.enqueue(Kind.RESUME_RUN, "em_1")


def test_the_same_promise_twice_is_one_entry() -> None:
    promise()
    promise()
    assert OutboxEntry.objects.count() == 1


def test_work_is_done_once_and_counted() -> None:
    promise("a")
    promise("b")
    seen: list[str] = []
    assert outbox.drain({Kind.RESUME_RUN: lambda entry: seen.append(entry.ref)}) == 2
    assert sorted(seen) == ["a", "b"]
    assert outbox.drain({Kind.RESUME_RUN: lambda entry: seen.append(entry.ref)}) == 0
    assert not OutboxEntry.objects.filter(done_at=None).exists()


def test_only_the_asked_kinds_are_drained() -> None:
    promise()
    assert outbox.drain({Kind.START_RUN: lambda entry: None}) == 0


def test_what_is_not_due_waits() -> None:
    promise(due_at=timezone.now() + timedelta(minutes=1))
    assert outbox.claim([Kind.RESUME_RUN]) is None


def test_a_leased_entry_is_nobody_elses_until_the_lease_ends() -> None:
    promise()
    first = outbox.claim([Kind.RESUME_RUN])
    assert first is not None
    assert outbox.claim([Kind.RESUME_RUN]) is None
    OutboxEntry.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    second = outbox.claim([Kind.RESUME_RUN])
    assert second is not None
    assert second.attempts == first.attempts + 1
    assert not OutboxEntry.objects.filter(outbox.held(first)).exists()
    assert OutboxEntry.objects.filter(outbox.held(second)).exists()


def test_two_who_look_at_once_do_not_both_claim() -> None:
    entry = promise()
    OutboxEntry.objects.filter(pk=entry.pk).update(attempts=5)
    claimed = outbox.claim([Kind.RESUME_RUN])
    assert claimed is not None
    assert claimed.attempts == 6


def test_a_failure_is_put_back_with_a_growing_delay() -> None:
    promise()

    def fail(entry: OutboxEntry) -> None:
        raise outbox.TryAgain("busy")

    assert outbox.drain({Kind.RESUME_RUN: fail}) == 1
    entry = OutboxEntry.objects.get()
    assert entry.done_at is None
    assert entry.leased_until is None
    assert entry.last_error == "busy"
    assert entry.due_at > timezone.now()
    assert outbox.backoff(1) < outbox.backoff(2) < outbox.backoff(5)
    assert outbox.backoff(60) == outbox.LONGEST_WAIT


def test_a_crash_of_the_handler_is_kept_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    promise()

    def crash(entry: OutboxEntry) -> None:
        raise ZeroDivisionError("boom")

    outbox.drain({Kind.RESUME_RUN: crash})
    entry = OutboxEntry.objects.get()
    assert entry.last_error == "ZeroDivisionError: boom"
    assert entry.done_at is None


def test_a_delay_can_be_named() -> None:
    promise()

    def later(entry: OutboxEntry) -> None:
        raise outbox.TryAgain("in a day", timedelta(days=1))

    outbox.drain({Kind.RESUME_RUN: later})
    assert OutboxEntry.objects.get().due_at > timezone.now() + timedelta(hours=23)


def test_what_is_asked_for_again_while_it_is_worked_on_runs_again() -> None:
    promise()
    runs: list[int] = []

    def ask_again_once(entry: OutboxEntry) -> None:
        runs.append(entry.attempts)
        if len(runs) == 1:
            promise()

    outbox.drain({Kind.RESUME_RUN: ask_again_once})
    assert len(runs) == 2
    assert not OutboxEntry.objects.filter(done_at=None).exists()


def test_a_handler_may_end_its_promise_with_the_outcome() -> None:
    promise()

    def end(entry: OutboxEntry) -> None:
        with transaction.atomic():
            assert outbox.finish(entry)

    assert outbox.drain({Kind.RESUME_RUN: end}) == 1
    assert OutboxEntry.objects.get().done_at is not None


def test_a_promise_ends_with_the_outcome_or_not_at_all() -> None:
    promise()

    def fail(entry: OutboxEntry) -> None:
        with transaction.atomic():
            assert outbox.finish(entry)
            raise outbox.TryAgain("the outcome was not kept", timedelta(days=1))

    outbox.drain({Kind.RESUME_RUN: fail})
    assert OutboxEntry.objects.get().done_at is None


def test_what_is_asked_for_again_before_its_outcome_runs_again() -> None:
    promise()
    runs: list[bool] = []

    def end(entry: OutboxEntry) -> None:
        if not runs:
            promise()
        runs.append(outbox.finish(entry))

    outbox.drain({Kind.RESUME_RUN: end})
    assert runs == [False, True]


def test_what_is_asked_for_again_while_it_fails_is_not_put_off() -> None:
    promise()
    runs: list[int] = []

    def fail_once(entry: OutboxEntry) -> None:
        runs.append(entry.attempts)
        if len(runs) == 1:
            promise()
            raise outbox.TryAgain("busy", timedelta(days=1))

    outbox.drain({Kind.RESUME_RUN: fail_once})
    assert len(runs) == 2


def test_a_worker_that_lost_its_lease_ends_nothing() -> None:
    promise()

    def lose(entry: OutboxEntry) -> None:
        OutboxEntry.objects.filter(pk=entry.pk).update(attempts=entry.attempts + 1)

    outbox.drain({Kind.RESUME_RUN: lose})
    assert OutboxEntry.objects.get().done_at is None


def test_withdrawn_is_done() -> None:
    promise()
    outbox.withdraw(Kind.RESUME_RUN, "em_1")
    assert outbox.claim([Kind.RESUME_RUN]) is None


def test_a_new_worker_frees_what_its_predecessor_of_the_same_name_held(settings: object) -> None:
    settings.WORKER_NAME = "up on this machine"  # type: ignore[attr-defined]
    promise()
    assert outbox.claim([Kind.RESUME_RUN])
    settings.WORKER_NAME = "another"  # type: ignore[attr-defined]
    assert outbox.free_leases() == 0
    settings.WORKER_NAME = "up on this machine"  # type: ignore[attr-defined]
    assert outbox.free_leases() == 1
    assert outbox.claim([Kind.RESUME_RUN])


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_renewed_while_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RENEW_EVERY", 0.01)
    promise()
    renewed: list[bool] = []

    def work(entry: OutboxEntry) -> None:
        first = OutboxEntry.objects.get(pk=entry.pk).leased_until
        end = timezone.now() + timedelta(seconds=20)
        while timezone.now() < end:
            if OutboxEntry.objects.get(pk=entry.pk).leased_until != first:
                renewed.append(True)
                return

    outbox.drain({Kind.RESUME_RUN: work})
    assert renewed


@pytest.mark.django_db(transaction=True)
def test_what_was_given_back_is_not_leased_again_by_the_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RENEW_EVERY", 0.01)
    promise()

    def work(entry: OutboxEntry) -> None:
        OutboxEntry.objects.update(leased_until=None)
        threading.Event().wait(0.1)
        assert OutboxEntry.objects.get(pk=entry.pk).leased_until is None

    outbox.drain({Kind.RESUME_RUN: work})
    assert OutboxEntry.objects.get().last_error == ""


@pytest.mark.django_db(transaction=True)
def test_many_who_promise_the_same_at_once_make_one_entry() -> None:
    ready = threading.Barrier(8)

    def ask() -> None:
        ready.wait()
        promise()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OutboxEntry.objects.count() == 1


def test_a_promise_whose_former_one_is_done_is_a_new_one() -> None:
    promise()
    outbox.drain({Kind.RESUME_RUN: lambda entry: None})
    promise()
    assert OutboxEntry.objects.filter(done_at=None).count() == 1
    assert OutboxEntry.objects.count() == 2


@pytest.fixture
def heard_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of this process waits for what may be handed over."""
    monkeypatch.setattr(nudge, "is_heard_here", lambda task: True)
    monkeypatch.setattr(outbox, "_handed", defaultdict(deque))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("heard_here")
def test_what_a_worker_here_is_promised_is_leased_with_its_cause() -> None:
    promise()
    entry = OutboxEntry.objects.get()
    assert (entry.attempts, entry.leased_by) == (1, outbox.worker_name())
    assert outbox.claim([Kind.RESUME_RUN]) is None
    seen: list[int] = []
    assert outbox.drain({Kind.RESUME_RUN: lambda entry: seen.append(entry.attempts)}) == 1
    assert seen == [1]
    assert OutboxEntry.objects.get().done_at is not None


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("heard_here")
def test_what_was_handed_over_and_rolled_back_is_nobodys() -> None:
    with transaction.atomic():
        outbox.enqueue(Kind.RESUME_RUN, "em_1")
        transaction.set_rollback(True)
    assert outbox.drain({Kind.RESUME_RUN: lambda entry: None}) == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("heard_here")
def test_an_open_promise_that_is_asked_for_again_is_not_handed_to_a_second_worker() -> None:
    promise()
    promise()
    assert outbox.drain({Kind.RESUME_RUN: lambda entry: None}) == 2  # once as handed, once as asked again
    assert OutboxEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("heard_here")
def test_what_waited_too_long_in_the_line_is_claimed_anew_when_its_lease_has_ended() -> None:
    promise()
    handed = outbox._handed["approvals.tasks.drive"][0]
    handed.leased_until = timezone.now() + outbox.LEASE / 3
    assert outbox.drain({Kind.RESUME_RUN: lambda entry: None}) == 0
    OutboxEntry.objects.update(leased_until=timezone.now())
    seen: list[int] = []
    assert outbox.drain({Kind.RESUME_RUN: lambda entry: seen.append(entry.attempts)}) == 1
    assert seen == [2]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("heard_here")
def test_only_what_is_due_and_of_the_kinds_that_a_decision_waits_for_is_handed_over() -> None:
    later = timezone.now() + timedelta(hours=1)
    with transaction.atomic():
        outbox.enqueue(Kind.POST_WEBHOOK, "a")
        outbox.enqueue(Kind.DELIVER_EMAIL, "b", due_at=later)
        for number in range(outbox.MOST_HANDED + 3):
            outbox.enqueue(Kind.RESUME_RUN, str(number))
    leased = OutboxEntry.objects.exclude(leased_until=None)
    assert set(leased.values_list("kind", flat=True)) == {Kind.RESUME_RUN}
    assert outbox.claim([Kind.POST_WEBHOOK]) is not None


def test_who_loses_a_claim_looks_at_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = promise("a"), promise("b")
    stale = list(OutboxEntry.objects.order_by("due_at"))
    OutboxEntry.objects.filter(pk=first.pk).update(attempts=7)
    monkeypatch.setattr(outbox, "_due", lambda *_: stale)
    claimed = outbox.claim([Kind.RESUME_RUN])
    assert claimed is not None
    assert claimed.pk == second.pk


@pytest.mark.django_db(transaction=True)
def test_a_renewal_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "RENEW_EVERY", 0.01)
    promise()
    failed: list[bool] = []
    held = outbox.held

    def failing_once(entry: OutboxEntry) -> Any:
        if threading.current_thread().name == "lease-renewer" and not failed:
            failed.append(True)
            raise OSError("disk")
        return held(entry)

    def work(entry: OutboxEntry) -> None:
        first = OutboxEntry.objects.get(pk=entry.pk).leased_until
        monkeypatch.setattr(outbox, "held", failing_once)
        end = timezone.now() + timedelta(seconds=20)
        while OutboxEntry.objects.get(pk=entry.pk).leased_until == first and timezone.now() < end:
            pass

    outbox.drain({Kind.RESUME_RUN: work})
    assert failed
    assert "leases were not renewed" in caplog.text
