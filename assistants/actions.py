"""Runs as we know them: planning one, reading it, and the outputs that we owe it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from assistants import runtimes
from assistants.models import Assistant, Run, ToolCall
from assistants.observe import observe
from audit import nudge

SYNC = "approvals.tasks.sync_runs"
SYNC_LEASE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=10)


def plan_run(
    assistant: Assistant,
    *,
    prompt: str,
    mailbox_id: str = "",
    email_id: str = "",
    start_key: str | None = None,
) -> Run:
    """A row for a run that is yet to be created at the far side. `start_key`: one run per cause."""
    fields = {
        "assistant": assistant,
        "connection": assistant.connection,
        "driver": Run.Driver.COUNTERSEAL,
        "prompt": prompt,
        "mailbox_id": mailbox_id,
        "email_id": email_id,
    }
    if start_key is None:
        return Run.objects.create(**fields)
    return Run.objects.get_or_create(start_key=start_key, defaults=fields)[0]


def start(run: Run) -> None:
    """Create the planned run at the far side. Safe to repeat: a run that has its id is left alone."""
    if run.run_id or run.has_ended:
        return
    _keep(run, runtimes.of(run).start(run), run_id="")


class Overtaken(Exception):
    """The lease ended while the far side was read: somebody else has read it since."""


def sync_run(run: Run) -> Run:
    """Read the leased run again at the far side and keep what is seen, or raise Overtaken."""
    kept = _keep(run, runtimes.of(run).read(run), sync_attempts=run.sync_attempts)
    if kept is None:
        raise Overtaken
    return kept


@transaction.atomic
def _keep(run: Run, snapshot: runtimes.Snapshot, **fence: object) -> Run | None:
    """Only while our row still is as `fence` says: an older sight must not replace a newer one."""
    if not Run.objects.select_for_update().filter(pk=run.pk, **fence).exists():
        return None
    return observe(run.assistant, run.driver, snapshot)


def fail_start(run: Run, why: str) -> bool:
    """The far side will never have it. False if it has it after all."""
    now = timezone.now()
    return bool(
        Run.objects.filter(pk=run.pk, run_id="", ended_at=None).update(
            status=Run.Status.FAILED, last_error=why[:1000], ended_at=now, updated_at=now
        )
    )


def open_calls(run: Run) -> list[ToolCall]:
    """The calls of a waiting run that we have no output for, in the model's order."""
    return list(
        run.calls.filter(output=None, run__status=Run.Status.REQUIRES_ACTION).order_by("position", "pk")
    )


def answer_call(run: Run, call_id: str, output: Mapping[str, Any]) -> bool:
    """Keep the one output of a call, once. True if this was it."""
    text = json.dumps(output, ensure_ascii=False, default=str)
    found = ToolCall.objects.filter(run=run, call_id=call_id, output=None)
    return bool(found.update(output=text, answered_at=timezone.now()))


def due_outputs(run: Run) -> list[ToolCall]:
    """The answered calls that the run has not been given yet."""
    return list(run.calls.filter(output__isnull=False, submitted_at=None).order_by("position", "pk"))


def is_ready(run: Run) -> bool:
    """Every call has its output, and some are still owed."""
    return not open_calls(run) and bool(due_outputs(run))


def mark_submitted(calls: list[ToolCall]) -> int:
    return ToolCall.objects.filter(pk__in=[call.pk for call in calls], submitted_at=None).update(
        submitted_at=timezone.now()
    )


def claim_due(now: datetime) -> Run | None:
    """Lease one run that is to be read again; its `sync_attempts` is the fence."""
    for run in Run.objects.due(now).order_by("sync_due_at")[:20]:
        same = Run.objects.filter(pk=run.pk, sync_attempts=run.sync_attempts, sync_due_at=run.sync_due_at)
        with transaction.atomic():
            won = same.update(sync_attempts=F("sync_attempts") + 1, sync_due_at=now + SYNC_LEASE)
        if won:
            return Run.objects.select_related("assistant", "connection").get(pk=run.pk)
    return None


def free_leases() -> None:
    """Look at every unfinished run now; for a worker that starts anew. Reading one twice does no harm."""
    Run.objects.filter(sync_due_at__isnull=False).update(sync_due_at=timezone.now())


def synced(run: Run) -> None:
    """Nothing to do until the far side tells, or, for one that tells nothing, until the next look."""
    later = None if run.has_ended or _tells(run) else timezone.now() + backoff(run.sync_attempts)
    mine = Run.objects.filter(pk=run.pk, sync_attempts=run.sync_attempts)
    mine.exclude(sync_failures=0).update(sync_failures=0)
    # a change that was seen meanwhile has set a due time before the lease's end: leave that alone
    mine.filter(sync_due_at__gt=timezone.now()).update(sync_due_at=later)


def _tells(run: Run) -> bool:
    """Our own server sets sync_due_at itself whenever a run changes; a caller's run is always there."""
    if run.driver == Run.Driver.CALLER:
        return True
    return run.connection is not None and run.connection.is_embedded


def put_off(run: Run, why: str) -> None:
    """It could not be read; each failure in a row waits longer than the one before."""
    Run.objects.filter(pk=run.pk, sync_attempts=run.sync_attempts).update(
        sync_due_at=timezone.now() + backoff(run.sync_failures),
        sync_failures=F("sync_failures") + 1,
        last_error=why[:1000],
    )


def note(run: Run) -> bool:
    """True once for each thing that the run comes to: a wait on so many calls, or its end."""
    before, seen = run.noted, f"{run.status} {run.calls.count()}"
    run.noted = seen
    return before != seen and bool(Run.objects.filter(pk=run.pk, noted=before).update(noted=seen))


def ask_again(run: Run) -> None:
    Run.objects.filter(Q(pk=run.pk)).update(sync_due_at=timezone.now())
    nudge.on_commit(SYNC)


def backoff(attempts: int) -> timedelta:
    return min(timedelta(seconds=2 ** min(attempts, 10)), LONGEST_PAUSE)
