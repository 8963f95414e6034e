"""The list of runs: what it is narrowed by, and what a row says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.db.models import Case, DateTimeField, F, OuterRef, Prefetch, QuerySet, Subquery, When
from django.http import QueryDict
from django.utils import timezone

from approvals.views.http import Page, newest_first
from assistants.models import Assistant, Run, ToolCall
from mailboxes.models import Email, Mailbox

if TYPE_CHECKING:
    from approvals.models import User

S = Run.Status
ATTENTION = "attention"
STATES = {
    "waiting": ("Waiting", (S.REQUIRES_ACTION,)),
    "running": ("Running", (S.QUEUED, S.IN_PROGRESS, S.CANCELLING)),
    "planned": ("Planned", (S.STARTING,)),
    "completed": ("Completed", (S.COMPLETED,)),
    "failed": ("Failed", Run.CUT_OFF),
    ATTENTION: ("Needs attention", ()),
}
LONGER = {
    "1h": ("1 hour", timedelta(hours=1)),
    "4h": ("4 hours", timedelta(hours=4)),
    "1d": ("1 day", timedelta(days=1)),
    "3d": ("3 days", timedelta(days=3)),
}
FILTERS = ("state", "assistant", "longer", "thread")


@dataclass(slots=True)
class Row:
    run: Run
    calls: list[ToolCall]
    mailbox: Mailbox | None
    cause: Email | None

    @property
    def answered(self) -> int:
        return sum(call.answered_at is not None for call in self.calls)

    @property
    def open_names(self) -> list[str]:
        """Each once, of the calls that it waits for."""
        return list(dict.fromkeys(call.name for call in self.calls if call.answered_at is None))


class RunList:
    def __init__(self, viewer: User, params: QueryDict) -> None:
        self.viewer = viewer
        self.chosen = {name: params.get(name, "") for name in FILTERS}
        self.page: Page[Run] = newest_first(self._found(), params)

    def _found(self) -> QuerySet[Run]:
        """Without what was said, and of the calls only which and how far."""
        calls = ToolCall.objects.only("run_id", "name", "answered_at").order_by("position", "pk")
        found = with_waiting_since(Run.objects.visible_to(self.viewer).select_related("assistant"))
        found = found.defer("transcript").prefetch_related(Prefetch("calls", calls))
        state, longer = self.chosen["state"], self.chosen["longer"]
        if state == ATTENTION:
            found = found.exclude(alert="")
        elif state in STATES:
            found = found.filter(status__in=STATES[state][1])
        if longer in LONGER:
            # the status is said too, because it is what has an index
            since = {"waiting_since__lte": timezone.now() - LONGER[longer][1]}
            found = found.filter(status__in=(S.STARTING, S.REQUIRES_ACTION), **since)
        if self.chosen["assistant"]:
            found = found.filter(assistant=self.chosen["assistant"])
        return found.filter(pk__in=in_thread(self.chosen["thread"])) if self.chosen["thread"] else found

    @property
    def rows(self) -> list[Row]:
        mailboxes, causes = self._mailboxes, self._causes
        return [
            Row(run, list(run.calls.all()), mailboxes.get(run.mailbox_id), causes.get(run.email_id))
            for run in self.page.rows
        ]

    @cached_property
    def _mailboxes(self) -> dict[str, Mailbox]:
        ids = {run.mailbox_id for run in self.page.rows} - {""}
        return Mailbox.objects.visible_to(self.viewer).only("address").in_bulk(ids)

    @cached_property
    def _causes(self) -> dict[str, Email]:
        ids = {run.email_id for run in self.page.rows} - {""}
        return Email.objects.visible_to(self.viewer).only("subject").in_bulk(ids)

    # the filters

    @cached_property
    def assistants(self) -> list[Assistant]:
        return list(Assistant.objects.visible_to(self.viewer).order_by("name"))

    @property
    def tabs(self) -> list[tuple[str, str, bool]]:
        """(label, address, whether it is the one that is shown)."""
        state = self.chosen["state"]
        every = [("All", self._url(state=""), state not in STATES)]
        return every + [(label, self._url(state=name), state == name) for name, (label, _) in STATES.items()]

    def _url(self, **changes: str) -> str:
        chosen = {name: value for name, value in (self.chosen | changes).items() if value}
        return f"?{urlencode(chosen)}"

    @property
    def choices(self) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in LONGER.items()]

    @property
    def without_thread(self) -> str:
        return self._url(thread="")

    @property
    def complaint(self) -> str:
        """About a filter that means nothing: the rows are not narrowed by it."""
        state, longer, assistant = (self.chosen[name] for name in ("state", "longer", "assistant"))
        if state and state not in STATES:
            return f"“{state}” is no state of a run, so runs of every state are listed."
        if longer and longer not in LONGER:
            return f"“{longer}” is no length of time, so it narrows nothing."
        if assistant and all(assistant != one.pk for one in self.assistants):
            return "There is no such assistant within your reach, so nothing is listed."
        return ""

    @property
    def is_narrowed(self) -> bool:
        return any(self.chosen.values())


def in_thread(thread_id: str) -> QuerySet[Run, str]:
    """Their keys, by the index, which begins with the assistant."""
    every = Assistant.objects.values("pk")
    return Run.objects.filter(assistant__in=every, thread_id=thread_id).values_list("pk", flat=True)


def with_waiting_since(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Since when it waits: for its turn, or for the newest call whose output nobody has handed over."""
    owed = ToolCall.objects.filter(run=OuterRef("pk"), settled="").order_by("-created_at")
    asked = Subquery(owed.values("created_at")[:1])
    return runs.annotate(
        waiting_since=Case(
            When(status=S.STARTING, then=F("created_at")),
            When(status=S.REQUIRES_ACTION, then=asked),
            output_field=DateTimeField(null=True),
        )
    )
