"""Where a mailbox's mail comes from. For administrators."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from approvals import actions
from approvals.actions.mailbox_imap import described, url_of
from approvals.errors import Invalid
from approvals.forms import ImapForm
from approvals.views.http import Request, administered_mailbox, page, toast
from mailboxes.models import ImapSource, Mailbox

UNREADABLE = "It can't be read, because SECRET_KEY has changed: enter it anew."


@require_http_methods(["GET", "HEAD", "POST"])
def arriving(request: Request, pk: str) -> HttpResponse:
    box = administered_mailbox(request, pk)
    form = ImapForm(request.POST or None)
    if form.is_valid():
        taking = form.cleaned_data["takes_existing"]
        try:
            actions.set_imap(box, form.url, takes_existing=taking, by=request.user)
        except Invalid as error:
            form.add_error(None, " ".join(one["message"] for one in error.fields))
        else:
            toast(request, f"Mail of {box.address} is now fetched from {described(form.url)}.")
            return redirect("mailbox_arriving", pk)
    source = ImapSource.objects.filter(mailbox=box).first()
    return page(
        request,
        "approvals/mailbox_arriving.html",
        "mailboxes",
        mailbox=box,
        form=form,
        source=source,
        fetched=fetched_from(box),
    )


@require_POST
def stop(request: Request, pk: str) -> HttpResponse:
    box = administered_mailbox(request, pk)
    actions.set_imap(box, "", by=request.user)
    toast(request, f"Mail of {box.address} is fetched from nowhere any more.")
    return redirect("mailbox_arriving", pk)


def fetched_from(box: Mailbox) -> str:
    """The IMAP folder, without what signs in; "" without one."""
    url = url_of(box)
    if url is None:
        return UNREADABLE
    return described(url) if url else ""
