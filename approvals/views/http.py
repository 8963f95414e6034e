"""What all views share: the signed-in request, the frame around every page, and keyset pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.html import format_html

from approvals.errors import DomainError, NotPermitted, Refused
from approvals.permissions import check_administer
from approvals.views.rail import Rail
from mailboxes.models import Mailbox

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails

    from approvals.models import User

M = TypeVar("M", bound=Model)

PAGE_SIZE = 50


class Request(HttpRequest):
    """As it is behind LoginRequiredMiddleware and HtmxMiddleware."""

    user: User
    htmx: HtmxDetails


def page(request: Request, template: str, here: str = "", status: int = 200, **context: Any) -> HttpResponse:
    """`here` names the place in the rail that the page belongs to."""
    response = render(request, template, {"rail": Rail(request.user, here), **context}, status=status)
    response["Cache-Control"] = "no-store"
    response["Vary"] = "Cookie, HX-Request, HX-Target"
    return response


def wants_pane(request: Request, target: str) -> bool:
    """A row asks for the pane beside it alone. A form swaps more, and the way back needs the whole page."""
    return request.htmx.target == target and not request.htmx.history_restore_request


def toast(request: HttpRequest, sentence: str, url: str = "", link: str = "") -> None:
    text = format_html('{} <a href="{}">{}</a>', sentence, url, link) if url else sentence
    messages.success(request, text)


def complain(request: HttpRequest, sentence: str) -> None:
    messages.error(request, sentence)


def forbidden(error: DomainError) -> None:
    """Who may not do it at all gets the 403 page; a refusal by mode or hold is part of the work."""
    if isinstance(error, NotPermitted) and not isinstance(error, Refused):
        raise PermissionDenied(error.sentence) from error


def check_administers(request: Request, mailbox: Mailbox | None = None) -> None:
    """The 403 page for whoever does not administer `mailbox`; without one, all of them."""
    try:
        check_administer(request.user, mailbox)
    except NotPermitted as refusal:
        forbidden(refusal)


def administered_mailbox(request: Request, pk: str) -> Mailbox:
    box = get_object_or_404(Mailbox.objects.visible_to(request.user), pk=pk)
    check_administers(request, box)
    return box


def administrators_only(request: Request) -> None:
    """The 403 page for everybody else, whatever they reach."""
    if not request.user.is_administrator:
        raise PermissionDenied("This takes the administrator role, which you do not have.")


def confirm(
    request: Request, title: str, consequence: str, button: str, back: str, *, here: str = ""
) -> HttpResponse | None:
    """A page that asks once more, and posts the same again; None when it was asked and answered."""
    if request.POST.get("confirmed"):
        return None
    kept = [(name, value) for name, values in request.POST.lists() for value in values]
    kept = [(name, value) for name, value in kept if name != "csrfmiddlewaretoken"]
    asked: dict[str, Any] = {
        "title": title,
        "consequence": consequence,
        "button": button,
        "back": back,
        "kept": kept,
    }
    return page(request, "approvals/confirm.html", here, **asked)


def attempt(request: Request, act: Callable[[], object], done: str, url: str) -> HttpResponse:
    """One domain call, then back to the page, which says what became of it."""
    try:
        act()
    except DomainError as error:
        forbidden(error)
        complain(request, error.sentence)
    else:
        toast(request, done)
    return redirect(url)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """A page of a list in id order (ids sort by time), found by its neighbour and not by a number."""

    rows: Sequence[M]
    newer: str = ""
    older: str = ""
    params: QueryDict = field(default_factory=QueryDict)

    @property
    def is_paged(self) -> bool:
        """Not the first page: that it is empty says nothing about the whole list."""
        return "after" in self.params or "before" in self.params

    @property
    def newer_url(self) -> str:
        return self._url("after", self.newer)

    @property
    def older_url(self) -> str:
        return self._url("before", self.older)

    def _url(self, name: str, pk: str) -> str:
        if not pk:
            return ""
        params = self.params.copy()
        for known in ("after", "before"):
            params.pop(known, None)
        params[name] = pk
        return f"?{params.urlencode()}"


def newest_first(found: QuerySet[M], params: QueryDict, size: int = PAGE_SIZE) -> Page[M]:
    after, before = params.get("after", ""), params.get("before", "")
    if after:
        rows = list(found.filter(pk__gt=after).order_by("pk")[: size + 1])
        more_newer, rows = len(rows) > size, rows[:size][::-1]
        return _page(rows, more_newer, True, params)
    if before:
        found = found.filter(pk__lt=before)
    rows = list(found.order_by("-pk")[: size + 1])
    return _page(rows[:size], bool(before), len(rows) > size, params)


def _page(rows: list[M], has_newer: bool, has_older: bool, params: QueryDict) -> Page[M]:
    first, last = (str(rows[0].pk), str(rows[-1].pk)) if rows else ("", "")
    return Page(rows, first if has_newer else "", last if has_older else "", params)
