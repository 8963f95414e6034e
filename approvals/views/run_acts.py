"""What a person does with runs: start one, adopt one, retry a resume, tell it more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from approvals import actions, effects
from approvals.errors import DomainError, NotFound
from approvals.forms import AdoptForm, RunForm
from approvals.permissions import check_drive, check_start_run
from approvals.views.http import Request, attempt, complain, forbidden, page, toast
from approvals.views.runs import found
from assistants.models import Assistant, Run
from mailboxes.models import Mailbox

if TYPE_CHECKING:
    from django.forms import Form

    from approvals.models import User

NOT_THEIRS = "Starting or adopting a run takes the administrator or the reviewer role."


def _denial(user: User) -> str:
    return "" if user.is_administrator or user.is_reviewer else NOT_THEIRS


def _runnable(user: User) -> QuerySet[Assistant]:
    usable = Assistant.objects.visible_to(user).filter(is_active=True).exclude(connection=None)
    return usable.order_by("name")


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: Request) -> HttpResponse:
    assistants = _runnable(request.user)
    reached = Mailbox.objects.visible_to(request.user).filter(assistant_links__assistant__in=assistants)
    mailboxes = reached.distinct().order_by("address")
    form = RunForm(request.POST or None, assistants=assistants, mailboxes=mailboxes)
    if form.is_valid() and (begun := _begun(request, form)):
        toast(request, f"Started. {begun.assistant} begins in a moment.")
        return redirect("run", begun.pk)
    return page(request, "approvals/start_run.html", "runs", form=form, denial=_denial(request.user))


def _begun(request: Request, form: Form) -> Run | None:
    wanted = form.cleaned_data
    try:
        return actions.start_run(wanted["assistant"], wanted["prompt"], wanted["mailbox"], by=request.user)
    except DomainError as error:
        forbidden(error)
        form.add_error(None, error.sentence)
    return None


@require_http_methods(["GET", "HEAD", "POST"])
def adopt_by_id(request: Request) -> HttpResponse:
    """One that we may never have seen: its server is asked for it."""
    form = AdoptForm(request.POST or None, assistants=_runnable(request.user))
    if form.is_valid() and (adopted := _adopted(request, form)):
        toast(request, "Adopted. Counterseal answers it from now on.")
        return redirect("run", adopted.pk)
    return page(request, "approvals/adopt_run.html", "runs", form=form, denial=_denial(request.user))


def _adopted(request: Request, form: Form) -> Run | None:
    wanted = form.cleaned_data
    try:
        _check_adopt(request.user, wanted["assistant"], wanted["run_id"])
        return effects.adopt(**wanted, by=request.user)
    except DomainError as error:
        forbidden(error)
        form.add_error(None, error.sentence)
    return None


def _check_adopt(user: User, assistant: Assistant, run_id: str) -> None:
    check_start_run(user, assistant)
    known = Run.objects.filter(assistant=assistant, run_id=run_id)
    if known.exists() and not known.visible_to(user).exists():
        raise NotFound(f"There is no run {run_id} within your reach.")


@require_POST
def adopt(request: Request, pk: str) -> HttpResponse:
    run = found(request, pk)

    def act() -> None:
        check_drive(request.user, run)
        effects.adopt(run.assistant, thread_id=run.thread_id, run_id=run.run_id, by=request.user)

    return attempt(
        request, act, "Adopted. Counterseal answers it from now on.", reverse("run", args=[run.pk])
    )


@require_POST
def retry(request: Request, pk: str) -> HttpResponse:
    run = found(request, pk)
    done = "Tried again. What comes of it appears here."
    return attempt(
        request, lambda: actions.retry_resume(run, by=request.user), done, reverse("run", args=[run.pk])
    )


@require_POST
def follow_up(request: Request, pk: str) -> HttpResponse:
    run = found(request, pk)
    try:
        planned = actions.send_follow_up(run, request.POST.get("text", ""), by=request.user)
    except DomainError as error:
        forbidden(error)
        complain(request, error.sentence)
    else:
        done = "Planned. It is told in the same thread, when that is free."
        toast(request, done, reverse("run", args=[planned.pk]), "See it")
    return redirect("run", run.pk)
