"""Domains: their DNS records, what was found of each, and their DKIM keys. For administrators of all."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import actions, effects
from approvals.actions.domains import records_of, status_of
from approvals.errors import DomainError
from approvals.forms import DomainForm
from approvals.views.http import (
    Request,
    attempt,
    check_administers,
    complain,
    forbidden,
    newest_first,
    page,
    toast,
)
from mailboxes.models import DkimKey, Domain

HERE = "domains"
PURPOSES = {
    "dkim": ("DKIM", "The public half of the key that signs its mail."),
    "spf": ("SPF", "Which servers may send in its name."),
    "mx": ("Mail in", "Where mail for it goes."),
    "return_path": ("Bounces", "Whether what can't be delivered comes back."),
    "dmarc": ("DMARC", "What receivers do with mail that only claims to be from it."),
}


@require_http_methods(["GET", "HEAD", "POST"])
def domains(request: Request) -> HttpResponse:
    check_administers(request)
    form = DomainForm(request.POST or None)
    if form.is_valid():
        try:
            added = actions.add_domain(form.cleaned_data["domain"], by=request.user)
        except DomainError as error:
            form.add_error("domain", error.sentence)
        else:
            toast(request, f"{added} is added. Enter its records at whoever hosts its DNS.")
            return redirect("domain", added.pk)
    signing = DkimKey.objects.filter(retired_at=None).exclude(published_at=None)
    rows = newest_first(Domain.objects.prefetch_related(Prefetch("keys", signing)), request.GET)
    shown = [(one, status_of(one.records)) for one in rows.rows]
    return page(request, "approvals/domains.html", HERE, page=rows, domains=shown, form=form)


@require_safe
def domain(request: Request, pk: str) -> HttpResponse:
    check_administers(request)
    found = get_object_or_404(Domain, pk=pk)
    [records] = records_of(found)
    keys = found.keys.order_by("-pk")[:20]
    return page(
        request,
        "approvals/domain.html",
        HERE,
        domain=found,
        state=status_of(records),
        records=[_record(record) for record in records],
        keys=keys,
        waits=any(key.published_at is None and key.retired_at is None for key in keys),
    )


def _record(record: dict[str, Any]) -> dict[str, Any]:
    title, meaning = PURPOSES[record["purpose"]]
    return record | {"title": title, "meaning": meaning}


def _act(request: Request, pk: str) -> tuple[Domain, str]:
    check_administers(request)
    return get_object_or_404(Domain, pk=pk), reverse("domain", args=[pk])


@require_POST
def verify(request: Request, pk: str) -> HttpResponse:
    """While the person waits, a few seconds at most."""
    found, url = _act(request, pk)
    done = "The DNS was asked; what it says stands at each record."
    return attempt(request, lambda: effects.verify_domain(found, by=request.user), done, url)


@require_POST
def rotate(request: Request, pk: str) -> HttpResponse:
    found, url = _act(request, pk)
    done = "A new key is made. Enter its record; the key before signs until it is seen."
    return attempt(request, lambda: actions.rotate_key(found, by=request.user), done, url)


@require_POST
def remove(request: Request, pk: str) -> HttpResponse:
    found, url = _act(request, pk)
    try:
        actions.remove_domain(found, by=request.user)
    except DomainError as error:
        forbidden(error)
        complain(request, error.sentence)
        return redirect(url)
    toast(request, f"{found} is removed. Nothing is signed for it any more.")
    return redirect("domains")
