"""What we saw of a run, as rows of our own. Whoever serves the run, the rest knows no more of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.utils import timezone

from assistants.models import Assistant, Run, ToolCall
from audit import nudge
from audit.prepared import Change, Rows, Slot

# the metadata key under which a run that we start carries the id of our own row
OWN_ROW = "counterseal_run"
CONFLICT = "Somebody else answered calls of this run."


@dataclass(frozen=True, slots=True)
class SeenCall:
    call_id: str
    name: str
    arguments: str  # JSON text, as the model wrote it


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment, read off a server. `calls` are those open now; earlier ones may be left out."""

    run_id: str
    thread_id: str
    remote_assistant_id: str
    status: str
    calls: Sequence[SeenCall] = ()
    transcript: Sequence[Mapping[str, str]] = ()  # [{"role", "text", "at"}], oldest first
    last_error: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)  # those that it shows as accepted, by call id
    expires_at: datetime | None = None
    latest_id: str = ""  # where a run is a chain of requests: the newest

    @property
    def asked(self) -> frozenset[str]:
        """The calls whose outputs it waits for."""
        waits = self.status == Run.Status.REQUIRES_ACTION
        return frozenset(call.call_id for call in self.calls) if waits else frozenset()


def observe(assistant: Assistant, driver: str, snapshot: Snapshot, *, in_hand: bool = False) -> Run:
    """Upsert the run and its calls, never their outputs. `driver` counts for a run not seen before.

    The run becomes due when there is something new: to act on if we drive it, to note in the log if not.
    `in_hand`: whoever read it does that at once, and sets the next look.
    """
    with transaction.atomic():
        run = _find(assistant, driver, snapshot) or _new(assistant, driver, snapshot)
        moved = run.status != snapshot.status and not run.has_ended
        fresh = _add_calls(run, snapshot.calls)
        _give_away(run, snapshot)
        _update(run, snapshot, act=moved or fresh, in_hand=in_hand)
    return run


_seen = Rows(
    lambda: Run.objects.select_for_update().filter(assistant=Slot("assistant"), run_id=Slot("run_id"))
)


def _find(assistant: Assistant, driver: str, snapshot: Snapshot) -> Run | None:
    seen = _seen.first(assistant=assistant.pk, run_id=snapshot.run_id)
    if seen or driver != Run.Driver.COUNTERSEAL:
        return seen
    # one that our driver recorded before it asked the far side for it
    runs = Run.objects.select_for_update().filter(assistant=assistant)
    return runs.filter(pk=snapshot.metadata.get(OWN_ROW, ""), run_id="").first()


def _new(assistant: Assistant, driver: str, snapshot: Snapshot) -> Run:
    return Run.objects.create(
        assistant=assistant,
        connection=assistant.connection,
        driver=driver,
        run_id=snapshot.run_id,
        thread_id=snapshot.thread_id,
    )


def _add_calls(run: Run, calls: Sequence[SeenCall]) -> bool:
    """True if there was one that we had not seen."""
    if not calls:
        return False
    known = set(
        run.calls.filter(call_id__in=[call.call_id for call in calls]).values_list("call_id", flat=True)
    )
    fresh = [call for call in calls if call.call_id not in known]
    start = run.calls.count() if fresh else 0
    ToolCall.objects.bulk_create(
        ToolCall(
            run=run, call_id=call.call_id, name=call.name[:200], arguments=call.arguments, position=start + n
        )
        for n, call in enumerate(fresh)
    )
    return bool(fresh)


SEEN = ("status", "ended_at", "run_id", "thread_id", "remote_assistant_id", "last_error", "expires_at")
KEPT_BY_US = ("latest_id", "updated_at", "quiet_looks", "sync_due_at")


def _give_away(run: Run, snapshot: Snapshot) -> None:
    """Calls that wait for us while the run waits for others: somebody else has answered them.

    They must not hold up the outputs of those that it does wait for.
    """
    if not snapshot.asked or run.driver != Run.Driver.COUNTERSEAL:
        return
    waiting = run.calls.filter(output=None, settled="").exclude(call_id__in=snapshot.asked)
    waiting.update(settled=ToolCall.Settled.ELSEWHERE)


def _update(run: Run, snapshot: Snapshot, *, act: bool, in_hand: bool) -> None:
    now, changed = timezone.now(), [*SEEN, *KEPT_BY_US]
    # nobody tells us what becomes of it, so it is looked at from the start
    begins = not run.run_id and not (run.connection and run.connection.is_embedded)
    if not run.has_ended:
        run.status = snapshot.status
        run.ended_at = now if run.has_ended else None
    run.run_id, run.thread_id = snapshot.run_id, snapshot.thread_id
    run.remote_assistant_id = snapshot.remote_assistant_id
    if snapshot.transcript:
        run.transcript = [dict(entry) for entry in snapshot.transcript]
        changed.append("transcript")
    run.last_error = snapshot.last_error[:1000]  # also where ours said that it could not be read
    run.expires_at = snapshot.expires_at
    run.latest_id = snapshot.latest_id or run.latest_id
    run.updated_at = now
    if act:
        run.quiet_looks = 0
    if act and not in_hand and (begins or run.has_ended or run.status == Run.Status.REQUIRES_ACTION):
        run.sync_due_at = now
        nudge.on_commit("approvals.tasks.sync_runs")
    _writing(tuple(changed)).run(pk=run.pk, **{name: getattr(run, name) for name in changed})


@lru_cache
def _writing(names: tuple[str, ...]) -> Change:
    """Of few kinds, and on the way from each decision to its run."""
    fields: dict[str, Any] = {name: Run._meta.get_field(name) for name in names}
    slots = {name: Slot(name, field) for name, field in fields.items()}
    return Change(lambda: Run.objects.filter(pk=Slot("pk")), **slots)


def record_outputs(assistant: Assistant, run_id: str, outputs: Mapping[str, str]) -> None:
    """What a caller itself submitted for its run: kept where we have no output of our own.

    What our own driver submits it notes itself, with the event, once the far side has answered.
    """
    theirs = Run.objects.filter(assistant=assistant, run_id=run_id, driver=Run.Driver.CALLER).first()
    if theirs is None:
        return
    now, calls = timezone.now(), theirs.calls.all()
    for call_id, output in outputs.items():
        calls.filter(call_id=call_id, output=None).update(output=output, answered_at=now)
        calls.filter(call_id=call_id, submitted_at=None).update(
            submitted_at=now, settled=ToolCall.Settled.SUBMITTED
        )
