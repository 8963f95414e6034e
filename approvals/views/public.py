"""What everybody may see: the signing keys, what a message proves, the way off a list, and the API's page.

No scripts, nothing from elsewhere; a page that acts does so on POST only.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from approvals import actions, links
from mailboxes import identity, proof
from mailboxes.models import Mailbox

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
LARGEST = 30_000_000  # bytes of a message, as large as any that leaves here


def public_page(request: HttpRequest, template: str, status: int = 200, **context: Any) -> HttpResponse:
    response = render(request, template, context, status=status)
    response["Content-Security-Policy"] = POLICY
    response["Referrer-Policy"] = "no-referrer"
    return response


@login_not_required
@require_safe
def signing_key(request: HttpRequest) -> HttpResponse:
    """Every key that ever signed here, the one in force first and once more by itself."""
    keys = [identity.published(key) for key in identity.all_keys()]
    told = {
        "header": identity.HEADER,
        "algorithm": "ECDSA-P256-SHA256",
        "format": "base64url(payload) . base64url(r || s), over the text before the dot",
        "kid": keys[0]["kid"],
        "public_key": keys[0]["public_key"],
        "keys": keys,
    }
    response = JsonResponse(told, json_dumps_params={"indent": 2})
    # who verifies may be a page of anybody's
    response["Access-Control-Allow-Origin"] = "*"
    response["Cache-Control"] = "public, max-age=300"
    return response


@csrf_exempt  # it changes nothing
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def check(request: HttpRequest) -> HttpResponse:
    """What a message proves. Nothing is kept, and nothing is asked of anybody else."""
    if request.method != "POST":
        return public_page(request, "approvals/proof.html")
    if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST:
        return _unreadable(request, "This is larger than any message that leaves here.", 413)
    try:
        file = request.FILES.get("message")
        data = file.read() if file else request.POST.get("source", "").encode()
    except RequestDataTooBig:
        return _unreadable(request, "This is too much to paste: give it as a file.", 413)
    if not data.strip():
        return _unreadable(request, "Choose a file, or paste the whole source of a message.", 400)
    return public_page(request, "approvals/proof.html", report=proof.examine(data))


def _unreadable(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    return public_page(request, "approvals/proof.html", status, complaint=sentence)


@csrf_exempt  # mail programs post it in their reader's name, with no cookie of ours (RFC 8058)
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows, because scanners follow links; POST acts, once for good."""
    mailbox_id, address = links.read_unsubscribe(token)
    mailbox = Mailbox.objects.filter(pk=mailbox_id).first()
    if mailbox is None:
        raise Http404
    if request.method == "POST":
        actions.unsubscribe(address, mailbox)
    return public_page(
        request,
        "approvals/unsubscribe.html",
        mailbox=mailbox,
        address=address,
        done=request.method == "POST",
    )
