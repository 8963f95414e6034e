"""Addresses that nothing leaves for. They hold for every mailbox, so for who administers all of them."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from approvals import actions
from approvals.errors import DomainError
from approvals.setup_forms import SuppressionForm, blame
from approvals.views.http import (
    Request,
    attempt,
    check_administers,
    confirm,
    newest_first,
    page,
    toast,
)
from mailboxes.models import DeliveryReceipt, Email, Suppression

HERE = "suppression"


def _found(request: Request) -> QuerySet[Suppression]:
    check_administers(request)
    return Suppression.objects.all()


@require_http_methods(["GET", "HEAD", "POST"])
def suppression(request: Request) -> HttpResponse:
    found, words = _found(request), request.GET.get("q", "").strip()
    form = SuppressionForm(request.POST or None)
    if form.is_valid():
        try:
            kept = actions.suppress(
                form.cleaned_data["address"], form.cleaned_data["reason"], by=request.user
            )
        except DomainError as error:
            blame(form, error)
        else:
            toast(request, f"Nothing leaves for {kept.address} from now on.")
            return redirect("suppression")
    listed = newest_first(found.filter(address__icontains=words) if words else found, request.GET)
    causes = _causes([kept.address for kept in listed.rows])
    rows = [(kept, causes.get(kept.address)) for kept in listed.rows]
    return page(request, "approvals/suppression.html", HERE, page=listed, rows=rows, words=words, form=form)


def _causes(addresses: list[str]) -> dict[str, Email]:
    """The mail that bounced or was complained about, by address; the newest where there are several."""
    kinds = (DeliveryReceipt.Kind.BOUNCED, DeliveryReceipt.Kind.COMPLAINED)
    # the correspondents have the index
    found = DeliveryReceipt.objects.filter(
        recipient__in=addresses, kind__in=kinds, email__correspondents__address__in=addresses
    )
    told = found.select_related("email").order_by("pk").distinct()
    return {receipt.recipient: receipt.email for receipt in told}


@require_POST
def lift(request: Request, pk: str) -> HttpResponse:
    kept, url = get_object_or_404(_found(request), pk=pk), reverse("suppression")
    answer = confirm(
        request,
        f"Let mail to {kept.address} leave again?",
        f"It is suppressed because: {kept.reason}. Lifting it is recorded with your name. Mail that failed "
        "meanwhile is not sent by itself; try it again where it stands.",
        "Lift it",
        url,
        here=HERE,
    )
    done = f"Mail to {kept.address} may leave again."
    return answer or attempt(request, lambda: actions.unsuppress(kept, by=request.user), done, url)
