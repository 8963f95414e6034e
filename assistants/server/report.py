"""Every change of a run of ours is seen by the rest of the project in the transaction that makes it."""

from __future__ import annotations

from django.utils import timezone

from assistants.observe import SeenCall, Snapshot, observe
from assistants.server.models import Run, Step

TRANSCRIPT = 200  # messages, the newest


def report(run: Run) -> None:
    open_steps = run.steps.filter(type=Step.Type.CALLS, status=Step.Status.IN_PROGRESS)
    calls = [call for step in open_steps for call in step.calls]
    newest = run.thread.messages.order_by("-seq")[:TRANSCRIPT]
    observe(
        run.owner,
        run.made_by,
        Snapshot(
            run_id=run.id,
            thread_id=run.thread.id,
            remote_assistant_id=run.assistant_id,
            status=run.status,
            calls=[SeenCall(call["id"], call["name"], call["arguments"]) for call in calls],
            transcript=[
                {"role": one.role, "text": one.text, "at": one.created_at.isoformat()}
                for one in reversed(newest)
            ],
            last_error=run.last_error["message"] if run.last_error else "",
            metadata=run.metadata,
        ),
    )


def end(run: Run, status: Run.Status) -> None:
    """The fields of a run that has ended, and of what it left open; the caller saves the run."""
    run.status, run.ended_at = status, timezone.now()
    run.steps.filter(status=Step.Status.IN_PROGRESS).update(
        status=Step.Status.CANCELLED, ended_at=run.ended_at
    )
