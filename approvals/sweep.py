"""What makes certain what the nudges make prompt: look for everything that is due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from django.db import transaction
from django.utils import timezone

from approvals import actions, effects, gate, outbox, webhooks
from approvals.actions.announcing import announce_run
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
from mailboxes.models import Email

logger = logging.getLogger("counterseal.sweep")

Late = TypeVar("Late", OutboundMessage, Email)

UNREADABLE = "The run cannot be read"


def sweep() -> int:
    """Wake the workers whose work is due, and expire what nobody decided. Returns how much expired."""
    now = timezone.now()
    _wake(now)
    late = OutboundMessage.objects.overdue(now).select_related("email__mailbox")[:500]
    return _each(actions.expire, late) + _each(actions.expire_inbound, overdue_inbound(now))


def _each(expire: Callable[[Late], bool], late: Iterable[Late]) -> int:
    """How many expired. One that can't keeps no other from it."""
    expired = 0
    for one in late:
        try:
            expired += expire(one)
        except Exception:
            logger.exception("%s could not expire", one.pk)
    return expired


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
            _look(run)
        except Exception as error:
            logger.exception("run %s could not be read", run.pk)
            polling.put_off(run, f"{type(error).__name__}: {error}")
    return done


def _look(run: Run) -> None:
    try:
        _sync(run)
    except assistant_actions.Overtaken:
        pass  # whoever was faster sets the next look
    except runtimes.Unreachable as error:
        polling.put_off(run, str(error), error.pause)
    except runtimes.Refused as error:
        polling.put_off(run, str(error))
        raise_alert(run, f"{UNREADABLE}: {error}")


def _sync(leased: Run) -> None:
    """Runs that their caller drives are only followed in the log: their far side is our own server."""
    run = leased
    if run.driver == Run.Driver.COUNTERSEAL and not run.has_ended:
        run = assistant_actions.sync_run(leased)
        if run.alert.startswith(UNREADABLE):
            assistant_actions.alert(run, "")
        gate.dispatch_calls(run)
    _note(run)
    if run.has_ended:
        effects.promise_next(run)
    polling.synced(leased, run)


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
            if action == Event.Action.RUN_FAILED:
                announce_run(webhooks.RUN_FAILED, run)
            log.record(*first, Entry(action, about, {"error": run.last_error}), by=BY)
