"""The page behind a link in a mail or a chat. Scanners follow links, so looking at it decides nothing."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods

from approvals import actions, links, permissions
from approvals.errors import DomainError, Invalid
from approvals.forms import DecisionForm
from approvals.models import OutboundMessage
from approvals.views import case as cases
from approvals.views.case import Case
from approvals.views.http import Request, attempt, page
from approvals.views.log import found
from mailboxes.models import Email

TEMPLATE = "approvals/approve_link.html"
DONE = {"approve": "Approved.", "reject": "Rejected."}


@require_http_methods(["GET", "HEAD", "POST"])
def approve_link(request: Request, token: str) -> HttpResponse:
    """For whoever is signed in as a reviewer of the mailbox. POST decides: `action`, `reason`, the text."""
    pk = links.read_approve(token)
    if not pk:
        raise Http404
    email = get_object_or_404(found(request.user), pk=pk)
    if request.method == "POST":
        return _decided(request, email)
    return _inbound_page(request, email) if email.is_inbound else _outbound_page(request, pk)


def _inbound_page(request: Request, email: Email) -> HttpResponse:
    held = email.inbound_status == Email.InboundStatus.PENDING
    denial = permissions.denial(permissions.check_decide, request.user, email)
    # the letter as the log shows it, without the buttons that it has there
    account = {"email": email, "is_held": False}
    return page(request, TEMPLATE, "inbound", email=email, held=held, denial=denial, account=account)


def _outbound_page(request: Request, pk: str) -> HttpResponse:
    message = get_object_or_404(cases.found(request.user), pk=pk)
    case = Case(message, request.user)
    return page(
        request,
        TEMPLATE,
        "queue",
        email=message.email,
        message=message,
        case=case,
        held=case.is_pending,
        denial=case.approve_denial,
    )


def _decided(request: Request, email: Email) -> HttpResponse:
    action = request.POST.get("action", "")
    if action not in DONE:
        raise Http404
    decide = _decide_inbound if email.is_inbound else _decide_outbound
    return attempt(request, lambda: decide(request, email, action), DONE[action], request.path)


def _decide_inbound(request: Request, email: Email, action: str) -> None:
    if action == "approve":
        actions.approve_inbound(email, by=request.user)
    else:
        actions.reject_inbound(email, by=request.user, reason=request.POST.get("reason", ""))


def _decide_outbound(request: Request, email: Email, action: str) -> None:
    message: OutboundMessage = cases.found(request.user).get(pk=email.pk)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        raise DomainError("The page did not say which text you decided about. Look again.")
    content = {name: form.cleaned_data[name] for name in ("revision", "digest")}
    if action == "reject":
        actions.reject(message, by=request.user, reason=form.cleaned_data["reason"], **content)
        return
    if Case(message, request.user).alarms and not form.cleaned_data["confirmed"]:
        problem = "Look at the warnings, then confirm that this is to be sent."
        raise Invalid([{"field": "confirmed", "code": "required", "message": problem}])
    actions.approve(message, by=request.user, **content)
