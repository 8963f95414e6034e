"""Raw bytes from a stranger to a parsed message, and to the conversation it belongs to."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from mailboxes import addressing, auth_results, parse_pool, parsing, receipts, render_html
from mailboxes.auth_results import AuthResult
from mailboxes.envelope import normalize_address
from mailboxes.models import Conversation, Email, Mailbox
from mailboxes.parse_worker import REPORTS, WHOLE
from mailboxes.receipts import Report

SECONDS = 10.0
_SAME_SUBJECT = timedelta(days=30)
_LATELY = 200
_PREFIX = re.compile(
    r"^\s*(?:\[[^\]]{0,40}\]\s*)?(?:re|aw|fwd?|wg|sv|vs|antw|rv|tr)\s{0,3}(?:\[\d+\]|\(\d+\))?\s{0,3}:\s*",
    re.IGNORECASE,
)


class Unparseable(Exception):
    """With a sentence. The raw bytes are kept all the same."""


@dataclass(frozen=True)
class Parsed:
    """Addresses are bare and valid, or ""; texts hold no NUL and no lone surrogate; `html` is as it came."""

    from_address: str
    from_name: str
    reply_to: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    text: str
    html: str
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    attachments: tuple[dict[str, Any], ...]
    marks: Mapping[str, list[str]] = field(default_factory=dict)
    auth_results: tuple[AuthResult, ...] = ()


def parse(data: bytes, *, seconds: float = SECONDS) -> Parsed:
    try:
        parsing.check_limits(data, settings.MAX_MESSAGE_BYTES)
    except parsing.TooComplex as error:
        raise Unparseable(str(error)) from None
    found = _run_worker(data, seconds)
    if "error" in found:
        raise Unparseable(str(found["error"]))
    sender = next((pair for pair in found["from_"] if _address(pair[1])), ["", ""])
    return Parsed(
        from_address=_address(sender[1]),
        from_name=sender[0],
        reply_to=next(iter(_bare(found["reply_to"])), ""),
        to=_bare(found["to"]),
        cc=_bare(found["cc"]),
        subject=found["subject"],
        text=found["text"],
        html=found["html"],
        message_id=found["message_id"],
        in_reply_to=found["in_reply_to"],
        references=tuple(found["references"]),
        attachments=tuple(found["attachments"]),
        marks=found["marks"],
        auth_results=tuple(auth_results.read(found["auth_results"], settings.TRUSTED_AUTHSERV_IDS)),
    )


def attachment(data: bytes, number: int, *, seconds: float = SECONDS) -> bytes:
    """The file at this place among the attachments that `parse` listed; within the same limits."""
    found = _run_worker(data, seconds, number)
    if "error" in found:
        raise Unparseable(str(found["error"]))
    return base64.b64decode(found["content_base64"])


def reports(envelope_from: str, data: bytes, *, seconds: float = SECONDS) -> list[Report]:
    """What it says became of other mail; nothing for all that is no report."""
    if not receipts.may_report(envelope_from, data):
        return []
    found = _run_worker(data, seconds, REPORTS).get("reports", [])
    return [_report(one) for one in found]


def _report(fields: dict[str, Any]) -> Report:
    at = datetime.fromisoformat(fields["at"]) if fields["at"] else None
    lists = {name: tuple(fields[name]) for name in ("message_ids", "handles")}
    return Report(**fields | {"at": at} | lists)


def find_conversation(mailbox: Mailbox, parsed: Parsed, envelope_to: str = "") -> Conversation | None:
    """By the ids it refers to, the nearest first; else by a reply address of ours; else by its subject.

    By the subject only with the same person, and lately.
    """
    named = [one for one in (parsed.in_reply_to, *reversed(parsed.references)) if one]
    referred = Email.objects.filter(mailbox=mailbox, message_id__in=named)
    known = dict(referred.values_list("message_id", "conversation")) if named else {}
    for message_id in named:
        if message_id in known:
            return Conversation.objects.get(pk=known[message_id])
    named_by = addressing.named_conversation(mailbox, [envelope_to, *parsed.to, *parsed.cc])
    return named_by or _by_subject(mailbox, parsed)


def normalize_subject(subject: str) -> str:
    """Without the marks of replying and forwarding, in one case and one spacing."""
    for _ in range(20):
        shorter = _PREFIX.sub("", subject, count=1)
        if shorter == subject:
            break
        subject = shorter
    return " ".join(subject.split()).casefold()


def render_inbound(html: str) -> str:
    """A safe document for the sandboxed frame; what the sender hid is marked."""
    return render_html.document(html)


def _by_subject(mailbox: Mailbox, parsed: Parsed) -> Conversation | None:
    subject = normalize_subject(parsed.subject)
    if not subject or not parsed.from_address:
        return None
    since = timezone.now() - _SAME_SUBJECT
    recent = Email.objects.filter(
        mailbox=mailbox, correspondents__address=parsed.from_address.lower(), created_at__gte=since
    )
    # the newest only: somebody may have written thousands
    lately = recent.order_by("-id").values_list("conversation", "conversation__subject")[:_LATELY]
    for conversation, told in lately:
        if normalize_subject(told) == subject:
            return Conversation.objects.get(pk=conversation)
    return None


def _run_worker(data: bytes, seconds: float, asked: int = WHOLE) -> dict[str, Any]:
    """In a process of its own: nothing that a message does there can reach this one, not even by memory."""
    try:
        try:
            return parse_pool.pool.ask(data, seconds=seconds, asked=asked)
        except parse_pool.Broken:
            # one at rest may have ended since; a new one tells
            return parse_pool.pool.ask(data, seconds=seconds, asked=asked)
    except parse_pool.TooSlow:
        raise Unparseable(f"The message could not be read within {seconds:g} seconds.") from None


def _bare(pairs: list[list[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address for _, raw in pairs if (address := _address(raw))))


def _address(text: str) -> str:
    try:
        return normalize_address(text)
    except ValueError:
        return ""
