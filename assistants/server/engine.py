"""advance(run): queued -> in_progress -> requires_action | completed | failed | incomplete."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from assistants.models import Connection
from assistants.server import chat, scripted
from assistants.server.context import spent, turn_of
from assistants.server.ending import close_steps, end
from assistants.server.leases import Lost, claim, finish_cancel, hold, settle
from assistants.server.models import Run
from assistants.server.reading import Reading
from assistants.server.report import report
from assistants.server.turn import Answer, ModelError, Reply, Turn
from assistants.server.writing import Writing

RETRIES = 3  # of one turn, unless the connection says otherwise
# a model that only ever calls tools would otherwise go on for ever, since our driver answers at once
MOST_TURNS = 100
BACKOFF = timedelta(seconds=2)
SHOW_EVERY = 0.05  # seconds: what a model says faster than that is shown together
LOOK_EVERY = 1.0  # seconds between two looks whether the run is still ours

log = logging.getLogger("counterseal.server")


def drain() -> int:
    """Work until nothing is due. Returns how many turns were worked on."""
    worked = 0
    while run := claim():
        worked += 1
        advance(run)
    return worked


def advance(run: Run) -> None:
    """One turn of a claimed run. No transaction is open while the model thinks."""
    try:
        _take_turn(run)
    except Lost:
        finish_cancel(run)


def _take_turn(run: Run) -> None:
    has_shown = False
    try:
        if run.tries > _tries(run):
            raise ModelError(f"The model did not finish this turn in {_tries(run)} attempts.")
        if limit := spent(run):
            _finish(run, Run.Status.INCOMPLETE, incomplete_reason=limit)
            return
        turn = turn_of(run)
        if turn.number > MOST_TURNS:
            raise ModelError(f"The run was still calling tools after {MOST_TURNS} turns.")
        writing = Writing(run, turn.number)
        try:
            reply = _listen(run, turn, writing)
        finally:
            has_shown = writing.has_shown
        _accept(run, reply, writing)
    except ModelError as error:
        _give_up_or_retry(run, error, has_shown=has_shown)
    except Lost:
        raise
    except Exception:
        log.exception("run %s failed", run.id)
        _give_up_or_retry(run, ModelError("The run failed on an internal error."), has_shown=has_shown)


def _tries(run: Run) -> int:
    connection = run.owner.connection
    return 1 + (RETRIES if connection is None or connection.retries is None else connection.retries)


def _answer(run: Run, turn: Turn) -> Answer:
    connection = run.owner.connection
    if connection is None:
        raise ModelError("This assistant has no model connection.")
    if connection.protocol == Connection.Protocol.SCRIPTED:
        return scripted.answer(connection.script, turn)
    if connection.protocol == Connection.Protocol.CHAT_COMPLETIONS:
        return chat.answer(connection, turn)
    raise ModelError(
        f"The connection {connection.name} is a foreign run server: no model for runs served here."
    )


def _listen(run: Run, turn: Turn, writing: Writing) -> Reply:
    """The model's whole answer, which is shown as it comes."""
    reply, shown_at = Reply(), 0.0
    with Reading(_answer(run, turn)) as reading:
        while not reading.is_over:
            behind = writing.is_behind
            for part in reading.wait(SHOW_EVERY if behind else LOOK_EVERY):
                reply.take(part)
                writing.take(part)
            if not writing.is_behind:
                hold(run)
            elif time.monotonic() - shown_at >= SHOW_EVERY:
                writing.show()
                shown_at = time.monotonic()
    if reading.error:
        if writing.is_behind:
            writing.show()
        raise reading.error
    reply.check()
    return reply


def _give_up_or_retry(run: Run, error: ModelError, *, has_shown: bool) -> None:
    # what a reader was shown can't be taken back
    if error.transient and run.tries < _tries(run) and not has_shown:
        wait = max(BACKOFF * 2 ** (run.tries - 1), timedelta(seconds=error.wait))
        # the sweep finds it when it is due; its thread does not wait
        if not settle(run, due_at=timezone.now() + wait, leased_by=""):
            raise Lost
    else:
        _finish(run, Run.Status.FAILED, last_error={"code": error.code, "message": error.message})


def _finish(run: Run, status: Run.Status, **changes: object) -> None:
    with transaction.atomic():
        if not settle(run, leased_by=""):
            raise Lost
        end(run, status, **changes)


def _accept(run: Run, reply: Reply, writing: Writing) -> None:
    tokens = {
        "prompt_tokens": run.prompt_tokens + reply.closing.prompt_tokens,
        "completion_tokens": run.completion_tokens + reply.closing.completion_tokens,
    }
    with transaction.atomic():
        if not settle(run, leased_by="", **tokens):
            raise Lost
        waits = writing.finish(reply)
        if waits:
            run.status = Run.Status.REQUIRES_ACTION
            run.save(update_fields=["status"])
            close_steps(run, but=waits)
            report(run)
        elif limit := "max_completion_tokens" if reply.closing.cut_short else spent(run, over=1):
            end(run, Run.Status.INCOMPLETE, incomplete_reason=limit)
        else:
            end(run, Run.Status.COMPLETED)
