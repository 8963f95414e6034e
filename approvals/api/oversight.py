"""What waits for a decision, and deciding, for keys that may."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, wire
from approvals.api import answers
from approvals.api.base import View, body, key_of, mailbox_of, query
from approvals.api.paging import page
from approvals.api.requests import DecideRequest, PendingQuery
from approvals.api.schema import operation
from approvals.errors import NotFound
from approvals.models import OutboundMessage
from approvals.states import Status
from assistants.models import ApiKey, Scope
from audit.prepared import Rows, Slot
from mailboxes.models import Email


def _held() -> QuerySet[Any]:
    """A union, so that each half is found by its own index; an OR across the join reads every email."""
    inbound = Email.objects.filter(inbound_status=Email.InboundStatus.PENDING)
    return OutboundMessage.objects.pending().values("pk").union(inbound.values("pk"))


class PendingView(View):
    scopes = {"GET": (Scope.OVERSIGHT, Scope.OVERSIGHT_READ)}

    @operation("list_pending", answers.PendingList, parameters=[PendingQuery])
    def get(self, request: Request) -> Response:
        """All that is held, in and out, the longest waiting first."""
        key, wanted = key_of(request), query(request, PendingQuery)
        held = Email.objects.visible_to(key).filter(pk__in=_held())
        if "mailbox_id" in wanted:
            held = held.filter(mailbox=mailbox_of(key, wanted["mailbox_id"]))
        if assistant := wanted.get("assistant_id"):
            held = held.filter(Q(assistant_id=assistant) | Q(outbound__assistant=assistant))
        found, cursor = page(wire.with_story(held).prefetch_related("revisions"), wanted, oldest_first=True)
        shown = [wire.pending_object(email) for email in found]
        return Response({"emails": shown, "pending": shown, "items": shown, "cursor": cursor})


_known = Rows(lambda: Email.objects.select_related("mailbox", "outbound").filter(pk=Slot("pk")))


def _email(key: ApiKey, email_id: str) -> Email:
    """With what a decision needs of it, which is far less than what an answer shows."""
    if not Email.objects.visible_to(key).filter(pk=email_id).exists():
        raise NotFound("There is no such email.")
    return _known.get(pk=email_id)


class DecideView(View):
    scopes = {"POST": (Scope.OVERSIGHT,)}

    @operation("decide_email", answers.DecideAnswer, request=DecideRequest)
    def post(self, request: Request) -> Response:
        """Approve or reject one held email. Past revision 1, name the revision or the digest."""
        key, data = key_of(request), body(request, DecideRequest)
        email = _email(key, data["email_id"])
        decide = _decide_inbound if email.is_inbound else _decide_outbound
        return Response({"id": email.pk, "status": decide(email, data, key)})


def _decide_inbound(email: Email, data: dict[str, Any], key: ApiKey) -> str:
    if data["action"] == "approve":
        actions.approve_inbound(email, by=key)
        return "approved"
    actions.reject_inbound(email, by=key, reason=data.get("reason", ""))
    return "rejected"


def _decide_outbound(email: Email, data: dict[str, Any], key: ApiKey) -> str:
    content: dict[str, Any] = {"revision": data.get("revision"), "digest": data.get("digest", "")}
    if data["action"] == "reject":
        actions.reject(email.outbound, by=key, reason=data.get("reason", ""), **content)
        return "rejected"
    message = actions.approve(email.outbound, by=key, **content)
    if message.status == Status.PENDING:
        return wire.word(message.status)  # this approval counts, and another person's is needed
    # a worker may have been quicker than this answer
    return "approved_and_sent" if message.status == Status.SENT else "approved"
