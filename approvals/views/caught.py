"""Without a mail server, what would have left is caught here."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from approvals.views.case import SOURCE_SHOWN
from approvals.views.http import Request, newest_first, page
from mailboxes import mime
from mailboxes.models import CaughtMessage


@require_safe
def caught(request: Request) -> HttpResponse:
    found = newest_first(CaughtMessage.objects.visible_to(request.user).defer("data"), request.GET)
    return page(request, "approvals/caught.html", "caught", page=found, email_url=settings.EMAIL_URL)


@require_safe
def one(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(CaughtMessage.objects.visible_to(request.user), pk=pk)
    data = bytes(found.data)
    source = data[:SOURCE_SHOWN].decode("ascii", "replace").replace("\r\n", "\n")
    return page(
        request,
        "approvals/caught_one.html",
        "caught",
        caught=found,
        rendered=mime.render(data),
        source=source,
    )
