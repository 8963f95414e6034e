"""Mail as its recipient gets it, each in a sandbox of its own, and as bytes."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from approvals import files
from approvals.errors import NotFound
from approvals.views.http import Request
from mailboxes import mime, render_html
from mailboxes.models import CaughtMessage, Email

# Mail brings styles of its own, which the page's CSP would refuse; here nothing else is let in.
FRAME_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


@require_safe
def of_email(request: Request, pk: str) -> HttpResponse:
    email = _email(request, pk)
    # mail that came in was parsed once, within limits, and its bytes are never parsed here again
    if email.is_inbound:
        return _frame(render_html.document(email.html) if email.html else "")
    return _frame(mime.render(bytes_of(email)).html)


@require_safe
def of_caught(request: Request, pk: str) -> HttpResponse:
    caught = get_object_or_404(CaughtMessage.objects.visible_to(request.user), pk=pk)
    return _frame(mime.render(bytes(caught.data)).html)


@require_safe
def source(request: Request, pk: str) -> HttpResponse:
    """The bytes themselves, as a file: a browser must not be led to guess what they are."""
    response = HttpResponse(bytes_of(_email(request, pk)), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{pk}.eml"'
    return response


@require_safe
def attachment(request: Request, pk: str, number: int) -> HttpResponse:
    email = _email(request, pk)
    if number >= len(email.attachments):
        raise Http404
    try:
        return files.download(email, files.listed_at(email, number))
    except NotFound as error:
        raise Http404(error.sentence) from error


def _email(request: Request, pk: str) -> Email:
    return get_object_or_404(Email.objects.visible_to(request.user).select_related("raw", "outbound"), pk=pk)


def bytes_of(email: Email) -> bytes:
    if email.is_inbound:
        if email.raw is None:
            raise Http404
        return bytes(email.raw.data)
    return bytes(email.revisions.get(number=email.outbound.revision).frozen)


def _frame(html: str) -> HttpResponse:
    if not html:
        raise Http404
    response = HttpResponse(html)
    response["Content-Security-Policy"] = FRAME_POLICY
    response["Cache-Control"] = "no-store"
    return response
