"""Runs as Counterseal sees them, and starting one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Prefetch
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
    found = Run.objects.visible_to(request.user).select_related("assistant").defer("transcript")
    calls = ToolCall.objects.defer("arguments", "output").order_by("position", "pk")
    found = found.prefetch_related(
        Prefetch("calls", calls.only("run_id", "name", "answered_at", "submitted_at"))
    )
    if state in STATES:
        found = found.filter(status__in=STATES[state])
    if assistant:
        found = found.filter(assistant=assistant)
    names = Assistant.objects.visible_to(request.user).order_by("name")
    context: dict[str, Any] = {
        "page": newest_first(found, request.GET),
        "state": state,
        "assistant": assistant,
    }
    return page(request, "approvals/runs.html", "runs", states=STATES, assistants=names, **context)


@require_safe
def run(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(
        Run.objects.visible_to(request.user).select_related("assistant", "connection"), pk=pk
    )
    calls = list(found.calls.order_by("position", "pk"))
    messages = (
        OutboundMessage.objects.visible_to(request.user).filter(run=found).select_related("email__mailbox")
    )
    return page(
        request,
        "approvals/run.html",
        "runs",
        run=found,
        calls=calls,
        open_calls=sum(call.output is None for call in calls),
        submitted=sum(call.submitted_at is not None for call in calls),
        turns=turns.of_run(found, calls),
        mails=messages.order_by("pk"),
        mailbox=Mailbox.objects.visible_to(request.user).filter(pk=found.mailbox_id).first(),
        cause=Email.objects.visible_to(request.user).filter(pk=found.email_id).only("subject").first(),
    )


def _form(user: User, data: object = None) -> RunForm:
    assistants = Assistant.objects.visible_to(user).filter(is_active=True).exclude(connection=None)
    mailboxes = Mailbox.objects.visible_to(user).filter(assistant_links__assistant__in=assistants).distinct()
    return RunForm(data, assistants=assistants.order_by("name"), mailboxes=mailboxes.order_by("address"))


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: Request) -> HttpResponse:
    form = _form(request.user, request.POST or None)
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            begun = actions.start_run(
                wanted["assistant"], wanted["prompt"], wanted["mailbox"], by=request.user
            )
        except DomainError as error:
            forbidden(error)
            form.add_error(None, error.sentence)
        else:
            toast(request, f"Started. {wanted['assistant']} begins in a moment.")
            return redirect(reverse("run", args=[begun.pk]))
    may = request.user.is_administrator or request.user.is_reviewer
    denial = "" if may else "Starting a run takes the administrator or the reviewer role."
    return page(request, "approvals/start_run.html", "runs", form=form, denial=denial)
