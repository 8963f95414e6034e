"""Who works on a run. It is claimed by one conditional UPDATE that moves its `due_at` a lease ahead;
`attempts` is the fence. A worker that dies leaves a run that becomes due again; one that was overtaken
changes nothing.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from assistants.server.ending import end
from assistants.server.models import Run, RunQuerySet
from assistants.server.report import report

LEASE = timedelta(seconds=30)  # renewed while the model is at work


class Lost(Exception):
    """The run is no longer this worker's: it was cancelled, expired, deleted, or claimed anew."""


def worker_name() -> str:
    return settings.WORKER_NAME or f"{socket.gethostname()}:{os.getpid()}"[:80]


def claim() -> Run | None:
    """A run that is to be worked on. Those whose worker died while they were being cancelled end here."""
    now = timezone.now()
    for run in Run.objects.due(now).order_by("due_at")[:20]:
        if run.status == Run.Status.CANCELLING:
            finish_cancel(run)
        elif _claimed(run):
            return run
    return None


def _claimed(run: Run) -> bool:
    now = timezone.now()
    changes = {
        "status": Run.Status.IN_PROGRESS,
        "attempts": run.attempts + 1,
        "tries": run.tries + 1,
        "due_at": now + LEASE,
        "leased_by": worker_name(),
        "started_at": run.started_at or now,
    }
    was_queued = run.status == Run.Status.QUEUED
    with transaction.atomic():
        claimable = Run.objects.due(now).filter(pk=run.pk, attempts=run.attempts, status=run.status)
        won = claimable.update(**changes)
        if won:
            _set(run, changes)
            if was_queued:
                report(run, said=False)
    return bool(won)


def free_leases(owner: str) -> int:
    """Give up what a former process of this name held; for a worker that starts anew."""
    held = Run.objects.filter(status__in=(Run.Status.IN_PROGRESS, Run.Status.CANCELLING), leased_by=owner)
    return held.update(due_at=timezone.now(), leased_by="")


def hold(run: Run) -> None:
    """Make sure that the run is still this worker's, and for a while longer; else raise Lost."""
    renewed = timezone.now() + LEASE
    is_fresh = renewed - run.due_at < LEASE / 3
    if not (_mine(run).exists() if is_fresh else settle(run, due_at=renewed)):
        raise Lost


def settle(run: Run, **changes: object) -> bool:
    """Change the run, if this worker still holds it. The row is locked until the transaction ends."""
    won = _mine(run).update(**changes)
    if won:
        _set(run, changes)
    return bool(won)


def _mine(run: Run) -> RunQuerySet:
    return Run.objects.filter(pk=run.pk, attempts=run.attempts, status=Run.Status.IN_PROGRESS)


def _set(run: Run, changes: dict[str, object]) -> None:
    for name, value in changes.items():
        setattr(run, name, value)


def finish_cancel(run: Run) -> None:
    """End a run that is being cancelled, in the state in which `run` was claimed."""
    with transaction.atomic():
        same = Run.objects.select_for_update().filter(
            pk=run.pk, attempts=run.attempts, status=Run.Status.CANCELLING
        )
        if found := same.first():
            end(found, Run.Status.CANCELLED)
