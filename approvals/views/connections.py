"""Connections: where models and runs are served. For administrators of everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db.models import Prefetch
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import actions
from approvals.actions.connections import KEY_OF_ANOTHER, SECRETS, secret_of, why_kept
from approvals.errors import DomainError
from approvals.forms import SECRETS_OF, ConnectionForm, SecretForm
from approvals.views.connection_words import (
    HINTS,
    HOLD_POLICIES,
    LABELS,
    MAP_HINTS,
    PROTOCOLS,
    hint,
    in_words,
)
from approvals.views.http import Request, attempt, check_administers, complain, page, toast
from assistants.models import Assistant, Connection

Protocol = Connection.Protocol


@require_safe
def connections(request: Request) -> HttpResponse:
    check_administers(request)
    using = Prefetch("assistants", Assistant.objects.order_by("name"))
    found = Connection.objects.order_by("name").prefetch_related(using)
    listed = [(row, PROTOCOLS[Protocol(row.protocol)][0], _key_state(row)) for row in found]
    return page(request, "approvals/connections.html", "connections", connections=listed)


@require_safe
def choose(request: Request) -> HttpResponse:
    check_administers(request)
    return page(request, "approvals/connection_choose.html", "connections", protocols=PROTOCOLS.items())


@sensitive_post_parameters("api_key")
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: Request, protocol: str) -> HttpResponse:
    check_administers(request)
    if protocol not in Protocol.values:
        raise Http404
    row = Connection(protocol=protocol)
    form = ConnectionForm(request.POST or None, row=row)
    if form.is_valid():
        wanted = {"protocol": protocol, **form.wanted}
        if made := _saved(form, lambda: actions.create_connection(wanted, by=request.user)):
            toast(request, f"{made.name} is ready. Choose it on an assistant's page.")
            return redirect("connection", made.pk)
    return page(request, "approvals/connection_new.html", "connections", **_about(row, form))


@require_http_methods(["GET", "HEAD", "POST"])
def connection(request: Request, pk: str) -> HttpResponse:
    check_administers(request)
    row = get_object_or_404(Connection, pk=pk)
    form = ConnectionForm(request.POST or None, row=row)
    if form.is_valid() and (
        changed := _saved(form, lambda: actions.change_connection(row, form.wanted, by=request.user))
    ):
        toast(request, "Saved. Runs that are under way go on with it at their next step.")
        if row.api_key_encrypted and not changed.api_key_encrypted:
            complain(request, KEY_OF_ANOTHER)
        return redirect("connection", pk)
    return page(
        request,
        "approvals/connection.html",
        "connections",
        assistants=row.assistants.order_by("name"),
        secrets=[
            (name, LABELS[name], _secret_state(row, name)) for name in SECRETS_OF[Protocol(row.protocol)]
        ],
        why_kept=why_kept(row),
        webhook_url=f"{settings.PUBLIC_URL}/hooks/models/{row.pk}",
        **_about(row, form),
    )


def _saved(form: ConnectionForm, act: Callable[[], Connection]) -> Connection | None:
    try:
        return act()
    except DomainError as error:
        form.add_error(None, error.sentence)
        form.ask_for_the_key_again()
    return None


def _about(row: Connection, form: ConnectionForm) -> dict[str, Any]:
    title, meaning = PROTOCOLS[Protocol(row.protocol)]
    return {
        "connection": row,
        "form": form,
        "title": title,
        "meaning": meaning,
        "abilities": list(in_words(row)),
        "fields": [(form[name], hint(name, row)) for name in HINTS if name in form.fields],
        "map_hint": MAP_HINTS[row.is_embedded],
        "policies": HOLD_POLICIES.items(),
    }


def _key_state(row: Connection) -> str:
    """ "" where no key is needed."""
    return _secret_state(row, "api_key") if SECRETS_OF[Protocol(row.protocol)] else ""


def _secret_state(row: Connection, name: str) -> str:
    """Whether there is one; never what it is."""
    secret = secret_of(row, name)
    return "unreadable" if secret is None else "set" if secret else "not set"


@sensitive_post_parameters("value")
@require_POST
def replace_secret(request: Request, pk: str, name: str) -> HttpResponse:
    check_administers(request)
    row, url = get_object_or_404(Connection, pk=pk), reverse("connection", args=[pk])
    if name not in SECRETS:
        raise Http404
    form = SecretForm(request.POST, name=name)
    if not form.is_valid() or not form.cleaned_data["value"]:
        complain(
            request,
            " ".join(str(error) for error in form.errors.get("value", ()))
            or "Nothing was typed, so nothing was changed.",
        )
        return redirect(url)
    wanted = {name: form.cleaned_data["value"]}
    done = f"{LABELS[name]} replaced. It is used from the next request on."
    return attempt(request, lambda: actions.change_connection(row, wanted, by=request.user), done, url)


@require_POST
def clear_secret(request: Request, pk: str, name: str) -> HttpResponse:
    check_administers(request)
    row, url = get_object_or_404(Connection, pk=pk), reverse("connection", args=[pk])
    if name not in SECRETS:
        raise Http404
    done = f"{LABELS[name]} cleared."
    return attempt(request, lambda: actions.change_connection(row, {name: ""}, by=request.user), done, url)


@require_POST
def delete(request: Request, pk: str) -> HttpResponse:
    check_administers(request)
    row = get_object_or_404(Connection, pk=pk)
    try:
        actions.delete_connection(row, by=request.user)
    except DomainError as error:
        complain(request, error.sentence)
        return redirect("connection", pk)
    toast(request, f"{row.name} is deleted.")
    return redirect("connections")
