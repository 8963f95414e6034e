"""When to read a run again: who is due, under which lease, and how often a far side may be asked.

Our own server tells of every change. Foreign ones are asked: at once for a run of which there is
news (a webhook, a decision, a deadline), and else ever more seldom, within a budget per connection.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from assistants.models import Connection, Run
from assistants.runtimes.clients import TIMEOUT
from audit import nudge

SYNC = "approvals.tasks.sync_runs"
REQUESTS = 3  # of one read
MARGIN = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=10)
# while a person decides, the run's end is all that could be news
WAITING_PAUSE = timedelta(minutes=1)
BURST = 10  # polls of the budget that may come at once


def claim_due(now: datetime) -> Run | None:
    """Lease one run that is to be read again; `sync_attempts` is the fence, `sync_due_at` the lease's end."""
    spent = [connection.pk for connection in Connection.objects.foreign() if _is_spent(connection, now)]
    due = Run.objects.due(now).exclude(quiet_looks__gt=0, connection__in=spent)
    for run in due.select_related("connection").order_by("sync_due_at")[:20]:
        same = Run.objects.filter(pk=run.pk, sync_attempts=run.sync_attempts, sync_due_at=run.sync_due_at)
        with transaction.atomic():
            # the connection before the run, as in adopting: two orders would be a deadlock
            _spend(run, now)
            won = same.update(sync_attempts=F("sync_attempts") + 1, sync_due_at=now + _lease(run))
        if won:
            return Run.objects.select_related("assistant", "connection").get(pk=run.pk)
    return None


def _is_spent(connection: Connection, now: datetime) -> bool:
    return connection.polls_whole_at > now.timestamp() + BURST * _interval(connection)


def _spend(run: Run, now: datetime) -> None:
    """One poll of the budget; a look for which there is a reason costs nothing."""
    if run.connection is None or run.connection.is_embedded or not run.quiet_looks:
        return
    connection = Connection.objects.select_for_update(no_key=True).get(pk=run.connection_id)
    whole_at = max(connection.polls_whole_at, now.timestamp()) + _interval(connection)
    Connection.objects.filter(pk=connection.pk).update(polls_whole_at=whole_at)


def _interval(connection: Connection) -> float:
    return 60 / max(1, connection.polls_per_minute)


def _lease(run: Run) -> timedelta:
    """Longer than a read, which is a few requests.

    Not renewed, because a worker that dies mid-read costs only this wait: whatever is news sets the due
    time anew, and `up` frees its leases when it starts.
    """
    foreign = run.connection is not None and not run.connection.is_embedded
    timeout = (run.connection.timeout if foreign and run.connection else None) or TIMEOUT
    return REQUESTS * timedelta(seconds=timeout) + MARGIN


def free_leases() -> None:
    """Look at every unfinished run now; for a worker that starts anew. Reading one twice does no harm."""
    Run.objects.filter(sync_due_at__isnull=False).update(sync_due_at=timezone.now())


def synced(leased: Run, seen: Run | None = None) -> None:
    """It was read as `seen`, if it is one to read: set the next look, or none until there is news."""
    due_at, quiet_looks = _next_look(seen or leased, timezone.now())
    _mine(leased).exclude(sync_failures=0).update(sync_failures=0)
    _without_news(leased).update(sync_due_at=due_at, quiet_looks=quiet_looks)


def put_off(leased: Run, why: str, pause: timedelta | None = None) -> None:
    """It could not be read; each failure in a row waits longer than the one before. `pause`: at least."""
    now = timezone.now()
    # whatever the reason for this look was, the next one is a poll, and comes out of the budget
    due_at, quiet_looks = now + backoff(leased.sync_failures), max(1, leased.quiet_looks)
    if leased.hold_until and now < leased.hold_until < due_at:
        due_at, quiet_looks = leased.hold_until, 0
    due_at = max(due_at, now + (pause or timedelta()))
    _mine(leased).update(sync_failures=F("sync_failures") + 1, last_error=why[:1000])
    _without_news(leased).update(sync_due_at=due_at, quiet_looks=quiet_looks)


def _mine(leased: Run) -> QuerySet[Run]:
    return Run.objects.filter(pk=leased.pk, sync_attempts=leased.sync_attempts)


def _without_news(leased: Run) -> QuerySet[Run]:
    """What is news has set a due time of its own: leave that alone. A lease that ran out is no news."""
    return _mine(leased).filter(sync_due_at=leased.sync_due_at)


def _next_look(run: Run, now: datetime) -> tuple[datetime | None, int]:
    """When, and how many looks before it found nothing; 0 where there will be a reason to look."""
    if run.has_ended or run.driver == Run.Driver.CALLER:
        return None, 0
    deadline = _deadline(run, now)
    if run.connection is not None and run.connection.is_embedded:
        # it sets sync_due_at itself whenever a run changes
        return deadline, 0
    pause = backoff(run.quiet_looks)
    if run.status == Run.Status.REQUIRES_ACTION:
        pause = max(pause, WAITING_PAUSE)
    if deadline and deadline <= now + pause:
        return deadline, 0
    return now + pause, run.quiet_looks + 1


def _deadline(run: Run, now: datetime) -> datetime | None:
    """When what is still open has to be answered for now."""
    until = run.hold_until
    if until is None or until > now:
        return until
    if run.status != Run.Status.REQUIRES_ACTION or not run.calls.filter(output=None, settled="").exists():
        return None
    # it passed while the calls were gone through; or else what is open can't be answered for now
    return now if until > run.updated_at else now + WAITING_PAUSE


def ask_again(*runs: Run) -> None:
    """There may be news of them."""
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(sync_due_at=timezone.now(), quiet_looks=0)
    nudge.on_commit(SYNC)


def backoff(attempts: int) -> timedelta:
    return min(timedelta(seconds=2 ** min(attempts, 10)), LONGEST_PAUSE)
