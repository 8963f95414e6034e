"""To whom mail leaves without review: over all mailboxes, and what an entry lets pass."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from approvals import actions, allowing
from approvals.actions.setup import checked_pattern
from approvals.errors import DomainError
from approvals.setup_forms import AllowForm, blame
from approvals.states import Status
from approvals.views.http import Request, attempt, check_administers, complain, newest_first, page
from mailboxes.models import AllowlistEntry, Mailbox

HERE = "allowlist"


def _mailboxes(request: Request) -> QuerySet[Mailbox]:
    return Mailbox.objects.visible_to(request.user).filter(is_active=True).order_by("address")


@require_http_methods(["GET", "HEAD", "POST"])
def allowlist(request: Request) -> HttpResponse:
    boxes, chosen = list(_mailboxes(request)), request.GET.get("mailbox", "")
    form = AllowForm(request.POST or None, mailboxes=_mailboxes(request), initial={"mailbox": chosen})
    if form.is_valid():
        data = form.cleaned_data
        check_administers(request, data["mailbox"])
        try:
            return _asked(request, data["mailbox"], checked_pattern(data["pattern"]), data["note"], HERE)
        except DomainError as error:
            blame(form, error)
    found = AllowlistEntry.objects.filter(request.user.mailbox_reach("mailbox")).select_related("mailbox")
    listed = newest_first(found.filter(mailbox=chosen) if chosen else found, request.GET)
    sends = allowing.sends_to(listed.rows)
    context: dict[str, Any] = {
        "page": listed,
        "rows": [(entry, sends[entry.pk]) for entry in listed.rows],
        "boxes": boxes,
        "chosen": chosen,
        "complaint": "" if not chosen or any(chosen == box.pk for box in boxes) else UNKNOWN,
        "form": form,
    }
    return page(request, "approvals/allowlist.html", HERE, **context)


UNKNOWN = "There is no such mailbox within your reach, so nothing is listed. Choose another one."


def _asked(request: Request, mailbox: Mailbox, pattern: str, note: str, back: str) -> HttpResponse:
    """What it would have let pass, before it is let."""
    passed, seen = allowing.would_pass(mailbox, pattern)
    return page(
        request,
        "approvals/allow_confirm.html",
        HERE,
        mailbox=mailbox,
        pattern=pattern,
        note=note,
        passed=passed,
        seen=seen,
        rejected=sum(send.status == Status.REJECTED for send in passed),
        edited=sum(send.revision > 1 for send in passed),
        back=_url(back, mailbox),
        back_name=back,
    )


def _url(back: str, mailbox: Mailbox) -> str:
    return reverse("allowlist") if back == HERE else reverse("mailbox", args=[mailbox.pk])


@require_POST
def allow(request: Request, pk: str) -> HttpResponse:
    """From a mailbox's own page, or confirmed."""
    mailbox = get_object_or_404(Mailbox.objects.visible_to(request.user), pk=pk)
    check_administers(request, mailbox)
    form = AllowForm({**request.POST.dict(), "mailbox": pk}, mailboxes=_mailboxes(request))
    back = request.POST.get("back", "")
    url = _url(back, mailbox)
    wanted = form.cleaned_data if form.is_valid() else {}
    try:
        pattern = checked_pattern(wanted.get("pattern", ""))
    except DomainError as error:
        complain(request, error.sentence)
        return redirect(url)
    note = wanted.get("note", "")
    if not request.POST.get("confirmed"):
        return _asked(request, mailbox, pattern, note, back)
    done = f"{pattern} skips review in gated_send from now on."
    return attempt(request, lambda: actions.allow(mailbox, pattern, by=request.user, note=note), done, url)


@require_POST
def disallow(request: Request, pk: str, entry: str) -> HttpResponse:
    mailbox = get_object_or_404(Mailbox.objects.visible_to(request.user), pk=pk)
    listed = get_object_or_404(mailbox.allowlist.select_related("mailbox"), pk=entry)
    done, url = f"{listed.pattern} is reviewed again.", _url(request.POST.get("back", ""), mailbox)
    return attempt(request, lambda: actions.disallow(listed, by=request.user), done, url)
