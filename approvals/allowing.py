"""What an entry on the allowlist lets pass, told from what was sent lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from approvals import policy
from approvals.models import OutboundMessage
from approvals.states import Status
from audit.ids import first_id
from mailboxes.models import AllowlistEntry, Mailbox, OversightMode, Revision

LATELY = timedelta(days=30)
# as many of the newest are looked at, so that a busy mailbox costs no more
MOST = 2000


@dataclass(frozen=True, slots=True)
class Send:
    pk: str
    subject: str
    at: datetime
    status: Status
    revision: int
    # without those that the mailbox's settings added, which the allowlist does not ask about
    recipients: tuple[str, ...]


def _sends(messages: QuerySet[OutboundMessage]) -> list[tuple[str, Send]]:
    """(mailbox, send), the newest first; as the assistant wrote it first."""
    since = first_id("em", timezone.now() - LATELY)
    first = Revision.objects.filter(email=OuterRef("pk"), number=1)
    found = messages.filter(pk__gte=since, copy_of=None).annotate(
        to=Subquery(first.values("recipients")[:1]), added=Subquery(first.values("added_recipients")[:1])
    )
    rows = found.order_by("-pk").values_list(
        "email__mailbox_id", "pk", "email__subject", "email__created_at", "status", "revision", "to", "added"
    )[:MOST]
    return [
        (mailbox, Send(pk, subject, at, Status(status), revision, _own(to, added)))
        for mailbox, pk, subject, at, status, revision, to, added in rows
    ]


def _own(to: list[str], added: list[str]) -> tuple[str, ...]:
    return tuple(one for one in to if one not in added)


def would_pass(mailbox: Mailbox, pattern: str) -> tuple[list[Send], int]:
    """What was held and would have left unread with `pattern` on the list; and how many were held."""
    held = [
        send for _, send in _sends(OutboundMessage.objects.filter(email__mailbox=mailbox, released_mode=""))
    ]
    patterns = (*mailbox.allowlist.values_list("pattern", flat=True), pattern)
    oversight = policy.Oversight(mailbox=mailbox.address, mode=OversightMode.GATED_SEND, allowlist=patterns)
    released = policy.Verdict.RELEASE
    return [send for send in held if policy.rule(send.recipients, oversight).verdict == released], len(held)


def sends_to(entries: Iterable[AllowlistEntry]) -> Counter[str]:
    """How many went to each lately, by the entry's id."""
    listed = list(entries)
    boxes = {entry.mailbox_id for entry in listed}
    counted: Counter[str] = Counter()
    for mailbox, send in _sends(OutboundMessage.objects.filter(email__mailbox__in=boxes, status=Status.SENT)):
        for entry in listed:
            if entry.mailbox_id == mailbox and any(
                policy.matches(entry.pattern, to) for to in send.recipients
            ):
                counted[entry.pk] += 1
    return counted
