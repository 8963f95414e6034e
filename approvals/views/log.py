"""The send log: every email, both ways, and the whole story of one."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from approvals import actions, permissions
from approvals.models import ConversationThread, Decision
from approvals.views import case as cases
from approvals.views import search, story, turns
from approvals.views.case import PRESETS, Case
from approvals.views.http import Request, attempt, newest_first, page, wants_pane
from assistants.models import Run
from mailboxes.models import Email, EmailQuerySet, Revision

if TYPE_CHECKING:
    from approvals.models import User


def found(user: User) -> QuerySet[Email]:
    related = ("mailbox", "outbound__assistant", "outbound__integration", "outbound__run", "raw")
    return Email.objects.visible_to(user).select_related(*related).defer("raw__data")


def listed(emails: EmailQuerySet | QuerySet[Email]) -> QuerySet[Email]:
    """For a row: without bodies or frozen bytes, with the digest that left and who decided."""
    sent = Revision.objects.filter(email=OuterRef("pk"), number=OuterRef("outbound__revision"))
    standing = Decision.objects.standing()
    return (
        emails.defer("text", "html", "raw__data")
        .annotate(sent_digest=Subquery(sent.values("sent_digest")[:1]))
        .prefetch_related(Prefetch("outbound__decisions", standing), Prefetch("decisions", standing))
    )


@require_safe
def log(request: Request) -> HttpResponse:
    filters = search.parse(" ".join(request.GET.getlist("q")))
    emails, complaint = _narrowed(listed(found(request.user)), filters)
    rows = newest_first(emails, request.GET)
    first = Record(request, rows.rows[0].pk) if rows.rows else None
    chips = [(one, _without(filters, one)) for one in filters]
    context: dict[str, Any] = {"page": rows, "filters": filters, "chips": chips, "keys": search.SHOWN}
    return page(request, "approvals/log.html", "log", account=first, complaint=complaint, **context)


def _narrowed(emails: QuerySet[Email], filters: list[search.Filter]) -> tuple[QuerySet[Email], str]:
    """What fits every filter; or nothing, and why a filter makes no sense."""
    if len(filters) > search.MOST:
        return emails.none(), f"That is too much at once: at most {search.MOST} words and filters."
    try:
        for one in filters:
            emails = emails.filter(search.condition(one))
    except search.BadFilter as error:
        return emails.none(), str(error)
    return emails, ""


def _without(filters: list[search.Filter], gone: search.Filter) -> str:
    left = " ".join(str(one) for one in filters if one != gone)
    return f"?{urlencode({'q': left})}" if left else "?"


class Record:
    """One email with its story; for a page of its own, or the pane beside the log."""

    def __init__(self, request: Request, pk: str) -> None:
        self.user = request.user
        self.email = get_object_or_404(found(request.user), pk=pk)

    presets = PRESETS

    @cached_property
    def steps(self) -> list[story.Step]:
        return story.of_email(self.email, self.user)

    @cached_property
    def case(self) -> Case | None:
        if self.email.is_inbound:
            return None
        return Case(cases.found(self.user).get(pk=self.email.pk), self.user)

    @cached_property
    def run(self) -> Run | None:
        """The one that wrote it, or that it started."""
        seen = Run.objects.visible_to(self.user).defer("transcript")
        if self.email.is_inbound:
            return seen.filter(start_key=self.email.pk).first()
        run: Run | None = self.email.outbound.run
        return run if run is None or self.user.all_mailboxes else seen.filter(pk=run.pk).first()

    @cached_property
    def threads(self) -> list[ConversationThread]:
        return turns.threads_of(self.email)

    @property
    def is_held(self) -> bool:
        return self.email.inbound_status == Email.InboundStatus.PENDING

    @cached_property
    def denial(self) -> str:
        return permissions.denial(permissions.check_decide, self.user, self.email)


@require_safe
def message(request: Request, pk: str) -> HttpResponse:
    account = Record(request, pk)
    template = "approvals/message.html#story" if wants_pane(request, "story") else "approvals/message.html"
    return page(request, template, "inbound" if account.email.is_inbound else "log", account=account)


@require_POST
def decide_inbound(request: Request, pk: str, verdict: str) -> HttpResponse:
    """Held mail: let it through to the assistants, or keep it from them."""
    email = Record(request, pk).email

    def act() -> None:
        if verdict == "approve":
            actions.approve_inbound(email, by=request.user)
        else:
            actions.reject_inbound(email, by=request.user, reason=request.POST.get("reason", ""))

    done = "Let through." if verdict == "approve" else "Rejected. No assistant will see it."
    return attempt(request, act, done, reverse("message", args=[pk]))


@require_safe
def inbound(request: Request) -> HttpResponse:
    """Held ones first, whatever the page."""
    emails = listed(found(request.user)).filter(direction=Email.Direction.INBOUND)
    held = emails.filter(inbound_status=Email.InboundStatus.PENDING).order_by("pk")[:50]
    rest = newest_first(emails.exclude(inbound_status=Email.InboundStatus.PENDING), request.GET)
    return page(request, "approvals/inbound.html", "inbound", held=held, page=rest)
