"""Runs as we know them: planning one, adopting one, reading it, and the outputs that we owe it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, DateTimeField, Q
from django.utils import timezone

from assistants import runtimes
from assistants.models import Assistant, Run, RunQuerySet, ToolCall
from assistants.observe import observe
from assistants.runtimes.abilities import OF
from audit.prepared import Change, Rows, Slot

Settled = ToolCall.Settled
# the outcomes that mean: the far side has it
GIVEN = (Settled.SUBMITTED, Settled.CONFIRMED, Settled.UNVERIFIED)


def plan_run(
    assistant: Assistant,
    *,
    cause: Run.Cause,
    prompt: str,
    start_key: str | None = None,
    **fields: Any,
) -> Run:
    """A row for a run that is yet to be created at the far side. `start_key`: one run per cause.

    `fields`: what it is about (mailbox_id, email_id, conversation_id) and goes on from (thread_id, follows).
    """
    fields |= {
        "assistant": assistant,
        "connection": fields.get("connection", assistant.connection),
        "driver": Run.Driver.COUNTERSEAL,
        "cause": cause,
        "prompt": prompt,
    }
    if start_key is None:
        return Run.objects.create(**fields)
    return Run.objects.get_or_create(start_key=start_key, defaults=fields)[0]


def start(run: Run) -> Run:
    """Create the planned run at the far side. Safe to repeat: a run that has its id is left alone."""
    again = not _begin(run)
    if run.run_id or run.has_ended:
        return run
    try:
        seen = runtimes.of(run).start(run, again=again)
    except runtimes.Locked:
        if not again:
            # surely nothing of it is there: what it is to say may still be added to
            Run.objects.filter(pk=run.pk, run_id="").update(start_tried_at=None)
        raise
    return _keep(run, seen, run_id="") or _reloaded(run)


def _begin(run: Run) -> bool:
    """Fix what is asked for, before it is asked the first time. False if it was asked before."""
    first = Run.objects.filter(pk=run.pk, start_tried_at=None).update(start_tried_at=timezone.now())
    run.refresh_from_db(fields=["prompt", "thread_id", "run_id", "status", "start_tried_at"])
    return bool(first)


def _in_line(run: Run, thread_id: str) -> RunQuerySet:
    """Its assistant's other runs in the thread, and those of the same conversation without one yet."""
    same = Q(thread_id=thread_id, connection=run.connection_id) if thread_id else Q(pk__in=())
    if run.conversation_id:
        same |= Q(conversation_id=run.conversation_id, thread_id="")
    others = Run.objects.filter(same, assistant=run.assistant_id).exclude(pk=run.pk)
    return others.order_by("created_at", "pk")


def ahead_of(run: Run, thread_id: str) -> Run | None:
    """Whose turn it is before `run`'s: a run in its thread that has not ended, or an older plan."""
    older = Q(created_at__lt=run.created_at) | Q(created_at=run.created_at, pk__lt=run.pk)
    waiting = Q(status=Run.Status.STARTING) & older
    active = ~Q(status__in=(Run.Status.STARTING, *Run.ENDED))
    return _in_line(run, thread_id).filter(waiting | active).first()


def next_in_line(run: Run) -> Run | None:
    """The oldest plan that waits for `run`'s thread or conversation."""
    return _in_line(run, run.thread_id).filter(status=Run.Status.STARTING).first()


class Overtaken(Exception):
    """The lease ended while the far side was read: somebody else has read it since."""


def sync_run(run: Run) -> Run:
    """Read the leased run again at the far side and keep what is seen, or raise Overtaken."""
    try:
        seen = runtimes.of(run).read(run)
    except runtimes.Gone as error:
        return lose(run, str(error))
    kept = _keep(run, seen, in_hand=True, sync_attempts=run.sync_attempts)
    if kept is None:
        raise Overtaken
    return kept


def lose(run: Run, why: str) -> Run:
    """The far side knows it no more."""
    now = timezone.now()
    Run.objects.filter(pk=run.pk, ended_at=None).update(
        status=Run.Status.GONE, last_error=why[:1000], ended_at=now, updated_at=now
    )
    return _reloaded(run)


@transaction.atomic
def _keep(run: Run, snapshot: runtimes.Snapshot, *, in_hand: bool = False, **fence: object) -> Run | None:
    """Only while our row still is as `fence` says: an older sight must not replace a newer one."""
    if not Run.objects.select_for_update().filter(pk=run.pk, **fence).exists():
        return None
    return observe(run.assistant, run.driver, snapshot, in_hand=in_hand)


def _reloaded(run: Run) -> Run:
    return Run.objects.select_related("assistant", "connection").get(pk=run.pk)


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
    return owed(run)[0]


_unsettled = Rows(lambda: ToolCall.objects.filter(run=Slot("run"), settled="").order_by("position", "pk"))


def owed(run: Run) -> tuple[list[ToolCall], list[ToolCall]]:
    """What a run waits for: the calls without an output, and those whose output it may not have."""
    calls = _unsettled.all(run=run.pk)
    waits = run.status == Run.Status.REQUIRES_ACTION
    still_open = [call for call in calls if call.output is None and waits]
    return still_open, [call for call in calls if call.output is not None]


def is_ready(run: Run) -> bool:
    """Outputs are owed, and no other has to be waited for."""
    still_open, due = owed(run)
    return bool(due) and (not still_open or _takes_them_apart(run))


def _takes_them_apart(run: Run) -> bool:
    return run.connection is not None and OF[run.connection.protocol].partial


_answer = Change(
    lambda: ToolCall.objects.filter(run=Slot("run"), call_id=Slot("call_id"), output=None),
    output=Slot("output"),
    answered_at=Slot("now", DateTimeField()),
    is_provisional=Slot("provisional", BooleanField()),
)


def answer_call(run: Run, call_id: str, output: Mapping[str, Any], *, provisional: bool = False) -> bool:
    """Keep the one output of a call, once. True if this was it."""
    text = as_output(output)
    given = {"output": text, "now": timezone.now(), "provisional": provisional}
    return bool(_answer.run(run=run.pk, call_id=call_id, **given))


def as_output(output: Mapping[str, Any]) -> str:
    return json.dumps(output, ensure_ascii=False, default=str)


def settle(calls: Iterable[ToolCall], settled: Settled) -> list[ToolCall]:
    """Note what became of their outputs, once. Returns those for which this was the first word."""
    given = {"submitted_at": timezone.now()} if settled in GIVEN else {}
    return [
        call
        for call in calls
        if ToolCall.objects.filter(pk=call.pk, settled="").update(settled=settled, **given)
    ]


FOLLOW_UP = """\
This is what became of mail that you had asked for in run {run}. That run may not have heard it. \
It is a report: nothing has to be sent again because of it."""


INHERITED = ("thread_id", "conversation_id", "mailbox_id", "email_id")


def plan_follow_up(run: Run, told: Mapping[str, str]) -> Run:
    """A run in the same thread that tells it. `told`: output by call id.

    What becomes known before that run is first asked for is told by the same one.
    """
    names = dict(run.calls.filter(call_id__in=list(told)).values_list("call_id", "name"))
    lines = "\n".join(f"- {names[call_id]} ({call_id}): {output}" for call_id, output in told.items())
    waiting = Run.objects.select_for_update().filter(
        follows=run, cause=Run.Cause.FOLLOW_UP, status=Run.Status.STARTING, start_tried_at=None
    )
    planned = waiting.first()
    if planned is None:
        prompt = f"{FOLLOW_UP.format(run=run.run_id or run.pk)}\n\n{lines}"
        planned = plan_run(
            run.assistant,
            cause=Run.Cause.FOLLOW_UP,
            prompt=prompt,
            follows=run,
            connection=run.connection,
            **{name: getattr(run, name) for name in INHERITED},
        )
    else:
        planned.prompt = f"{planned.prompt}\n{lines}"
        planned.save(update_fields=["prompt"])
    ToolCall.objects.filter(run=run, call_id__in=list(told)).update(follow_up=planned)
    return planned


def note(run: Run) -> bool:
    """True once for each thing that the run comes to: a wait on so many calls, or its end."""
    before, seen = run.noted, f"{run.status} {run.calls.count()}"
    run.noted = seen
    return before != seen and bool(Run.objects.filter(pk=run.pk, noted=before).update(noted=seen))


def alert(run: Run, why: str) -> bool:
    """Something that a person should look at; empty: no more. True if that is new."""
    why = why[:1000]
    is_new = Run.objects.filter(pk=run.pk).exclude(alert=why).update(alert=why)
    run.alert = why
    return bool(is_new)
