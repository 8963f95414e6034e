"""The saved views of the review workspace: which messages stand in them, in what order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db.models import JSONField, OuterRef, Q, QuerySet, Subquery
from django.http import QueryDict

from approvals.models import OutboundMessage
from approvals.states import Status
from approvals.views import rail
from approvals.views.http import PAGE_SIZE
from mailboxes.models import Revision

if TYPE_CHECKING:
    from approvals.models import User


@dataclass(frozen=True, slots=True)
class Box:
    name: str
    title: str
    statuses: tuple[Status, ...]
    # never null for these statuses, so that it can carry the place in the list
    order: str
    empty: str
    empty_how: str


BOXES = {
    box.name: box
    for box in (
        Box(
            "queue",
            "waiting for a decision",
            rail.WAITING,
            "deadline_at",
            "Nothing waits for a decision",
            "When an assistant wants to send mail that a person must see first, it appears here by itself, "
            "the nearest deadline on top.",
        ),
        Box(
            "scheduled",
            "on their way",
            rail.ON_THEIR_WAY,
            "status_changed_at",
            "Nothing is on its way",
            "Approved mail stands here until the mail server has taken it, or until its time comes.",
        ),
        Box(
            "attention",
            "need attention",
            rail.IN_DOUBT,
            "status_changed_at",
            "Nothing needs attention",
            "A delivery that failed, or whose outcome is unknown, appears here for a person to settle. "
            "It is never sent again by itself.",
        ),
    )
}


def with_facts(found: QuerySet[OutboundMessage]) -> QuerySet[OutboundMessage]:
    """The facts of the current revision, without its bytes."""
    current = Revision.objects.filter(email=OuterRef("pk"), number=OuterRef("revision"))
    return found.annotate(facts=Subquery(current.values("facts")[:1], output_field=JSONField()))


class Listing:
    """One page of a box as this person sees it."""

    def __init__(self, box: Box, user: User, params: QueryDict) -> None:
        self.box, self.user = box, user
        self.mailbox_id = params.get("mailbox", "")
        self.after = params.get("after", "")
        rows = list(self._page()[: PAGE_SIZE + 1])
        self.has_more, self.rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]

    def _box(self) -> QuerySet[OutboundMessage]:
        return OutboundMessage.objects.visible_to(self.user).filter(status__in=self.box.statuses)

    def _found(self) -> QuerySet[OutboundMessage]:
        found = self._box().order_by(self.box.order, "pk")
        return found.filter(email__mailbox=self.mailbox_id) if self.mailbox_id else found

    def _page(self) -> QuerySet[OutboundMessage]:
        found = with_facts(self._found()).select_related("email__mailbox", "assistant", "integration")
        found = found.defer("email__text", "email__html")
        at, _, pk = self.after.partition("~")
        try:
            return _beyond(found, self.box.order, datetime.fromisoformat(at).astimezone(UTC), pk)
        except (ValueError, OverflowError):
            return found

    def after_this(self, message: OutboundMessage) -> OutboundMessage | None:
        """The next to look at when `message` is done with: the one below, else the one on top."""
        found = self._found().exclude(pk=message.pk)
        at = getattr(message, self.box.order)
        below = _beyond(found, self.box.order, at, message.pk).first() if at else None
        return below or found.first()

    @property
    def next_cursor(self) -> str:
        if not self.has_more:
            return ""
        last = self.rows[-1]
        return f"{getattr(last, self.box.order).isoformat()}~{last.pk}"

    def tabs(self) -> tuple[str, list[tuple[str, str, int]]]:
        """How many there are, and of which mailboxes: (id, address, count) among the first hundred."""
        owners = self._box().values_list("email__mailbox_id", "email__mailbox__address")[: rail.COUNTED]
        counts = Counter(owners)
        total = sum(counts.values())
        shown = f"{rail.COUNTED - 1}+" if total == rail.COUNTED else str(total)
        return shown, [(pk, address, n) for (pk, address), n in sorted(counts.items(), key=lambda c: c[0][1])]

    def position(self, pk: str) -> int:
        """1 for the first row of this page; 0 if it is not on it."""
        return next((at for at, row in enumerate(self.rows, 1) if row.pk == pk), 0)

    def neighbour(self, pk: str) -> OutboundMessage | None:
        at = self.position(pk)
        return self.rows[at % len(self.rows)] if at and len(self.rows) > 1 else None


def _beyond(found: QuerySet[OutboundMessage], order: str, at: datetime, pk: str) -> QuerySet[OutboundMessage]:
    return found.filter(Q(**{f"{order}__gt": at}) | Q(**{order: at}, pk__gt=pk))
