"""Whoever must sign in first comes back to a page, never to the address of a button."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect


class SignInFirst(LoginRequiredMiddleware):
    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Any
    ) -> HttpResponse:
        is_htmx = "HX-Request" in request.headers
        if request.method in ("GET", "HEAD") and not is_htmx:
            return super().handle_no_permission(request, view_func)
        there = redirect_to_login(_page_of(request), settings.LOGIN_URL)
        # htmx would follow a plain redirect and put the whole sign-in page into a pane
        return HttpResponseClientRedirect(there.url) if is_htmx else there


def _page_of(request: HttpRequest) -> str:
    """Where the person was when the session was found to be over."""
    url = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(url, {request.get_host()}):
        return "/"
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
