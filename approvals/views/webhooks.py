"""Webhooks: where events are posted, and how that went. For administrators."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import actions
from approvals.errors import DomainError, NotPermitted
from approvals.forms import WebhookEventsForm, WebhookForm
from approvals.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from approvals.setup_forms import blame
from approvals.views.http import Request, attempt, complain, forbidden, newest_first, page, toast
from mailboxes.models import Mailbox

HERE = "webhooks"


def _found(request: Request) -> QuerySet[WebhookEndpoint]:
    """Within reach; whoever administers nothing gets the 403 page."""
    if not request.user.is_administrator:
        forbidden(NotPermitted("This takes the administrator role, which you do not have."))
    return WebhookEndpoint.objects.visible_to(request.user).select_related("mailbox", "key")


@require_http_methods(["GET", "HEAD", "POST"])
def all_webhooks(request: Request) -> HttpResponse:
    found = _found(request)
    form = WebhookForm(request.POST or None, boxes=_boxes(request))
    if form.is_valid():
        try:
            endpoint, secret = actions.create_endpoint(
                form.cleaned_data["url"], form.cleaned_data["events"], form.mailbox_chosen, by=request.user
            )
        except DomainError as error:
            forbidden(error)
            blame(form, error)
        else:
            return one(request, endpoint, secret=secret)
    rows = newest_first(found, request.GET)
    return page(
        request,
        "approvals/webhooks.html",
        HERE,
        page=rows,
        form=form,
        boxes=_boxes(request),
    )


def _boxes(request: Request) -> QuerySet[Mailbox]:
    return Mailbox.objects.visible_to(request.user).filter(is_active=True).order_by("address")


@require_safe
def webhook(request: Request, pk: str) -> HttpResponse:
    return one(request, get_object_or_404(_found(request), pk=pk))


def one(request: Request, endpoint: WebhookEndpoint, *, secret: str = "") -> HttpResponse:
    tries = Prefetch("tries", WebhookAttempt.objects.order_by("-pk"))
    deliveries = WebhookDelivery.objects.filter(endpoint=endpoint).prefetch_related(tries)
    context: dict[str, Any] = {
        "webhook": endpoint,
        "secret": secret,
        "form": WebhookEventsForm(initial={"events": endpoint.events}),
    }
    rows = newest_first(deliveries, request.GET, size=25)
    return page(request, "approvals/webhook.html", HERE, page=rows, **context)


def _act(request: Request, pk: str) -> tuple[WebhookEndpoint, str]:
    return get_object_or_404(_found(request), pk=pk), reverse("webhook", args=[pk])


@require_POST
def change(request: Request, pk: str) -> HttpResponse:
    endpoint, url = _act(request, pk)
    form = WebhookEventsForm(request.POST)
    if not form.is_valid():
        complain(request, "Choose at least one event.")
        return redirect(url)
    events = form.cleaned_data["events"]
    return attempt(
        request, lambda: actions.change_endpoint(endpoint, events=events, by=request.user), "Saved.", url
    )


@require_POST
def turn(request: Request, pk: str, way: str) -> HttpResponse:
    """`way`: on or off."""
    endpoint, url = _act(request, pk)
    on = way == "on"
    done = "It is on again." if on else "It is off: nothing is posted to it."
    return attempt(
        request, lambda: actions.change_endpoint(endpoint, is_active=on, by=request.user), done, url
    )


@require_POST
def rotate(request: Request, pk: str) -> HttpResponse:
    endpoint, _ = _act(request, pk)
    try:
        secret = actions.rotate_secret(endpoint, by=request.user)
    except DomainError as error:
        forbidden(error)
        raise
    return one(request, endpoint, secret=secret)


@require_POST
def test(request: Request, pk: str) -> HttpResponse:
    endpoint, url = _act(request, pk)
    done = "A test event is on its way; its answer appears below."
    return attempt(request, lambda: actions.test_endpoint(endpoint, by=request.user), done, url)


@require_POST
def redeliver(request: Request, pk: str, delivery: str) -> HttpResponse:
    endpoint, url = _act(request, pk)
    found = get_object_or_404(endpoint.deliveries.select_related("endpoint__mailbox"), pk=delivery)
    done = "It is posted once more, with the same bytes and id."
    return attempt(request, lambda: actions.redeliver(found, by=request.user), done, url)


@require_POST
def delete(request: Request, pk: str) -> HttpResponse:
    endpoint, url = _act(request, pk)
    try:
        actions.delete_endpoint(endpoint, by=request.user)
    except DomainError as error:
        forbidden(error)
        complain(request, error.sentence)
        return redirect(url)
    toast(request, "The webhook is deleted.")
    return redirect("webhooks")
