"""How a mailbox's mail leaves, and a test of it. For administrators."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from approvals import actions, effects
from approvals.actions.mailbox_delivery import described, url_of
from approvals.effects.testing import Tried
from approvals.errors import Invalid
from approvals.forms import DeliveryForm
from approvals.views.http import Request, administered_mailbox, page, toast
from mailboxes.models import Mailbox

UNREADABLE = "It can't be read, because SECRET_KEY has changed: enter it anew."


@require_http_methods(["GET", "HEAD", "POST"])
def delivery(request: Request, pk: str) -> HttpResponse:
    box = administered_mailbox(request, pk)
    form = DeliveryForm(request.POST or None)
    if form.is_valid():
        try:
            actions.set_delivery(box, form.url, by=request.user)
        except Invalid as error:
            form.add_error(None, " ".join(one["message"] for one in error.fields))
        else:
            toast(request, f"Mail of {box.address} now leaves {described(form.url)}.")
            return redirect("mailbox_delivery", pk)
    return _shown(request, box, form)


@require_POST
def test(request: Request, pk: str) -> HttpResponse:
    """While the person waits: what it shows is what the server said."""
    box = administered_mailbox(request, pk)
    return _shown(request, box, DeliveryForm(), effects.send_test(box, by=request.user))


def _shown(request: Request, box: Mailbox, form: DeliveryForm, tried: Tried | None = None) -> HttpResponse:
    return page(
        request,
        "approvals/mailbox_delivery.html",
        "mailboxes",
        mailbox=box,
        form=form,
        own=way_of(box),
        everybodys=described(settings.EMAIL_URL) if settings.EMAIL_URL else "",
        tried=tried,
    )


def way_of(box: Mailbox) -> str:
    """The mailbox's own way out, without what signs in; "" if it has none."""
    url = url_of(box)
    if url is None:
        return UNREADABLE
    return described(url) if url else ""
