"""The review workspace: a list, and the case beside it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_safe

from approvals.views import case as cases
from approvals.views.boxes import BOXES, Listing
from approvals.views.case import Case
from approvals.views.http import Request, page, wants_pane


def case_url(box: str, pk: str, mailbox_id: str = "") -> str:
    query = f"?{urlencode({'mailbox': mailbox_id})}" if mailbox_id else ""
    return reverse(f"{box}_case", args=[pk]) + query


@require_safe
def box(request: Request, box: str = "queue") -> HttpResponse:
    """The list, with its first case shown beside it where there is room."""
    listing = Listing(BOXES[box], request.user, request.GET)
    shown = listing.rows[0].pk if listing.rows else ""
    message = cases.found(request.user).filter(pk=shown).first()
    return workspace(request, listing, Case(message, request.user) if message else None, is_chosen=False)


@require_safe
def one(request: Request, pk: str, box: str = "queue") -> HttpResponse:
    case = Case(get_object_or_404(cases.found(request.user), pk=pk), request.user)
    if wants_pane(request, "case"):
        context: dict[str, Any] = {
            "case": case,
            "box": BOXES[box],
            "is_chosen": True,
            "is_pane": True,
            "mailbox_id": request.GET.get("mailbox", ""),
        }
        return page(request, "approvals/case.html#case", box, **context)
    return workspace(request, Listing(BOXES[box], request.user, request.GET), case)


def workspace(
    request: Request, listing: Listing, case: Case | None, *, is_chosen: bool = True
) -> HttpResponse:
    total, tabs = listing.tabs()
    next_message = listing.neighbour(case.message.pk) if case else None
    return page(
        request,
        "approvals/queue.html",
        listing.box.name,
        listing=listing,
        box=listing.box,
        mailbox_id=listing.mailbox_id,
        total=total,
        tabs=tabs,
        case=case,
        is_chosen=is_chosen,
        position=listing.position(case.message.pk) if case else 0,
        next_url=case_url(listing.box.name, next_message.pk, listing.mailbox_id) if next_message else "",
    )
