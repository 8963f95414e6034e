"""advance(run): queued -> in_progress -> requires_action | completed | failed | incomplete.

A run is claimed by one conditional UPDATE that moves its `due_at` a lease ahead; `attempts` is the
fence. A worker that dies leaves a run that becomes due again; one that was overtaken changes nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from assistants.models import Connection
from assistants.server import chat, scripted
from assistants.server.bodies import written
from assistants.server.context import next_turn, spent, turn_of
from assistants.server.models import Message, Run, Step
from assistants.server.objects import usage
from assistants.server.report import report
from assistants.server.turn import Call, Json, ModelError, Reply, Turn, check_calls
from audit.ids import new_id

LEASE = timedelta(seconds=chat.TIMEOUT + 30)
TRIES = 4
# a model that only ever calls tools would otherwise go on for ever, since our driver answers at once
MOST_TURNS = 100
BACKOFF = timedelta(seconds=2)

log = logging.getLogger("counterseal.server")


def drain() -> int:
    """Work until nothing is due. Returns how many turns were worked on."""
    worked = 0
    while run := claim():
        worked += 1
        advance(run)
    return worked


def worker_name() -> str:
    return settings.WORKER_NAME or f"{socket.gethostname()}:{os.getpid()}"[:80]


def claim() -> Run | None:
    now = timezone.now()
    for run in Run.objects.due(now).order_by("due_at")[:20]:
        if _claimed(run):
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
        won = Run.objects.due(now).filter(pk=run.pk, attempts=run.attempts).update(**changes)
        if won:
            _set(run, changes)
            if was_queued:
                report(run)
    return bool(won)


def free_leases(owner: str) -> int:
    """Give up what a former process of this name held; for a worker that starts anew."""
    return Run.objects.filter(status=Run.Status.IN_PROGRESS, leased_by=owner).update(
        due_at=timezone.now(), leased_by=""
    )


def advance(run: Run) -> None:
    """One turn of a claimed run. No transaction is open while the model thinks."""
    try:
        if run.tries > TRIES:
            raise ModelError(f"The model did not finish this turn in {TRIES} attempts.")
        if limit := spent(run):
            _finish(run, Run.Status.INCOMPLETE, incomplete_reason=limit)
            return
        turn = turn_of(run)
        if turn.number > MOST_TURNS:
            raise ModelError(f"The run was still calling tools after {MOST_TURNS} turns.")
        reply = _ask(run, turn)
    except ModelError as error:
        _give_up_or_retry(run, error)
    except Exception:
        log.exception("run %s failed", run.id)
        _give_up_or_retry(run, ModelError("The run failed on an internal error."))
    else:
        _accept(run, reply)


def _ask(run: Run, turn: Turn) -> Reply:
    connection = run.owner.connection
    if connection is None:
        raise ModelError("This assistant has no model connection.")
    if connection.protocol == Connection.Protocol.SCRIPTED:
        reply = scripted.reply(connection.script, turn)
    elif connection.protocol == Connection.Protocol.CHAT_COMPLETIONS:
        reply = chat.reply(connection, turn)
    else:
        raise ModelError(
            f"The connection {connection.name} is a foreign run server: no model for runs served here."
        )
    if not reply.cut_short:
        check_calls(reply)
    return reply


def _give_up_or_retry(run: Run, error: ModelError) -> None:
    if error.transient and run.tries < TRIES:
        # the sweep finds it when it is due; its thread does not wait
        _settle(run, due_at=timezone.now() + BACKOFF * 2 ** (run.tries - 1))
    else:
        _finish(run, Run.Status.FAILED, last_error={"code": error.code, "message": error.message})


def _finish(run: Run, status: Run.Status, **changes: object) -> None:
    with transaction.atomic():
        if _settle(run, status=status, ended_at=timezone.now(), **changes):
            report(run)


def _accept(run: Run, reply: Reply) -> None:
    changes: dict[str, object] = {
        "prompt_tokens": run.prompt_tokens + reply.prompt_tokens,
        "completion_tokens": run.completion_tokens + reply.completion_tokens,
    }
    if reply.cut_short:
        changes |= {"status": Run.Status.INCOMPLETE, "incomplete_reason": "max_completion_tokens"}
    else:
        changes |= {"status": Run.Status.REQUIRES_ACTION if reply.calls else Run.Status.COMPLETED}
    if changes["status"] != Run.Status.REQUIRES_ACTION:
        changes["ended_at"] = timezone.now()
    with transaction.atomic():
        if _settle(run, **changes):
            _write(run, reply)
            report(run)


def _settle(run: Run, **changes: object) -> bool:
    """Change the run, if this worker still holds it."""
    changes |= {"leased_by": ""}
    held = Run.objects.filter(pk=run.pk, attempts=run.attempts, status=Run.Status.IN_PROGRESS)
    won = held.update(**changes)
    if won:
        _set(run, changes)
    return bool(won)


def _set(run: Run, changes: dict[str, object]) -> None:
    for name, value in changes.items():
        setattr(run, name, value)


def _write(run: Run, reply: Reply) -> None:
    """The steps of one turn: what the model said, then what it called."""
    turn, tokens = next_turn(run), usage(reply.prompt_tokens, reply.completion_tokens)
    calls = [] if reply.cut_short else reply.calls
    if reply.text:
        # the tokens of a turn are counted on its last step
        _say(run, reply, turn, usage(0, 0) if calls else tokens)
    if calls:
        _call(run, calls, turn, tokens)


def _say(run: Run, reply: Reply, turn: int, tokens: Json) -> None:
    message = Message.objects.create(
        thread=run.thread,
        run=run,
        role="assistant",
        content=[written(reply.text)],
        incomplete_reason="max_tokens" if reply.cut_short else "",
    )
    Step.objects.create(
        run=run,
        type=Step.Type.MESSAGE,
        status=Step.Status.COMPLETED,
        turn=turn,
        message_id=message.id,
        usage=tokens,
        ended_at=timezone.now(),
    )


def _call(run: Run, calls: Sequence[Call], turn: int, tokens: Json) -> None:
    newest = run.thread.messages.order_by("-seq").values_list("seq", flat=True).first()
    Step.objects.create(
        run=run,
        type=Step.Type.CALLS,
        status=Step.Status.IN_PROGRESS,
        turn=turn,
        calls=[
            # ids of our own: some servers repeat theirs from turn to turn
            {"id": new_id("call"), "name": call.name, "arguments": call.arguments, "output": None}
            for call in calls
        ],
        after=newest or 0,
        usage=tokens,
    )
