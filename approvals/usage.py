"""How much was sent, received and decided: counted from what is on record, by indexes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, DateField, QuerySet, Sum
from django.db.models.functions import Length, Trunc
from django.utils import timezone

from approvals.models import Decision, OutboundMessage
from approvals.states import Status
from assistants.models import ApiKey
from audit.ids import first_id
from audit.models import Event
from mailboxes.models import Email, Mailbox, RawMessage, Revision

LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Period:
    start: datetime
    end: datetime


def period(start: int | None = None, end: int | None = None) -> Period:
    """From milliseconds since 1970; this month until now unless said otherwise, and a year at most."""
    until = _moment(end) if end is not None else timezone.now()
    since = (
        _moment(start)
        if start is not None
        else until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    )
    return Period(max(since, until - LONGEST), until)


def _moment(milliseconds: int) -> datetime:
    latest = datetime.max.replace(tzinfo=UTC)
    return datetime.fromtimestamp(min(milliseconds / 1000, latest.timestamp() - 1), UTC)


def sent(at: Period) -> QuerySet[OutboundMessage]:
    found = OutboundMessage.objects.filter(status=Status.SENT, copy_of=None)
    return found.filter(status_changed_at__gte=at.start, status_changed_at__lt=at.end)


def received(at: Period) -> QuerySet[Email]:
    # ids begin with the time and are indexed; the column is not
    return Email.objects.inbound().filter(pk__gte=first_id("em", at.start), pk__lt=first_id("em", at.end))


def decided(at: Period) -> QuerySet[Decision]:
    by_somebody = Decision.objects.exclude(by=None, by_key=None)
    return by_somebody.filter(pk__gte=first_id("dec", at.start), pk__lt=first_id("dec", at.end))


def called(at: Period) -> QuerySet[Event]:
    """Calls that did something; reading leaves no trace."""
    return Event.objects.filter(at__gte=at.start, at__lt=at.end, actor__startswith="key:")


def _bounds(at: Period) -> dict[str, int]:
    return {"from": int(at.start.timestamp() * 1000), "to": int(at.end.timestamp() * 1000)}


def summary(key: ApiKey, at: Period) -> dict[str, int]:
    within = Mailbox.objects.visible_to(key).values("pk")
    return {
        **_bounds(at),
        "emails_sent": sent(at).filter(email__mailbox__in=within).count(),
        "emails_received": received(at).filter(mailbox__in=within).count(),
        "api_calls": called(at).filter(mailbox_id__in=within).count(),
        "oversight_actions": decided(at).filter(message__email__mailbox__in=within).count(),
    }


def daily(key: ApiKey, at: Period) -> dict[str, Any]:
    """`data`: one {date, event_type, count} for each day and kind of which there was any."""
    within = Mailbox.objects.visible_to(key).values("pk")
    counted = (
        ("email_sent", _by_day(sent(at).filter(email__mailbox__in=within), "status_changed_at")),
        ("email_received", _by_day(received(at).filter(mailbox__in=within), "created_at")),
        ("oversight_action", _by_day(decided(at).filter(message__email__mailbox__in=within), "at")),
    )
    found = [{"date": day, "event_type": kind, "count": many} for kind, days in counted for day, many in days]
    found.sort(key=lambda one: (one["date"], one["event_type"]))
    return {**_bounds(at), "breakdown": "daily", "data": found}


def _by_day(rows: QuerySet[Any], moment: str) -> Iterable[tuple[str, int]]:
    day = Trunc(moment, "day", output_field=DateField(), tzinfo=UTC)
    counted = rows.order_by().annotate(day=day).values("day").annotate(many=Count("pk"))
    return [(one["day"].isoformat(), one["many"]) for one in counted]


def sent_this_month() -> int:
    return sent(period()).count()


def stored_bytes() -> int:
    """Of mail as it came and as it was frozen."""
    kept = (
        RawMessage.objects.aggregate(n=Sum(Length("data"))),
        Revision.objects.aggregate(n=Sum(Length("frozen"))),
    )
    return sum(one["n"] or 0 for one in kept)
