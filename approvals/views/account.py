"""The account: what this install is called, and where copies and codes go."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from approvals import actions
from approvals.actions.account import the_account
from approvals.errors import DomainError
from approvals.setup_forms import AccountForm, blame
from approvals.views.http import Request, check_administers, page, toast
from mailboxes.models import Mailbox, OversightMode


@require_http_methods(["GET", "HEAD", "POST"])
def account(request: Request) -> HttpResponse:
    check_administers(request)
    kept = the_account()
    initial = {name: getattr(kept, name) for name in AccountForm.base_fields}
    form = AccountForm(request.POST or None, initial=initial)
    if form.is_valid():
        try:
            actions.change_account(form.cleaned_data, by=request.user)
        except DomainError as error:
            blame(form, error)
        else:
            toast(request, "Saved.")
            return redirect("account")
    monitored = Mailbox.objects.filter(oversight_mode=OversightMode.MONITORED, is_active=True)
    return page(
        request,
        "approvals/account.html",
        "account",
        form=form,
        account=kept,
        monitored=monitored.order_by("address"),
    )
