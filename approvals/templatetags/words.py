"""How addresses, ids, times and states are put on screen."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from approvals.actions.transitions import PAST
from approvals.states import Status
from approvals.templatetags.icons import icon
from assistants.models import Run
from audit.log import storable
from mailboxes.models import Email

if TYPE_CHECKING:
    from approvals.models import Decision, OutboundMessage

register = template.Library()

SHORT_ID = 12  # characters of an id that stay

# word, colour, shape: never colour alone
MESSAGE_STATES = {
    Status.PENDING: ("held", "w", "diamond"),
    Status.DEFERRED: ("deferred", "m", "clock"),
    Status.APPROVED: ("approved", "a", "check"),
    Status.SCHEDULED: ("scheduled", "a", "clock"),
    Status.SENDING: ("sending", "a", "arrow"),
    Status.SENT: ("sent", "g", "check-filled"),
    Status.REJECTED: ("rejected", "b", "cross-filled"),
    Status.EXPIRED: ("expired", "m", "clock"),
    Status.CANCELLED: ("cancelled", "m", "ban"),
    Status.SUPERSEDED: ("superseded", "m", "ban"),
    Status.FAILED: ("failed", "b", "cross"),
    Status.NEEDS_ATTENTION: ("needs attention", "w", "warning"),
}
I = Email.InboundStatus  # noqa: E741 - as in states.py
INBOUND_STATES = {
    I.PENDING: ("held", "w", "diamond"),
    I.UNREAD: ("received", "m", "tray"),
    I.READ: ("read", "m", "eye"),
    I.ARCHIVED: ("archived", "m", "tray"),
    I.DELETED: ("deleted", "m", "ban"),
    I.REJECTED: ("rejected", "b", "cross-filled"),
    I.EXPIRED: ("expired", "m", "clock"),
    I.SPAM_FLAGGED: ("spam?", "w", "warning"),
    I.SPAM_QUARANTINED: ("quarantined", "w", "ban"),
}
R = Run.Status
RUN_STATES = {
    R.STARTING: ("planned", "a", "clock"),
    R.QUEUED: ("queued", "a", "clock"),
    R.IN_PROGRESS: ("in progress", "a", "play"),
    R.REQUIRES_ACTION: ("waiting", "w", "diamond"),
    R.CANCELLING: ("cancelling", "m", "ban"),
    R.CANCELLED: ("cancelled", "m", "ban"),
    R.FAILED: ("failed", "b", "cross-filled"),
    R.COMPLETED: ("completed", "g", "check-filled"),
    R.INCOMPLETE: ("incomplete", "w", "warning"),
    R.EXPIRED: ("expired", "m", "clock"),
    R.GONE: ("gone", "b", "ban"),
}


def _state(found: tuple[str, str, str]) -> SafeString:
    word, colour, shape = found
    return format_html('<span class="st {}">{}{}</span>', colour, icon(shape), word)


@register.filter
def message_state(status: str) -> SafeString:
    return _state(MESSAGE_STATES[Status(status)])


@register.filter
def run_state(status: str) -> SafeString:
    return _state(RUN_STATES[R(status)])


@register.filter
def email_state(email: Email) -> SafeString:
    if email.is_inbound:
        return _state(INBOUND_STATES[I(email.inbound_status)])
    return message_state(email.outbound.status)


FATES = {
    "delivered": ("delivered", "check", "g"),
    "delayed": ("delayed", "clock", "w"),
    "bounced": ("bounced", "cross", "b"),
    "complained": ("called spam", "flag", "b"),
}


@register.filter
def fates(email: Email) -> list[SafeString]:
    """What was heard of it after it left: a chip for each kind, and for how many recipients."""
    if email.is_inbound:
        return []
    heard = {(receipt.kind, receipt.recipient) for receipt in email.receipts.all()}
    counts = Counter(kind for kind, _ in heard)
    return [_fate(kind, counts[kind]) for kind in FATES if counts[kind]]


def _fate(kind: str, count: int) -> SafeString:
    label, shape, colour = FATES[kind]
    times = f" ({count})" if count > 1 else ""
    return format_html('<span class="chip {}">{}{}{}</span>', colour, icon(shape), label, times)


@register.filter
def address(text: str) -> SafeString:
    """`user@` and the domain in bold: the part that says whose it is."""
    local, _, domain = text.rpartition("@")
    return format_html("<span>{}@</span><b>{}</b>", local, domain)


@register.filter
def breakable(text: str) -> SafeString:
    """An address that a narrow column breaks before its domain, not within a word."""
    local, _, domain = text.rpartition("@")
    return format_html("{}<wbr>@{}", local, domain)


@register.filter
def owner(message: OutboundMessage | None) -> str:
    """Whose message it is: an assistant's or an integration's; "" for mail that came in."""
    return str(message.assistant or message.integration or "") if message else ""


@register.filter
def last_decision(email: Email) -> Decision | None:
    """Of prefetched decisions, oldest first."""
    decisions = list(email.decisions.all() if email.is_inbound else email.outbound.decisions.all())
    return decisions[-1] if decisions else None


@register.filter
def past(decision: Decision) -> str:
    """Approve → Approved."""
    return PAST[type(decision).Verdict(decision.verdict)]


@register.filter
def local_part(text: str) -> str:
    return f"{text.rpartition('@')[0]}@"


@register.filter
def short(text: str) -> str:
    """An id that can be told from its neighbours: the prefix and the end."""
    if len(text) <= SHORT_ID + 2:
        return text
    prefix, _, rest = text.rpartition("_")
    return f"{prefix}_…{rest[-6:]}" if prefix else f"{text[:4]}…{text[-4:]}"


@register.filter
def fingerprint(digest: str) -> str:
    return f"{digest[:4]}…{digest[-4:]}" if digest else ""


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{int(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


@register.filter
def lasting(span: timedelta) -> str:
    """Of a pause, its two greatest units: `2 d 4 h`."""
    minutes = int(span.total_seconds() // 60)
    days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
    units = ((days, "d"), (hours, "h")) if days else ((hours, "h"), (rest, "min"))
    return " ".join(f"{count} {unit}" for count, unit in units if count) or "less than a minute"


def _exact(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %B %Y, %H:%M:%S} UTC"


def _time(at: datetime, text: str) -> SafeString:
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), _exact(at), text)


@register.filter
def waited(at: datetime | None) -> SafeString | str:
    """For how long: `5 min`."""
    return _time(at, _span((timezone.now() - at).total_seconds())) if at else ""


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    if at is None:
        return "never"
    seconds = (timezone.now() - at).total_seconds()
    return _time(at, "just now" if seconds < 10 else f"{_span(seconds)} ago")


@register.filter
def clock(at: datetime | None) -> SafeString | str:
    """Of today the time, else the day with it."""
    if at is None:
        return ""
    at = at.astimezone(UTC)
    today = at.date() == timezone.now().astimezone(UTC).date()
    return _time(at, f"{at:%H:%M}" if today else f"{at:%-d %b %H:%M}")


@register.filter
def to_the_second(at: datetime) -> SafeString:
    return _time(at, f"{at.astimezone(UTC):%H:%M:%S}")


@register.filter
def to_the_millisecond(at: datetime) -> SafeString:
    return _time(at, f"{at.astimezone(UTC):%H:%M:%S}.{at.microsecond // 1000:03d}")


@register.filter
def deadline(at: datetime | None) -> SafeString | str:
    if at is None:
        return ""
    seconds = (at - timezone.now()).total_seconds()
    if seconds <= 0:
        return format_html('<span class="due soon">{}</span>', _time(at, "overdue"))
    soon = seconds < 15 * 60
    return format_html(
        '<span class="due{}">{}</span>', " soon" if soon else "", _time(at, _span(seconds) + " left" * soon)
    )


@register.filter
def held_because(message: OutboundMessage) -> SafeString:
    """The server's own reasons as one sentence, the mailbox in bold and short."""
    said = " ".join(message.reasons) or "a person must look at it."
    said = re.sub(r"^Everything\b", "everything", said)
    whole = message.email.mailbox.address
    before, _, after = said.partition(whole)
    if not after:
        return format_html("Held because {}", said)
    return format_html('Held because {}<b title="{}">{}</b>{}', before, whole, local_part(whole), after)


SEVERITY = {"high": "b", "warn": "w", "info": ""}


@register.filter
def fact_chips(facts: Iterable[dict[str, Any]] | None, severities: str = "high,warn") -> SafeString:
    """The worst first; what is merely good to know stays in the case."""
    wanted = severities.split(",")
    shown = sorted(
        (f for f in facts or () if f["severity"] in wanted), key=lambda f: list(SEVERITY).index(f["severity"])
    )
    return format_html_join(
        "",
        '<span class="chip {}" title="{}">{}{}</span>',
        (
            (
                SEVERITY[f["severity"]],
                f["sentence"],
                icon("warning") if f["severity"] == "high" else "",
                f["label"],
            )
            for f in shown
        ),
    )


@register.filter
def size(count: int) -> str:
    return (
        f"{count} bytes"
        if count < 1000
        else f"{count / 1000:,.0f} kB"
        if count < 1_000_000
        else f"{count / 1e6:.1f} MB"
    )


@register.filter
def pretty(text: str) -> str:
    """JSON laid out; anything else as it is."""
    try:
        return str(storable(json.dumps(json.loads(text), indent=2, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return text


LONGEST_PART = 20_000  # characters


@register.filter
def shown_part(text: str) -> str:
    """As much of a long text as a page should carry."""
    if len(text) <= LONGEST_PART:
        return text
    return f"{text[:LONGEST_PART]}\n[{len(text) - LONGEST_PART:,} more characters are not shown here]"


@register.filter
def as_fields(text: str) -> list[tuple[str, str, bool]]:
    """A JSON object's members as (name, value, whether that is a text); [] for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(value, dict):
        return []
    return [(storable(name), _readable(inner), isinstance(inner, str)) for name, inner in value.items()]


def _readable(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return shown_part(str(storable(text)))


@register.filter
def as_json(value: Any) -> str:
    return shown_part(json.dumps(value, indent=2, ensure_ascii=False))
