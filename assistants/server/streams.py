"""What happens to a run, as server-sent events for whoever streams it. The writing side: see tail.py."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from assistants.server import objects, tail
from assistants.server.models import Message, Run, Step, StreamEvent

Json = dict[str, Any]

KEPT = timedelta(hours=1)  # longer than anybody comes again to read the same stretch of a run


def begin(run: Run) -> None:
    """From here on, somebody streams the run; the caller saves it."""
    run.stream_after = run.events.aggregate(newest=Max("seq"))["newest"] or 0


def emit(run: Run, name: str, data: Json) -> None:
    """Note an event, if somebody streams the run.

    The caller has locked the run's row in its transaction, so that a run's events commit in the order
    of their numbers, which a reader relies on.
    """
    if run.stream_after is None:
        return
    # ASCII: some clients take a line separator within the text for the end of the line
    StreamEvent.objects.create(run=run, name=name, data=json.dumps(data, separators=(",", ":")))
    transaction.on_commit(partial(tail.pulse, run.pk))


def emit_run(run: Run, status: str = "") -> None:
    if run.stream_after is not None:
        emit(run, f"thread.run.{status or run.status}", objects.run(run))


def emit_step(step: Step, status: str = "") -> None:
    if step.run.stream_after is not None:
        emit(step.run, f"thread.run.step.{status or step.status}", objects.step(step))


def emit_message(run: Run, message: Message, status: str = "") -> None:
    if run.stream_after is not None:
        emit(run, f"thread.message.{status or message.status}", objects.message(message))


def emit_text(run: Run, message: Message, text: str) -> None:
    part = {"index": 0, "type": "text", "text": {"value": text, "annotations": []}}
    emit(
        run,
        "thread.message.delta",
        {"id": message.id, "object": "thread.message.delta", "delta": {"content": [part]}},
    )


def emit_calls(step: Step, calls: list[Json]) -> None:
    details = {"type": "tool_calls", "tool_calls": calls}
    emit(
        step.run,
        "thread.run.step.delta",
        {"id": step.id, "object": "thread.run.step.delta", "delta": {"step_details": details}},
    )


def shown(run: Run, message: Message) -> str:
    """The text of a message that nobody finished, as far as its deltas have told it."""
    text = ""
    named = run.events.filter(name__in=("thread.message.created", "thread.message.delta"))
    for event in named.order_by("seq"):
        data = json.loads(event.data)
        if data["id"] == message.id:
            delta = data.get("delta")
            text = text + delta["content"][0]["text"]["value"] if delta else ""
    return text


def sweep() -> int:
    old = StreamEvent.objects.filter(created_at__lt=timezone.now() - KEPT)
    # asked first: to delete nothing would still take the one lock for writing
    return old.delete()[0] if old.exists() else 0
