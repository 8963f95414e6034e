"""Runs that are stuck, or were left in the dark, and what a person does for them."""

from __future__ import annotations

from django.db import transaction

from approvals import outbox
from approvals.actions.telling import BY, about_run, plan_entry
from approvals.errors import Conflict, Invalid
from approvals.models import OutboxEntry, User
from approvals.permissions import check_drive
from assistants import actions as assistant_actions
from assistants import polling
from assistants.models import Run
from audit import log
from audit.log import Entry
from audit.models import Event

LONGEST_TEXT = 10_000  # characters


def raise_alert(run: Run, why: str) -> None:
    """Put something about `run` before whoever looks after it; noted in the log when it is new."""
    with transaction.atomic():
        if assistant_actions.alert(run, why):
            log.record(Entry(Event.Action.RUN_ALERTED, about_run(run), {"alert": why[:1000]}), by=BY)


def retry_resume(run: Run, *, by: User) -> None:
    """Look at the run and hand over its outputs now, and not when the backoff would."""
    check_drive(by, run)
    _check_ours(run)
    with transaction.atomic():
        assistant_actions.alert(run, "")
        outbox.enqueue(OutboxEntry.Kind.RESUME_RUN, run.pk)
        polling.ask_again(run)
        log.record(Entry(Event.Action.RUN_RETRIED, about_run(run)), by=by.actor)


def send_follow_up(run: Run, text: str, *, by: User) -> Run:
    """Tell the assistant more, in the same thread, once it is free: a run of its own."""
    check_drive(by, run)
    _check_ours(run)
    text = text.strip()
    if not text or len(text) > LONGEST_TEXT or "\x00" in text:
        message = f"Say what the run is to be told, in at most {LONGEST_TEXT} characters."
        raise Invalid([{"field": "text", "code": "bad_text", "message": message}])
    if not run.thread_id:
        raise Conflict("This run has no thread yet in which it could be told.", "no_thread")
    with transaction.atomic():
        planned = assistant_actions.plan_run(
            run.assistant,
            cause=Run.Cause.PERSON,
            prompt=text,
            follows=run,
            connection=run.connection,
            **{name: getattr(run, name) for name in assistant_actions.INHERITED},
        )
        outbox.enqueue(OutboxEntry.Kind.START_RUN, planned.pk)
        log.record(plan_entry(planned, follows=run.run_id or run.pk), by=by.actor)
    return planned


def _check_ours(run: Run) -> None:
    if run.driver != Run.Driver.COUNTERSEAL:
        raise Conflict("Its caller drives this run: adopt it first.", "not_ours")
