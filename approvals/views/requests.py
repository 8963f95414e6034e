"""What keys ask for that a person must let happen: done in one step, refused, or by relaying a code."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from approvals import granting, operator_requests
from approvals.errors import DomainError
from approvals.forms import ReasonForm
from approvals.models import OperatorRequest, WebhookEndpoint
from approvals.views import request_words, webhooks
from approvals.views.http import (
    Page,
    Request,
    administrators_only,
    attempt,
    complain,
    confirm,
    forbidden,
    newest_first,
    page,
    toast,
)
from assistants.models import ApiKey

HERE = "requests"
MOST_OPEN = 100


def _found(request: Request) -> QuerySet[OperatorRequest]:
    administrators_only(request)
    found = OperatorRequest.objects.visible_to(request.user)
    return found.select_related("key__assistant", "key__integration", "decided_by")


@require_safe
def requests(request: Request) -> HttpResponse:
    """Those that wait, all of them; below, a page of those that are closed."""
    found, now = _found(request), timezone.now()
    waiting = list(found.open(now).order_by("-pk")[:MOST_OPEN])  # type: ignore[attr-defined]
    closed: Page[OperatorRequest] = newest_first(
        found.exclude(pk__in=OperatorRequest.objects.open(now).values("pk")), request.GET, size=25
    )
    names = request_words.names_in([*waiting, *closed.rows])
    context: dict[str, Any] = {
        "waiting": [_told(one, names) for one in waiting],
        "closed": [_told(one, names) for one in closed.rows],
        "page": closed,
    }
    return page(request, "approvals/requests.html", HERE, **context)


def _told(asked: OperatorRequest, names: dict[str, str]) -> dict[str, Any]:
    return {
        "asked": asked,
        "words": request_words.of(asked, names),
        "code": operator_requests.open_code(asked),
    }


@require_POST
def grant(request: Request, pk: str) -> HttpResponse:
    """What was made may have a secret, which is on this one answer and nowhere else."""
    asked, url = get_object_or_404(_found(request), pk=pk), reverse("requests")
    words = request_words.of(asked, request_words.names_in([asked]))
    if words.warning:
        answer = confirm(request, words.title, words.warning, words.button, url, here=HERE)
        if answer:
            return answer
    try:
        made, secret = granting.grant(asked, by=request.user)
    except DomainError as error:
        forbidden(error)
        complain(request, error.sentence)
        return redirect(url)
    if isinstance(made, ApiKey):
        context = {"key": made, "secret": secret, "public_url": settings.PUBLIC_URL}
        return page(request, "approvals/key_made.html", HERE, **context)  # type: ignore[arg-type]
    if isinstance(made, WebhookEndpoint):
        return webhooks.one(request, made, secret=secret)
    toast(request, f"Done: {words.title.lower()}.")
    return redirect(url)


@require_POST
def refuse(request: Request, pk: str) -> HttpResponse:
    asked = get_object_or_404(_found(request), pk=pk)
    form = ReasonForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    done = "Refused. The key hears it when it asks again."
    return attempt(
        request, lambda: granting.refuse(asked, reason, by=request.user), done, reverse("requests")
    )
