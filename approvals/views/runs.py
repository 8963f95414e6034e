"""Runs as Counterseal sees them, and starting one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from approvals import actions
from approvals.errors import DomainError
from approvals.forms import RunForm
from approvals.models import OutboundMessage
from approvals.views import turns
from approvals.views.http import Request, forbidden, newest_first, page, toast
from assistants.models import Assistant, Run, ToolCall
from mailboxes.models import Email, Mailbox

if TYPE_CHECKING:
    from approvals.models import User

S = Run.Status
STATES = {
    "waiting": (S.REQUIRES_ACTION,),
    "running": (S.STARTING, S.QUEUED, S.IN_PROGRESS, S.CANCELLING),
    "completed": (S.COMPLETED,),
    "failed": (S.FAILED, S.INCOMPLETE, S.EXPIRED, S.CANCELLED),
}


@require_safe
def runs(request: Request) -> HttpResponse:
    state, assistant = request.GET.get("state", ""), request.GET.get("assistant", "")
    found = _listed(request.user)
    if state in STATES:
        found = found.filter(status__in=STATES[state])
    if assistant:
        found = found.filter(assistant=assistant)
    names = Assistant.objects.visible_to(request.user).order_by("name")
    context: dict[str, Any] = {"state": state, "assistant": assistant, "states": STATES, "assistants": names}
    return page(request, "approvals/runs.html", "runs", page=newest_first(found, request.GET), **context)


def _listed(viewer: User) -> QuerySet[Run]:
    """Without what was said, and of the calls only which and how far."""
    calls = ToolCall.objects.only("run_id", "name", "answered_at", "submitted_at").order_by("position", "pk")
    found = Run.objects.visible_to(viewer).select_related("assistant").defer("transcript")
    return found.prefetch_related(Prefetch("calls", calls))


@require_safe
def run(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(
        Run.objects.visible_to(request.user).select_related("assistant", "connection"), pk=pk
    )
    return page(request, "approvals/run.html", "runs", run=found, **_about(found, request.user))


def _about(run: Run, viewer: User) -> dict[str, Any]:
    calls = list(run.calls.order_by("position", "pk"))
    messages = OutboundMessage.objects.visible_to(viewer).filter(run=run).select_related("email__mailbox")
    return {
        "calls": calls,
        "open_calls": sum(call.output is None for call in calls),
        "submitted": sum(call.submitted_at is not None for call in calls),
        "turns": turns.of_run(run, calls),
        "mails": messages.order_by("pk"),
        "mailbox": Mailbox.objects.visible_to(viewer).filter(pk=run.mailbox_id).first(),
        "cause": Email.objects.visible_to(viewer).filter(pk=run.email_id).only("subject").first(),
    }


def _form(user: User, data: object = None) -> RunForm:
    assistants = Assistant.objects.visible_to(user).filter(is_active=True).exclude(connection=None)
    mailboxes = Mailbox.objects.visible_to(user).filter(assistant_links__assistant__in=assistants).distinct()
    return RunForm(data, assistants=assistants.order_by("name"), mailboxes=mailboxes.order_by("address"))


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: Request) -> HttpResponse:
    form = _form(request.user, request.POST or None)
    begun = _begun(request, form) if form.is_valid() else None
    if begun:
        toast(request, f"Started. {begun.assistant} begins in a moment.")
        return redirect(reverse("run", args=[begun.pk]))
    may = request.user.is_administrator or request.user.is_reviewer
    denial = "" if may else "Starting a run takes the administrator or the reviewer role."
    return page(request, "approvals/start_run.html", "runs", form=form, denial=denial)


def _begun(request: Request, form: RunForm) -> Run | None:
    wanted = form.cleaned_data
    try:
        return actions.start_run(wanted["assistant"], wanted["prompt"], wanted["mailbox"], by=request.user)
    except DomainError as error:
        forbidden(error)
        form.add_error(None, error.sentence)
    return None
