"""Every change of a run of ours is seen, in the transaction that makes it, by the rest of the project and
by whoever streams it.
"""

from __future__ import annotations

from assistants.observe import SeenCall, Snapshot, observe
from assistants.server import streams
from assistants.server.models import Run

TRANSCRIPT = 200  # messages, the newest


def report(run: Run, *, said: bool = True) -> None:
    """`said`: since the last report, somebody may have said something in the run's thread."""
    streams.emit_run(run)
    newest = run.thread.messages.written().order_by("-seq")[:TRANSCRIPT] if said else ()
    observe(
        run.owner,
        run.made_by,
        Snapshot(
            run_id=run.id,
            thread_id=run.thread.id,
            remote_assistant_id=run.assistant_id,
            status=run.status,
            calls=_open_calls(run),
            transcript=[
                {"role": one.role, "text": one.text, "at": one.created_at.isoformat()}
                for one in reversed(newest)
            ],
            last_error=run.last_error["message"] if run.last_error else "",
            metadata=run.metadata,
            expires_at=run.expires_at,
        ),
    )


def _open_calls(run: Run) -> list[SeenCall]:
    if run.status != Run.Status.REQUIRES_ACTION:
        return []
    return [SeenCall(call["id"], call["name"], call["arguments"]) for call in run.open_step.calls]
