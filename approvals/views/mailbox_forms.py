"""Mailboxes: made, set up and closed."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from approvals import actions
from approvals.errors import DomainError
from approvals.setup_forms import MailboxForm, NewMailboxForm, blame
from approvals.views.http import Request, attempt, check_administers, confirm, page, toast
from approvals.views.mailboxes import RUNGS
from mailboxes.models import Mailbox

HERE = "mailboxes"


def _administered(request: Request, pk: str = "") -> Mailbox | None:
    """That one; without an id, all of them."""
    mailbox = get_object_or_404(Mailbox.objects.visible_to(request.user), pk=pk) if pk else None
    check_administers(request, mailbox)
    return mailbox


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: Request) -> HttpResponse:
    _administered(request)
    form = NewMailboxForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = actions.create_mailbox(
                data["address"], data["display_name"], data["oversight_mode"], by=request.user
            )
        except DomainError as error:
            blame(form, error)
        else:
            toast(request, f"{made.address} is there. Give it to assistants with a key, and to people.")
            return redirect("mailbox", made.pk)
    chosen = form["oversight_mode"].value()
    return page(request, "approvals/mailbox_new.html", HERE, form=form, rungs=RUNGS.items(), chosen=chosen)


@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: Request, pk: str) -> HttpResponse:
    mailbox = _administered(request, pk)
    initial = {name: getattr(mailbox, name) for name in MailboxForm.base_fields}
    form = MailboxForm(request.POST or None, initial=initial)
    if mailbox and form.is_valid():
        try:
            actions.change_mailbox(mailbox, form.cleaned_data, by=request.user)
        except DomainError as error:
            blame(form, error)
        else:
            toast(request, "Saved. It holds for what is written from now on.")
            return redirect("mailbox", pk)
    return page(request, "approvals/mailbox_settings.html", HERE, form=form, mailbox=mailbox)


@require_POST
def close(request: Request, pk: str) -> HttpResponse:
    mailbox = _administered(request, pk)
    if mailbox is None:
        raise AssertionError("a mailbox is named")
    answer = confirm(
        request,
        f"Close {mailbox.address} for good?",
        "It sends and receives nothing more, and what waits in it is not sent. Its mail and its log stay; "
        "its address can't be used for another mailbox.",
        "Close it",
        reverse("mailbox_settings", args=[pk]),
        here=HERE,
    )
    done, url = f"{mailbox.address} is closed.", reverse("mailboxes")
    return answer or attempt(request, lambda: actions.delete_mailbox(mailbox, by=request.user), done, url)
