"""The outputs of a run's calls on their way to whoever serves it: handed over, or reconciled.

Level-triggered, and safe to repeat: while we don't know that an output was heard, what the far side
shows is read first, and judged (assistants/reconcile.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from approvals import webhooks
from approvals.actions.announcing import announce_run
from approvals.actions.runs import raise_alert
from approvals.actions.telling import BY, about_run, follow_up_gone
from approvals.models import OutboxEntry
from approvals.outbox import TryAgain
from assistants import actions as assistant_actions
from assistants import polling, runtimes
from assistants.models import Run, ToolCall
from assistants.observe import CONFLICT
from assistants.reconcile import judge
from audit import log
from audit.log import Entry
from audit.models import Event
from audit.prepared import Rows, Slot

# a few failures are everyday life; after these a person should know
PATIENCE = 5
NOT_HANDED_OVER = "The outputs could not be handed over"

Settled = ToolCall.Settled
WORDS = {
    Settled.SUBMITTED: Event.Action.RUN_RESUMED,
    Settled.CONFIRMED: Event.Action.RUN_RECONCILED,
    Settled.UNVERIFIED: Event.Action.RUN_RECONCILED,
    Settled.ELSEWHERE: Event.Action.RUN_CONFLICT,
    Settled.GONE: Event.Action.RUN_GONE,
}


_promised = Rows(lambda: Run.objects.select_related("assistant", "connection").filter(pk=Slot("pk")))


def resume_run(promise: OutboxEntry) -> None:
    """Once every call of `promise.ref` has its output, hand over those that were not heard yet."""
    run = _promised.get(pk=promise.ref)
    still_open, calls = assistant_actions.owed(run)
    if not calls:
        return
    if run.status == Run.Status.GONE:
        return _settle(run, calls, Settled.GONE)
    try:
        _resume(run, calls, whole=not still_open, tried=promise.attempts > 1)
    except runtimes.Gone as error:
        _settle(assistant_actions.lose(run, str(error)), calls, Settled.GONE)
        polling.ask_again(run)  # its end is noted, and wakes whatever waits for its thread
    except (runtimes.Refused, runtimes.Unreachable) as error:
        _note_failure(run, promise.attempts, error)
        raise TryAgain(str(error), getattr(error, "pause", None)) from error


def _note_failure(run: Run, attempt: int, error: Exception) -> None:
    details = {"attempt": attempt, "error": str(error)[:1000]}
    with transaction.atomic():
        log.record(Entry(Event.Action.RUN_DELAYED, about_run(run), details), by=BY)
    if isinstance(error, runtimes.Refused):
        raise_alert(run, f"{NOT_HANDED_OVER}: {error}")
    elif attempt >= PATIENCE:
        raise_alert(run, f"{NOT_HANDED_OVER} in {attempt} attempts: {error}")


def _resume(run: Run, calls: list[ToolCall], *, whole: bool, tried: bool) -> None:
    """`whole`: no call lacks its output. `tried`: a former attempt may have been heard."""
    runtime = runtimes.of(run)
    if whole or runtime.can.partial:
        _hand_over(run, calls, runtime, tried=tried)
    elif tried:
        # it asks for more by now, so a former attempt was heard, which the next promise won't know of
        _reconcile(run, calls, runtime, tried=True)


def _hand_over(run: Run, calls: list[ToolCall], runtime: runtimes.Runtime, *, tried: bool) -> None:
    waits = run.status == Run.Status.REQUIRES_ACTION
    if not (waits and runtime.can.repeats):
        calls = _reconcile(run, calls, runtime, tried=tried)
    if not calls:
        return
    try:
        runtime.submit(run, calls)
    except runtimes.NotWaiting as error:
        # no failure but a reason to look: it has ended, or somebody was faster
        # and where they go one by one, some of this attempt may have been heard
        if _reconcile(run, calls, runtime, tried=tried or runtime.can.partial):
            raise runtimes.Refused(str(error)) from error
    else:
        _settle(run, calls, Settled.SUBMITTED)
        if not runtime.can.tells:
            polling.ask_again(run)


def _reconcile(run: Run, calls: list[ToolCall], runtime: runtimes.Runtime, *, tried: bool) -> list[ToolCall]:
    """Settle what the far side shows to be settled. Returns what is still owed and can be handed over."""
    seen = runtime.read(run)
    found = {call.pk: judge(call, seen, tried=tried) for call in calls}
    owed = [call for call in calls if found[call.pk] is None]
    if len(owed) < len(calls) or seen.asked - {call.call_id for call in owed}:
        # it has gone on: what it asks for now, and what it came to, is for whoever reads it under the lease
        polling.ask_again(run)
    for settled in Settled:
        _settle(run, [call for call in calls if found[call.pk] == settled], settled, seen.status)
    whole = seen.asked <= {call.call_id for call in owed}
    return owed if whole or runtime.can.partial else []


def _settle(run: Run, calls: Sequence[ToolCall], settled: Settled, status: str = "") -> None:
    with transaction.atomic():
        first = assistant_actions.settle(calls, settled)
        if not first:
            return
        more = follow_up_gone(run, first) if settled == Settled.GONE else []
        if settled == Settled.ELSEWHERE:
            assistant_actions.alert(run, CONFLICT)
        elif run.alert.startswith(NOT_HANDED_OVER):
            assistant_actions.alert(run, "")
        if settled == Settled.SUBMITTED:
            announce_run(webhooks.RUN_RESUMED, run)
        details = {"calls": [call.call_id for call in first], "outcome": settled.value, "state": status}
        log.record(Entry(WORDS[settled], about_run(run), details), *more, by=BY)
