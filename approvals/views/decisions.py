"""Pressing a button: one domain call, then the next case; or the case as it now is, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from approvals import actions, gate
from approvals.errors import DomainError
from approvals.forms import DecisionForm, TimeForm
from approvals.models import OutboundMessage
from approvals.states import Status
from approvals.views import case as cases
from approvals.views.boxes import BOXES, Listing
from approvals.views.case import Case
from approvals.views.http import Request, forbidden, toast
from approvals.views.queue import case_url, workspace
from approvals.views.settlements import SETTLEMENTS


@require_POST
def approve(request: Request, pk: str) -> HttpResponse:
    message, form = _asked(request, pk)
    if Case(message, request.user).alarms and not form.cleaned_data.get("confirmed"):
        return _shown(request, message, form, "Look at the warnings, then confirm that this is to be sent.")
    return _decided(
        request, message, form, lambda bound: actions.approve(message, by=request.user, **bound), _approved
    )


@require_POST
def reject(request: Request, pk: str) -> HttpResponse:
    message, form = _asked(request, pk)
    reason = form.cleaned_data.get("reason", "")
    return _decided(
        request,
        message,
        form,
        lambda bound: actions.reject(message, by=request.user, reason=reason, **bound),
        lambda _: "Rejected. It will not be sent.",
    )


@require_POST
def settle(request: Request, pk: str, name: str) -> HttpResponse:
    message, form = _asked(request, pk)
    if name not in SETTLEMENTS:
        raise Http404
    choice, reason = SETTLEMENTS[name], form.cleaned_data.get("reason", "")
    if choice.takes_reason and not reason:
        return _shown(request, message, form, "Say how you know, or why; it is kept beside the evidence.")
    return _decided(
        request,
        message,
        form,
        lambda bound: choice.act(message, by=request.user, digest=bound["digest"], reason=reason),
        lambda _: choice.done,
    )


@require_POST
def reschedule(request: Request, pk: str) -> HttpResponse:
    """Another time for what leaves later."""
    message, _ = _asked(request, pk)
    form = TimeForm(request.POST)
    if not form.is_valid():
        wrong = form.errors.get("send_at", ["The page did not say which mail this is about."])
        return _shown(request, message, form, str(wrong[0]))
    try:
        after = gate.revise(message, {"send_at": form.cleaned_data["send_at"]}, by=request.user)
    except DomainError as error:
        forbidden(error)
        return _shown(request, message, form, error.sentence)
    is_asked = after.status == Status.PENDING
    words = "It needs a decision, and leaves then" if is_asked else "It leaves then, or a person is asked"
    toast(request, f"{after.send_at:%-d %B, %H:%M} UTC. {words}.")
    return redirect(case_url("queue" if is_asked else "scheduled", pk, form.cleaned_data["mailbox"]))


def _approved(message: OutboundMessage) -> str:
    if message.status == Status.PENDING:
        left = message.approvals_needed - message.approvals_given
        return f"Your approval counts. {left} more {'is' if left == 1 else 'are'} needed."
    first, *others = message.email.recipients
    return f"Approved. It leaves for {first}{f' and {len(others)} more' if others else ''}."


def _asked(request: Request, pk: str) -> tuple[OutboundMessage, DecisionForm]:
    form = DecisionForm(request.POST)
    form.is_valid()
    return get_object_or_404(cases.found(request.user), pk=pk), form


def _decided(
    request: Request,
    message: OutboundMessage,
    form: DecisionForm,
    act: Callable[[dict[str, Any]], OutboundMessage],
    sentence: Callable[[OutboundMessage], str],
) -> HttpResponse:
    if not form.is_valid():
        return _shown(
            request, message, form, "The page did not say which text you decided about. Look again."
        )
    try:
        after = act({name: form.cleaned_data[name] for name in ("revision", "digest")})
    except DomainError as error:
        forbidden(error)
        return _shown(request, message, form, error.sentence)
    toast(request, sentence(after), reverse("message", args=[message.pk]), "See the mail")
    return redirect(_next(request, message, form))


def _next(request: Request, message: OutboundMessage, form: DecisionForm) -> str:
    """The case below, in the list that the person works through."""
    listing = _listing(request, form)
    following = listing.after_this(message)
    if following is None:
        return reverse(listing.box.name)
    return case_url(listing.box.name, following.pk, listing.mailbox_id)


def _listing(request: Request, form: DecisionForm) -> Listing:
    box = BOXES.get(form.cleaned_data.get("box", ""), BOXES["queue"])
    return Listing(box, request.user, request.POST)


def _shown(request: Request, message: OutboundMessage, form: DecisionForm, sentence: str) -> HttpResponse:
    """200 with the truth: htmx does not swap a 409, and a person wants to see what happened."""
    listing = _listing(request, form)
    now = cases.found(request.user).get(pk=message.pk)
    response = workspace(request, listing, Case(now, request.user, complaint=sentence))
    response["HX-Push-Url"] = case_url(listing.box.name, message.pk, listing.mailbox_id)
    return response
