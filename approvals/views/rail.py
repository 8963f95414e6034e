"""The rail: the places there are, and how much waits in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from approvals.models import OperatorRequest, OutboundMessage
from approvals.states import Status
from assistants.models import Run
from mailboxes.models import Email

if TYPE_CHECKING:
    from approvals.models import User

COUNTED = 100

RECIPIENTS = ("contacts", "allowlist", "suppression")
WAITING = (Status.PENDING,)
ON_THEIR_WAY = (Status.APPROVED, Status.SCHEDULED, Status.SENDING, Status.DEFERRED)
IN_DOUBT = (Status.NEEDS_ATTENTION, Status.FAILED)


def bounded_count(found: QuerySet[Any]) -> str:
    """A count that costs the same however long the list is; "" for none."""
    count = found.order_by()[:COUNTED].count()
    if not count:
        return ""
    return f"{COUNTED - 1}+" if count == COUNTED else str(count)


@dataclass(frozen=True, slots=True)
class Place:
    url_name: str
    label: str
    count: str = ""
    is_here: bool = False
    warns: bool = False


class Rail:
    """Lazy: a partial that does not show the rail costs no query."""

    def __init__(self, user: User, here: str = "") -> None:
        self.user = user
        self.here = here

    @cached_property
    def sections(self) -> list[tuple[str, list[Place]]]:
        return [("", self._work()), ("Records", self._records()), ("Set up", self._set_up())]

    def _work(self) -> list[Place]:
        places = [
            self._place("queue", "Queue", self._messages(WAITING)),
            self._place("scheduled", "On their way", self._messages(ON_THEIR_WAY)),
            self._place("attention", "Needs attention", self._messages(IN_DOUBT), warns=True),
        ]
        if self.user.is_administrator:
            asked = OperatorRequest.objects.visible_to(self.user).open(timezone.now())
            places.append(self._place("requests", "Requests", bounded_count(asked), warns=True))
        return places

    def _records(self) -> list[Place]:
        held = Email.objects.visible_to(self.user).filter(inbound_status=Email.InboundStatus.PENDING)
        alerted = Run.objects.visible_to(self.user).exclude(alert="")
        places = [
            self._place("log", "Send log"),
            self._place("runs", "Runs", bounded_count(alerted), warns=True),
            self._place("inbound", "Inbound", bounded_count(held)),
            self._place("usage", "Usage"),
        ]
        return places if settings.EMAIL_URL else [*places, self._place("caught", "Caught mail")]

    def _set_up(self) -> list[Place]:
        places = [
            self._place("mailboxes", "Mailboxes"),
            self._place("assistants", "Assistants"),
            self._place("people", "People"),
            self._recipients(),
        ]
        if self.user.is_administrator:
            places.append(self._place("keys", "Keys"))
            places.append(self._place("webhooks", "Webhooks"))
        if self.user.is_administrator and self.user.all_mailboxes:
            places.append(self._place("account", "Account"))
            places.insert(2, self._place("connections", "Connections"))
            places.append(self._place("identity", "Identity"))
            places.insert(1, self._place("domains", "Domains"))
        return places

    def _recipients(self) -> Place:
        """Three pages behind one place; the contacts are for administrators."""
        label, is_here = "Recipients", self.here in RECIPIENTS
        return Place("contacts" if self.user.is_administrator else "allowlist", label, is_here=is_here)

    def _messages(self, statuses: tuple[Status, ...]) -> str:
        return bounded_count(OutboundMessage.objects.visible_to(self.user).filter(status__in=statuses))

    def _place(self, url_name: str, label: str, count: str = "", *, warns: bool = False) -> Place:
        return Place(url_name, label, count, url_name == self.here, warns and bool(count))

    @property
    def roles(self) -> str:
        return " and ".join(self.user.roles)

    @cached_property
    def reach(self) -> str:
        if self.user.all_mailboxes:
            return "All mailboxes"
        addresses = self.user.memberships.order_by("mailbox__address").values_list(
            "mailbox__address", flat=True
        )[:4]
        return ", ".join(address.partition("@")[0] + "@" for address in addresses) or "No mailbox"
