"""Usage for people: per day, per mailbox and per assistant, of all that the viewer reaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, DateField, QuerySet
from django.db.models.functions import Coalesce, Trunc
from django.utils import timezone

from approvals import usage
from approvals.models import OutboundMessage, User
from approvals.usage import LONGEST, Period
from assistants.models import Assistant
from audit.ids import first_id
from mailboxes.models import Mailbox

PERIODS = {"7d": ("7 days", 7), "30d": ("30 days", 30), "90d": ("90 days", 90), "12m": ("12 months", 365)}
USUAL = "30d"


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that is counted, and which of its columns say when, where and for whom."""

    label: str
    meaning: str
    rows: Callable[[Period], QuerySet[Any]]
    moment: str
    mailbox: str
    assistant: str = ""


def _held(at: Period) -> QuerySet[OutboundMessage]:
    """What the policy let through by itself is not among them."""
    found = OutboundMessage.objects.filter(copy_of=None, released_mode="")
    return found.filter(pk__gte=first_id("em", at.start), pk__lt=first_id("em", at.end))


def _decided(at: Period) -> QuerySet[Any]:
    return usage.decided(at).annotate(box=Coalesce("message__email__mailbox", "inbound__mailbox"))


OUT = ("email__mailbox", "assistant")
KINDS = {
    "sent": Kind("Sent", "taken by a mail server", usage.sent, "status_changed_at", *OUT),
    "received": Kind("Received", "came in, spam too", usage.received, "created_at", "mailbox"),
    "held": Kind("Held", "waited for a person", _held, "email__created_at", *OUT),
    "decisions": Kind("Decisions", "by people and keys", _decided, "at", "box", "message__assistant"),
    "api_calls": Kind("API calls", "that did something", usage.called, "at", "mailbox_id", "assistant_id"),
}


@dataclass(frozen=True, slots=True)
class Span:
    """Whole days, in UTC."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]

    @property
    def period(self) -> Period:
        start = datetime.combine(self.first, time.min, UTC)
        return Period(start, datetime.combine(self.last, time.min, UTC) + timedelta(days=1))


def span(days: int) -> Span:
    today = timezone.now().date()
    return Span(today - timedelta(days=days - 1), today)


def between(first: str, last: str) -> Span:
    """Raises ValueError with a sentence."""
    try:
        found = Span(date.fromisoformat(first), date.fromisoformat(last) if last else timezone.now().date())
    except ValueError:
        raise ValueError("Write both days like 2026-11-30.") from None
    if found.last < found.first:
        raise ValueError("The last day is before the first.")
    if found.last - found.first >= LONGEST:
        raise ValueError("At most a year can be shown at once.")
    return found


Row = tuple[str, dict[str, int]]


def by_day(viewer: User, over: Span) -> list[Row]:
    """Every day, also those on which nothing was."""
    counted: dict[str, dict[str, int]] = {day.isoformat(): dict.fromkeys(KINDS, 0) for day in over.days}
    for name, kind in KINDS.items():
        day = Trunc(kind.moment, "day", output_field=DateField(), tzinfo=UTC)
        for at, many in _counted(viewer, over, kind, day=day):
            if at.isoformat() in counted:
                counted[at.isoformat()][name] = many
    return list(counted.items())


def _counted(viewer: User, over: Span, kind: Kind, **group: Any) -> list[tuple[Any, int]]:
    found = kind.rows(over.period).filter(viewer.mailbox_reach(kind.mailbox)).order_by()
    name = next(iter(group))
    return list(found.annotate(**group).values(name).annotate(many=Count("pk")).values_list(name, "many"))


def by_mailbox(viewer: User, over: Span) -> list[Row]:
    """By address, and at the end what concerned no mailbox."""
    names = dict(Mailbox.objects.visible_to(viewer).order_by("address").values_list("pk", "address"))
    return _by(viewer, over, names, "mailbox", "no mailbox")


def by_assistant(viewer: User, over: Span) -> list[Row]:
    """By name, and at the end what no assistant had a part in."""
    names = dict(Assistant.objects.visible_to(viewer).order_by("name").values_list("pk", "name"))
    return _by(viewer, over, names, "assistant", "programs and people")


def _by(viewer: User, over: Span, names: dict[str, str], column: str, other: str) -> list[Row]:
    counted = {pk: dict.fromkeys(KINDS, 0) for pk in [*names, ""]}
    for name, kind in KINDS.items():
        if not (field := getattr(kind, column)):
            continue
        for pk, many in _grouped(viewer, over, kind, field):
            counted[pk if pk in names else ""][name] += many
    rows = [(names.get(pk, other), row) for pk, row in counted.items()]
    return [(label, row) for label, row in rows if label != other or any(row.values())]


def _grouped(viewer: User, over: Span, kind: Kind, field: str) -> list[tuple[Any, int]]:
    found = kind.rows(over.period).filter(viewer.mailbox_reach(kind.mailbox)).order_by()
    return list(found.values(field).annotate(many=Count("pk")).values_list(field, "many"))
