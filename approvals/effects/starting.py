"""Runs that we start: by a person's word, for inbound mail, and to tell what another could not be told.

A thread takes one run at a time, so each plan waits for its turn, oldest first.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from approvals import outbox, webhooks
from approvals.actions.announcing import announce_run
from approvals.actions.inbound_runs import forget_thread, keep_thread, thread_of
from approvals.actions.runs import raise_alert
from approvals.actions.telling import BY, about_run
from approvals.models import OutboxEntry
from approvals.outbox import TryAgain
from assistants import actions as assistant_actions
from assistants import runtimes
from assistants.models import Run
from audit import log
from audit.log import Entry
from audit.models import Event

GIVE_UP_AFTER = timedelta(hours=24)
# whoever is ahead promises the next one's start at its end; this is in case that was not seen
TURN_PAUSE = timedelta(minutes=1)
LONGEST_TURN_PAUSE = timedelta(minutes=10)


def start_run(promise: OutboxEntry) -> None:
    """`ref` is a planned run."""
    run = Run.objects.select_related("assistant", "connection", "follows").get(pk=promise.ref)
    if run.run_id or run.has_ended:
        return
    _wait_for_turn(run)
    try:
        _start(run)
    except runtimes.Unauthorized as error:
        raise_alert(run, f"It cannot be started: {error}")
        raise TryAgain(str(error)) from error
    except runtimes.Refused as error:
        _not_started(run, str(error))
    except runtimes.Locked as error:
        # by somebody else's run, which may wait for a person for days
        pause = min(outbox.backoff(promise.attempts), LONGEST_TURN_PAUSE)
        raise TryAgain(str(error), max(pause, TURN_PAUSE)) from error
    except (runtimes.Unreachable, runtimes.NotWaiting, runtimes.Gone) as error:
        if run.thread_id and isinstance(error, runtimes.Gone):
            return _thread_is_gone(run, str(error))
        # since it was first asked for, and not since it was planned: its turn may have come late
        if run.start_tried_at and timezone.now() - run.start_tried_at > GIVE_UP_AFTER:
            return _not_started(run, f"Tried for a day: {error}")
        raise TryAgain(str(error), getattr(error, "pause", None)) from error


def _wait_for_turn(run: Run) -> None:
    thread_id = thread_of(run)
    # first, so that whoever else waits for the thread sees this one before or behind it
    Run.objects.filter(pk=run.pk, run_id="").update(thread_id=thread_id)
    ahead = assistant_actions.ahead_of(run, thread_id)
    if ahead:
        raise TryAgain(f"Its thread is busy with {ahead}.", TURN_PAUSE)


def _start(run: Run) -> None:
    started = assistant_actions.start(run)
    if started.pk != run.pk:
        # what it had begun is another row's by now: somebody adopted it
        return _not_started(run, "The run that it began was adopted meanwhile.")
    if started.alert:
        assistant_actions.alert(started, "")
    with transaction.atomic():
        keep_thread(started.conversation_id, started)


def _thread_is_gone(run: Run, why: str) -> None:
    if run.cause == Run.Cause.FOLLOW_UP:
        return _not_started(run, f"Its thread is gone: {why}")
    forget_thread(run)
    Run.objects.filter(pk=run.pk, run_id="").update(thread_id="")
    raise TryAgain("Its thread is gone; it begins a new one.", timedelta(0))


def _not_started(run: Run, why: str) -> None:
    with transaction.atomic():
        if not assistant_actions.fail_start(run, why):
            return
        if run.follows:
            assistant_actions.alert(run.follows, f"It could not be told more: {why}")
        _promise_next(run)
        announce_run(webhooks.RUN_FAILED, run)
        log.record(Entry(Event.Action.RUN_FAILED, about_run(run), {"error": why}), by=BY)


def promise_next(run: Run) -> None:
    """`run` has ended: whatever waits for its thread may begin."""
    with transaction.atomic():
        _promise_next(run)


def _promise_next(run: Run) -> None:
    planned = assistant_actions.next_in_line(run)
    if planned:
        outbox.enqueue(OutboxEntry.Kind.START_RUN, planned.pk)
