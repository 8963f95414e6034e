"""A form whose token no longer counts: it was open for too long, or somebody signed in again meanwhile."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from approvals.views.http import complain

SENTENCE = (
    "Nothing was done: the page was open for too long, or you signed in again meanwhile. Here it is anew."
)


def too_old(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A page for a page. What htmx asked for is told in a toast, on the page that it loads again."""
    if "HX-Request" not in request.headers:
        return render(request, "403_csrf.html", status=403)
    complain(request, SENTENCE)
    # messages are written by the middleware that this answer comes back through
    return HttpResponse(status=200, headers={"HX-Refresh": "true"})
