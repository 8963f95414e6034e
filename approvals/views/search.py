"""The send log's box: words, ids and filters, as text that can be bookmarked and taken apart again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Exists, OuterRef, Q

from approvals.models import Decision
from approvals.templatetags.words import INBOUND_STATES, MESSAGE_STATES
from mailboxes.models import Correspondent

TOKEN = re.compile(r'(?:(?P<key>[A-Za-z]+):)?(?P<value>"[^"]*"|\S+)')
ID = re.compile(r"(em|run|thread|call|asst|agt|rn)_\w+$")
SHOWN = ("assistant", "run", "thread", "call", "to", "from", "mailbox", "by", "status", "before", "after")
MOST = 20  # each is a condition of its own, and databases take only so many
WORDS = sorted({state[0] for state in (*MESSAGE_STATES.values(), *INBOUND_STATES.values())})


class BadFilter(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Filter:
    key: str  # "" for words
    value: str

    def __str__(self) -> str:
        value = f'"{self.value}"' if " " in self.value else self.value
        return f"{self.key}:{value}" if self.key else value


def parse(text: str) -> list[Filter]:
    filters = []
    for match in TOKEN.finditer(text):
        key, value = (match["key"] or "").lower(), match["value"].strip('"')
        if key and key not in CONDITIONS:
            key, value = "", match[0]
        if value:
            filters.append(Filter(key, value))
    return list(dict.fromkeys(filters))


def condition(one: Filter) -> Q:
    return CONDITIONS[one.key](one.value)


def _words(value: str) -> Q:
    if ID.match(value):
        names = (
            "pk",
            "run_id",
            "thread_id",
            "tool_call_id",
            "assistant_id",
            "outbound__run",
            "outbound__assistant",
        )
        found = Q()
        for name in names:
            found |= Q(**{name: value})
        return found
    if "@" in value:
        return _corresponds(value, list(Correspondent.Role))
    return Q(subject__icontains=value)


def _assistant(value: str) -> Q:
    named = Q(outbound__assistant__name__istartswith=value)
    return named | Q(assistant_id=value) | Q(outbound__assistant=value)


def _corresponds(value: str, roles: list[Correspondent.Role]) -> Q:
    rows = Correspondent.objects.filter(email=OuterRef("pk"), role__in=roles)
    value = value.removeprefix("*").lower()
    found = rows.filter(address__iendswith=value) if value.startswith("@") else rows.filter(address=value)
    return Q(Exists(found))


def _to(value: str) -> Q:
    role = Correspondent.Role
    return _corresponds(value, [role.TO, role.CC, role.BCC])


def _from(value: str) -> Q:
    return _corresponds(value, [Correspondent.Role.FROM])


def _by(value: str) -> Q:
    program = Q(by_key__integration__name__istartswith=value)
    rows = Decision.objects.filter(Q(by__email__istartswith=value) | program)
    return Q(Exists(rows.filter(message=OuterRef("pk")))) | Q(Exists(rows.filter(inbound=OuterRef("pk"))))


def _status(value: str) -> Q:
    value = value.lower().replace("_", " ")
    out = [
        status for status, state in MESSAGE_STATES.items() if value in (state[0], status.replace("_", " "))
    ]
    came = [
        status for status, state in INBOUND_STATES.items() if value in (state[0], status.replace("_", " "))
    ]
    if not out and not came:
        raise BadFilter(f"“{value}” is no status. There are: {', '.join(WORDS)}. Put two words into quotes.")
    return Q(outbound__status__in=out) | Q(inbound_status__in=came)


def _day(value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadFilter(f"“{value}” is no date. Write it like 2026-11-30.") from None


CONDITIONS: dict[str, Callable[[str], Q]] = {
    "": _words,
    "assistant": _assistant,
    "run": lambda value: Q(run_id=value) | Q(outbound__run=value),
    "thread": lambda value: Q(thread_id=value),
    "call": lambda value: Q(tool_call_id=value),
    "conversation": lambda value: Q(conversation=value),
    "to": _to,
    "from": _from,
    "mailbox": lambda value: Q(mailbox__address__istartswith=value) | Q(mailbox=value),
    "by": _by,
    "status": _status,
    "before": lambda value: Q(created_at__lt=_day(value)),
    "after": lambda value: Q(created_at__gte=_day(value)),
}
