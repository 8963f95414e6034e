"""Taking over a run that somebody else began: from now on Counterseal answers it."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q

from approvals import gate
from approvals.actions.telling import about_run
from approvals.errors import Conflict, DomainError, Invalid, NotFound
from approvals.models import User
from approvals.permissions import check_adopt
from assistants import polling, runtimes
from assistants.models import ApiKey, Assistant, Connection, Run
from assistants.observe import OWN_ROW, observe
from audit import log
from audit.log import Entry
from audit.models import Event


class FarSideFailed(DomainError):
    """The run server could not be asked."""

    status = 502
    code = "run_server_failed"


def adopt(assistant: Assistant, *, thread_id: str, run_id: str, by: User | ApiKey) -> Run:
    """One conditional UPDATE makes us its driver. A run that is ours already is left as it is."""
    check_adopt(by, assistant)
    run = Run.objects.filter(assistant=assistant, run_id=run_id).select_related("connection").first()
    within = run is None or Run.objects.visible_to(by).filter(pk=run.pk).exists()
    if run and (run.thread_id != thread_id or not within):
        raise _unknown(run_id, thread_id)
    if run and run.driver == Run.Driver.COUNTERSEAL:
        return run
    _check_alone(assistant, thread_id, run_id)
    seen = _look(assistant, run, thread_id, run_id)
    with transaction.atomic():
        _lock(assistant)
        _check_alone(assistant, thread_id, run_id)
        if seen:
            # one that we began ourselves, and whose answer was lost, is ours already
            ours = Run.objects.filter(assistant=assistant, pk=seen.metadata.get(OWN_ROW, ""), run_id="")
            driver = Run.Driver.COUNTERSEAL if ours.exists() else Run.Driver.CALLER
            run = observe(assistant, driver, seen)
        run = _take_over(run) if run else None
        if run is None:
            raise _unknown(run_id, thread_id)
        linked = gate.link_calls(run, by=by)
        polling.ask_again(run)
        log.record(Entry(Event.Action.RUN_ADOPTED, about_run(run), {"run": run.pk}), *linked, by=by.actor)
    return run


def _lock(assistant: Assistant) -> None:
    """Adoptions on one connection come one after another; a send for a call waits, and then finds the run."""
    Connection.objects.select_for_update(no_key=True).filter(pk=assistant.connection_id).first()
    Assistant.objects.select_for_update(no_key=True).get(pk=assistant.pk)


def _check_alone(assistant: Assistant, thread_id: str, run_id: str) -> None:
    """The connection's key reaches the runs of all its assistants, and each sees its own only.

    One driver to a thread, too: under another id the run may be one that we drive already.
    """
    there = Run.objects.filter(Q(thread_id=thread_id) | Q(run_id=run_id), connection=assistant.connection_id)
    if there.exclude(assistant=assistant).exists():
        raise _unknown(run_id, thread_id)
    others = there.driven().filter(ended_at=None).exclude(run_id__in=(run_id, ""))
    if other := others.first():
        raise Conflict(f"Counterseal drives {other} in this thread already.", "thread_driven")


def _unknown(run_id: str, thread_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id} in thread {thread_id}.")


def _look(assistant: Assistant, known: Run | None, thread_id: str, run_id: str) -> runtimes.Snapshot | None:
    """What the far side shows of it. Of a run on our own server we have the row, or there is none."""
    connection = assistant.connection
    if connection is None:
        message = f"{assistant.name} has no model connection, so there is no server to find the run on."
        raise Invalid([{"field": "connection", "code": "no_connection", "message": message}])
    if connection.is_embedded or (known and known.has_ended):
        return None
    run = known or Run(assistant=assistant, connection=connection, thread_id=thread_id, run_id=run_id)
    try:
        seen = runtimes.of(run).read(run)
    except runtimes.Gone:
        raise _unknown(run_id, thread_id) from None
    except (runtimes.Unreachable, runtimes.Refused, runtimes.NotWaiting) as error:
        raise FarSideFailed(f"The run server could not be asked for the run: {error}") from error
    if seen.thread_id != thread_id:
        raise _unknown(run_id, thread_id)
    return seen


def _take_over(run: Run) -> Run:
    won = Run.objects.filter(pk=run.pk, driver=Run.Driver.CALLER, ended_at=None).update(
        driver=Run.Driver.COUNTERSEAL, cause=Run.Cause.ADOPTED
    )
    run = Run.objects.select_related("assistant", "connection").get(pk=run.pk)
    if not won and run.has_ended:
        raise Conflict(f"This run is {run.status}: there is nothing left to answer.", "run_ended")
    return run
