"""The end of a run: what it left open ends with it."""

from __future__ import annotations

from django.utils import timezone

from assistants.server import streams
from assistants.server.bodies import written
from assistants.server.models import Message, Run, Step
from assistants.server.report import report

# by the run's end: that of a step that was still open, and why its message is incomplete
OPEN_STEPS = {
    Run.Status.CANCELLED: (Step.Status.CANCELLED, "run_cancelled"),
    Run.Status.EXPIRED: (Step.Status.EXPIRED, "run_expired"),
}
ELSE = (Step.Status.FAILED, "run_failed")
STEP_ERRORS = ("server_error", "rate_limit_exceeded")
UNFINISHED = {"code": "server_error", "message": "The model did not finish this step."}


def end(run: Run, status: Run.Status, **changes: object) -> None:
    """End a run whose row this transaction has locked."""
    changes |= {"status": status, "ended_at": timezone.now(), "leased_by": ""}
    for name, value in changes.items():
        setattr(run, name, value)
    run.save(update_fields=changes)
    close_steps(run)
    report(run)


def close_steps(run: Run, *, but: Step | None = None) -> None:
    """Close what is still open, in the way in which the run has ended; or what an attempt left behind."""
    status, reason = OPEN_STEPS.get(Run.Status(run.status), ELSE)
    for step in run.steps.filter(status=Step.Status.IN_PROGRESS).order_by("seq"):
        if but is None or step.pk != but.pk:
            step.run = run
            _break_off(step, reason)
            _close(step, status)


def _break_off(step: Step, reason: str) -> None:
    message = Message.objects.filter(id=step.message_id, status=Message.Status.IN_PROGRESS).first()
    if message is None:
        return
    message.thread, message.run = step.run.thread, step.run
    message.content = [written(streams.shown(step.run, message))]
    message.status, message.incomplete_reason = Message.Status.INCOMPLETE, reason
    message.ended_at = timezone.now()
    message.save(update_fields=["content", "status", "incomplete_reason", "ended_at"])
    streams.emit_message(step.run, message)


def _close(step: Step, status: Step.Status) -> None:
    step.status, step.ended_at = status, timezone.now()
    if status == Step.Status.FAILED:
        error = step.run.last_error or UNFINISHED
        code = error["code"] if error["code"] in STEP_ERRORS else "server_error"
        step.last_error = {"code": code, "message": error["message"]}
    step.save(update_fields=["status", "ended_at", "last_error"])
    streams.emit_step(step)
