"""What makes certain what the nudges make prompt: look for everything that is due."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from approvals import actions, effects, gate, outbox
from approvals.actions.inbound import overdue_inbound
from approvals.actions.runs import raise_alert
from approvals.actions.telling import BY, about_run
from approvals.models import OutboundMessage
from assistants import actions as assistant_actions
from assistants import polling, runtimes
from assistants.models import Run
from audit import log, nudge
from audit.log import Entry
from audit.models import Event

logger = logging.getLogger("counterseal.sweep")

UNREADABLE = "The run cannot be read"


def sweep() -> int:
    """Wake the workers whose work is due, and expire what nobody decided. Returns how much expired."""
    now = timezone.now()
    _wake(now)
    late = OutboundMessage.objects.overdue(now).select_related("email__mailbox")[:500]
    return sum(map(actions.expire, late)) + sum(map(actions.expire_inbound, overdue_inbound(now)))


def _wake(now: datetime) -> None:
    for task in outbox.due_tasks(now):
        nudge.now(task)
    if Run.objects.due(now).exists():
        nudge.now(polling.SYNC)


def sync_runs() -> int:
    """Read every run that is due, and take its open calls through the gate."""
    done = 0
    while run := polling.claim_due(timezone.now()):
        done += 1
        try:
            _sync(run)
        except assistant_actions.Overtaken:
            continue
        except runtimes.Unreachable as error:
            polling.put_off(run, str(error))
        except runtimes.Refused as error:
            polling.put_off(run, str(error))
            raise_alert(run, f"{UNREADABLE}: {error}")
        except Exception as error:
            logger.exception("run %s could not be read", run.pk)
            polling.put_off(run, f"{type(error).__name__}: {error}")
    return done


def _sync(run: Run) -> None:
    """Runs that their caller drives are only followed in the log: their far side is our own server."""
    if run.driver == Run.Driver.COUNTERSEAL and not run.has_ended:
        run = assistant_actions.sync_run(run)
        if run.alert.startswith(UNREADABLE):
            assistant_actions.alert(run, "")
        gate.dispatch_calls(run)
    _note(run)
    if run.has_ended:
        effects.promise_next(run)
    polling.synced(run)


NOTED = {
    Run.Status.REQUIRES_ACTION: Event.Action.RUN_WAITING,
    Run.Status.COMPLETED: Event.Action.RUN_COMPLETED,
    Run.Status.CANCELLED: Event.Action.RUN_CANCELLED,
    Run.Status.FAILED: Event.Action.RUN_FAILED,
    Run.Status.INCOMPLETE: Event.Action.RUN_FAILED,
    Run.Status.EXPIRED: Event.Action.RUN_FAILED,
    Run.Status.GONE: Event.Action.RUN_FAILED,
}


def _note(run: Run) -> None:
    """Put what the run came to into the log, once; its start too, which nobody else knows by its ids."""
    action = NOTED.get(Run.Status(run.status))
    if action is None:
        return
    about, started = about_run(run), not run.noted
    with transaction.atomic():
        if assistant_actions.note(run):
            first = [Entry(Event.Action.RUN_STARTED, about)] if started and run.run_id else []
            log.record(*first, Entry(action, about, {"error": run.last_error}), by=BY)
