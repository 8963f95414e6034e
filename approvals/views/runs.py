"""Runs as Counterseal sees them: the list, and one as it happened."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from approvals.models import ConversationThread, OutboundMessage
from approvals.views.http import Request, page
from approvals.views.run_list import RunList
from approvals.views.standing import Standing
from approvals.views.timeline import Timeline
from assistants.models import Run, ToolCall
from mailboxes.models import Email, Mailbox

if TYPE_CHECKING:
    from approvals.models import User


@require_safe
def runs(request: Request) -> HttpResponse:
    return page(request, "approvals/runs.html", "runs", listing=RunList(request.user, request.GET))


@require_safe
def run(request: Request, pk: str) -> HttpResponse:
    return page(request, "approvals/run.html", "runs", account=Account(found(request, pk), request.user))


def found(request: Request, pk: str) -> Run:
    visible = Run.objects.visible_to(request.user).select_related("assistant", "connection")
    return get_object_or_404(visible, pk=pk)


class Account:
    """One run, for its page. Each part is asked for at most once."""

    def __init__(self, run: Run, viewer: User) -> None:
        self.run, self.viewer = run, viewer

    @cached_property
    def calls(self) -> list[ToolCall]:
        return list(self.run.calls.order_by("position", "pk").select_related("follow_up"))

    @property
    def answered(self) -> int:
        return sum(call.output is not None for call in self.calls)

    @cached_property
    def messages(self) -> list[OutboundMessage]:
        visible = OutboundMessage.objects.visible_to(self.viewer).filter(run=self.run)
        emails = visible.select_related("email").defer("email__text", "email__html")
        return list(emails.order_by("pk"))

    @cached_property
    def standing(self) -> Standing:
        return Standing(self.run, self.viewer, self.calls, self.messages)

    @cached_property
    def timeline(self) -> Timeline:
        return Timeline(self.run, self.viewer, self.calls, self.messages)

    @cached_property
    def mailbox(self) -> Mailbox | None:
        return Mailbox.objects.visible_to(self.viewer).filter(pk=self.run.mailbox_id).first()

    @property
    def cause(self) -> Email | None:
        """The mail that it is about."""
        return self.timeline.emails.get(self.run.email_id)

    @property
    def title(self) -> str:
        told = self.run.prompt.strip().partition("\n")[0]
        return (self.cause.subject or "(no subject)") if self.cause else told

    @cached_property
    def conversations(self) -> QuerySet[ConversationThread]:
        """Those that go on in this run's thread."""
        within = self.viewer.mailbox_reach("conversation__mailbox")
        known = Q(thread_id=self.standing.thread_id, assistant=self.run.assistant_id)
        found = ConversationThread.objects.filter(within, known, connection=self.run.connection_id)
        return found.exclude(thread_id="").select_related("conversation").order_by("pk")[:20]
