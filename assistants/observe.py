"""Keep what was seen of a run: Run and ToolCall rows from a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from assistants.models import Assistant, Run, ToolCall
from audit import nudge

SYNC = "approvals.tasks.sync_runs"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment, in the protocol's own ids. `calls` are (call_id, name, arguments)."""

    run_id: str
    thread_id: str
    remote_assistant_id: str
    status: str
    calls: Sequence[tuple[str, str, str]] = ()
    transcript: Sequence[Mapping[str, Any]] = ()
    last_error: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def observe(assistant: Assistant, driver: Run.Driver, seen: Snapshot) -> Run:
    """Upsert the run and its calls. Outputs that we owe are never overwritten."""
    with transaction.atomic():
        run = _find(assistant, driver, seen)
        changed = run.status != seen.status
        _keep(run, seen)
        if changed and (run.has_ended or run.status == Run.Status.REQUIRES_ACTION):
            Run.objects.filter(pk=run.pk).update(sync_due_at=timezone.now())
            nudge.on_commit(SYNC)
    return run


def _find(assistant: Assistant, driver: Run.Driver, seen: Snapshot) -> Run:
    runs = Run.objects.select_for_update().select_related("assistant", "connection")
    found = runs.filter(assistant=assistant, run_id=seen.run_id).first()
    planned = seen.metadata.get("counterseal_run")
    if found is None and planned and driver == Run.Driver.COUNTERSEAL:
        found = runs.filter(assistant=assistant, pk=planned, run_id="").first()
    return found or Run(assistant=assistant, connection=assistant.connection, driver=driver)


def _keep(run: Run, seen: Snapshot) -> None:
    now = timezone.now()
    run.run_id, run.thread_id = seen.run_id, seen.thread_id
    run.remote_assistant_id = seen.remote_assistant_id
    run.status, run.last_error = seen.status, seen.last_error[:1000]
    run.mailbox_id = run.mailbox_id or seen.metadata.get("mailbox_id", "")[:40]
    run.email_id = run.email_id or seen.metadata.get("email_id", "")[:40]
    run.transcript = list(seen.transcript) or run.transcript
    run.updated_at = now
    run.ended_at = (run.ended_at or now) if run.has_ended else None
    run.save()
    for position, (call_id, name, arguments) in enumerate(seen.calls):
        ToolCall.objects.get_or_create(
            run=run, call_id=call_id, defaults={"name": name, "arguments": arguments, "position": position}
        )
