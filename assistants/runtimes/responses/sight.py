"""A run over Responses as a snapshot: from the newest response that we know, and the items of its thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.utils import timezone
from openai.types.responses import Response

from assistants.models import Run
from assistants.observe import OWN_ROW, SeenCall, Snapshot
from assistants.runtimes.responses import items
from assistants.runtimes.responses.items import Item

Status = Run.Status


def is_running(response: Response) -> bool:
    return response.status in ("queued", "in_progress")


def of_running(run: Run, response: Response, given: Iterable[Item]) -> Snapshot:
    """`given`: what the response was asked with."""
    return _snapshot(run, response, str(response.status), shown=items.outputs(given))


def of_response(run: Run, response: Response, own: Sequence[Item]) -> Snapshot:
    """`own`: the run's items in the thread, oldest first, as far as they show."""
    shown = items.outputs(own)
    words = items.said(own)
    words += [one for one in items.said(response.output) if one not in words]
    asked = items.open_calls(response.output, shown)
    status = str(response.status or Status.COMPLETED)
    if status == Status.COMPLETED and asked:
        status = Status.REQUIRES_ACTION
    elif status == Status.COMPLETED and items.open_calls(response.output, {}):
        # all of its calls are answered, so there is a newer response, which we don't know
        status, asked = _state(own)
    return _snapshot(run, response, status, asked, shown, words)


def of_items(run: Run, own: Sequence[Item]) -> Snapshot:
    """Of a run whose newest response we don't know, or which is stored no more."""
    status, asked = _state(own)
    return _snapshot(run, None, status, asked, items.outputs(own), items.said(own), first_id=own[0].id)


def _state(own: Sequence[Item]) -> tuple[str, list[SeenCall]]:
    asked = items.open_calls(own, items.outputs(own))
    if asked:
        return Status.REQUIRES_ACTION, asked
    return (Status.IN_PROGRESS if items.is_unanswered(own) else Status.COMPLETED), []


def _snapshot(
    run: Run,
    response: Response | None,
    status: str,
    calls: Sequence[SeenCall] = (),
    shown: dict[str, str] | None = None,
    words: Sequence[tuple[str, str]] = (),
    first_id: str = "",
) -> Snapshot:
    return Snapshot(
        run_id=run.run_id or (response.id if response else first_id),
        thread_id=run.thread_id,
        remote_assistant_id="",
        status=status,
        calls=calls,
        transcript=_transcript(run, words, _moment(response)),
        last_error=_error(response),
        metadata=_metadata(run, response),
        outputs=shown or {},
        # later ones are noted by submit, which may have asked anew since this was read
        latest_id=response.id if response and not run.latest_id else "",
    )


def _metadata(run: Run, response: Response | None) -> dict[str, str]:
    """Where we are not its driver yet, its server alone knows which of our runs it is, if any."""
    if run.driver == Run.Driver.COUNTERSEAL:
        return {OWN_ROW: run.pk}
    return dict(response.metadata or {}) if response else {}


def _transcript(run: Run, words: Sequence[tuple[str, str]], at: str) -> list[dict[str, str]]:
    """What is known, and what came since. Items tell no time, so each has that of the look that found it."""
    known = [(entry["role"], entry["text"]) for entry in run.transcript]
    fresh = [] if known or not run.prompt else [("user", run.prompt)]
    seen = known + fresh
    for word in words:
        if word in seen:
            seen.remove(word)
        else:
            fresh.append(word)
    return [*run.transcript, *({"role": role, "text": text, "at": at} for role, text in fresh)]


def _moment(response: Response | None) -> str:
    seconds = response.completed_at if response else None
    return (datetime.fromtimestamp(seconds, UTC) if seconds else timezone.now()).isoformat()


def _error(response: Response | None) -> str:
    if response is None:
        return ""
    if response.error:
        return response.error.message
    reason = response.incomplete_details.reason if response.incomplete_details else None
    return f"The response is incomplete: {reason}." if reason else ""
