"""One event of the log, with the mail and the run that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from approvals.views import story
from approvals.views.http import Request, page
from assistants.models import Assistant, Run
from audit import search
from audit.models import Event
from mailboxes.models import Email, Mailbox

if TYPE_CHECKING:
    from approvals.models import User


@require_safe
def event(request: Request, seq: int) -> HttpResponse:
    shown = get_object_or_404(_visible_to(request.user).select_related("payload"), seq=seq)
    return page(request, "approvals/event.html", "log", account=EventAccount(shown, request.user))


def _visible_to(person: User) -> QuerySet[Event]:
    """What is about a mailbox within reach, or about no mailbox and a run that they see."""
    events = Event.objects.all()
    if person.all_mailboxes:
        return events
    seen = Exists(Run.objects.visible_to(person).filter(run_id=OuterRef("run_id")).exclude(run_id=""))
    return events.filter(person.mailbox_reach("mailbox_id") | Q(seen, mailbox_id=""))


@dataclass
class EventAccount:
    event: Event
    viewer: User

    @cached_property
    def step(self) -> story.Step:
        (step,) = story.told([self.event])
        return step

    @property
    def email(self) -> Email | None:
        return Email.objects.visible_to(self.viewer).only("subject").filter(pk=self.event.email_id).first()

    @property
    def mailbox(self) -> Mailbox | None:
        return Mailbox.objects.visible_to(self.viewer).filter(pk=self.event.mailbox_id).first()

    @cached_property
    def run(self) -> Run | None:
        """By the id that its server gave it, or by ours where it had none yet."""
        event, runs = self.event, Run.objects.visible_to(self.viewer).defer("transcript")
        if not event.run_id:
            body = getattr(event.payload, "body", None) or {}
            return runs.filter(pk=str(body.get("run", ""))).first()
        # every assistant is named, because the index begins with it
        of_any = runs.filter(assistant__in=Assistant.objects.values("pk"), run_id=event.run_id)
        known = Q(remote_assistant_id=event.assistant_id) | Q(assistant=event.assistant_id)
        return of_any.filter(known).select_related("assistant").first()

    @property
    def assistant(self) -> Assistant | None:
        visible = Assistant.objects.visible_to(self.viewer)
        return self.run.assistant if self.run else visible.filter(pk=self.event.assistant_id).first()

    @cached_property
    def neighbours(self) -> dict[str, int]:
        """What stands before and after it in the log, about the same run, or else the same mail."""
        if self.event.run_id:
            same = search.find(run=self.event.run_id)
        elif self.event.email_id:
            same = search.find(email=self.event.email_id)
        else:
            return {}
        same = same.filter(pk__in=_visible_to(self.viewer).values("pk"))
        before = same.filter(seq__lt=self.event.seq).first()
        after = same.filter(seq__gt=self.event.seq).order_by("seq").first()
        return {name: one.seq for name, one in (("before", before), ("after", after)) if one}
