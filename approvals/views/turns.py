"""What led to a message: the mail before it, and what its run said and called, in order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from approvals.models import ConversationThread, OutboundMessage
from approvals.states import Status
from assistants.models import Run, ToolCall
from audit.log import storable
from mailboxes.models import Email

MAIL_SHOWN = 8
ARGUMENT_SHOWN = 80  # characters


@dataclass(slots=True)
class Turn:
    at: datetime
    kind: str  # mail, said or call
    who: str
    text: str = ""
    email: Email | None = None
    is_open: bool = False
    call: ToolCall | None = None
    arguments: str = ""
    output: str = ""
    waits: bool = False


def leading_to(message: OutboundMessage, run: Run | None, calls: Iterable[ToolCall]) -> list[Turn]:
    turns = _mail(message) + _call_turns(calls, message)
    if run:
        turns += said(run, before=message.email.created_at)
    return sorted(turns, key=lambda turn: turn.at)


def _mail(message: OutboundMessage) -> list[Turn]:
    """The newest inbound stands open."""
    email = message.email
    earlier = Email.objects.filter(conversation=email.conversation_id, pk__lt=email.pk).exclude(
        outbound__status__in=(Status.REJECTED, Status.CANCELLED, Status.EXPIRED, Status.SUPERSEDED)
    )
    emails = list(earlier.defer("html").order_by("-pk")[:MAIL_SHOWN])
    newest = next((e.pk for e in emails if e.is_inbound), "")
    return [
        Turn(e.created_at, "mail", e.from_name or e.from_address, e.text, email=e, is_open=e.pk == newest)
        for e in emails
    ]


def said(run: Run, before: datetime | None = None) -> list[Turn]:
    turns = [
        Turn(
            _moment(entry.get("at")) or run.created_at, "said", str(entry.get("role", "")), str(entry["text"])
        )
        for entry in run.transcript
        if entry.get("text")
    ]
    return [turn for turn in turns if before is None or turn.at <= before]


def threads_of(email: Email) -> list[ConversationThread]:
    """Where its conversation goes on, one for each assistant; mail of a run names its thread itself."""
    if email.thread_id:
        return []
    found = ConversationThread.objects.filter(conversation=email.conversation_id)
    return list(found.select_related("assistant").order_by("pk")[:5])


def _call_turns(calls: Iterable[ToolCall], message: OutboundMessage | None = None) -> list[Turn]:
    waiting_for = message.email.tool_call_id if message else ""
    return [
        Turn(
            call.created_at,
            "call",
            "assistant",
            call=call,
            arguments=summary(call.arguments),
            output=summary(call.output or ""),
            waits=bool(message) and call.call_id == waiting_for,
        )
        for call in calls
    ]


def _moment(value: Any) -> datetime | None:
    """A transcript's time: ISO text, or the seconds that the protocol uses."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at if timezone.is_aware(at) else at.replace(tzinfo=UTC)


def summary(text: str) -> str:
    """JSON in one short line: `to: a@b.test, subject: Re: …`."""
    value = loaded(text)
    if isinstance(value, dict):
        parts = [
            f"{name}: {_flat(inner)}" for name, inner in value.items() if inner not in ("", None, [], {})
        ]
        return _cut(", ".join(parts), 2 * ARGUMENT_SHOWN)
    return _cut(_flat(value), 2 * ARGUMENT_SHOWN)


def loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _flat(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return _cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), ARGUMENT_SHOWN)


def _cut(text: str, length: int) -> str:
    text = " ".join(storable(text).split())  # half a character cannot be shown
    return text if len(text) <= length else f"{text[: length - 1]}…"
