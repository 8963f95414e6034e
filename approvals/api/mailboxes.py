"""/v1/mailboxes and /v1/mailboxes/{id}."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from approvals import mailbox_requests, wire
from approvals.api import answers
from approvals.api.base import View, body, key_of, mailbox_of, query
from approvals.api.paging import page
from approvals.api.requests import MailboxRequest, PageQuery
from approvals.api.schema import operation
from assistants.models import Scope
from mailboxes.models import Mailbox, OversightMode


class MailboxesView(View):
    scopes = {"GET": (Scope.READ,), "POST": (Scope.ADMIN,)}

    @operation("list_mailboxes", answers.MailboxList, parameters=[PageQuery])
    def get(self, request: Request) -> Response:
        """The mailboxes within the key's reach, newest first."""
        found, cursor = page(Mailbox.objects.visible_to(key_of(request)), query(request, PageQuery))
        shown = [wire.mailbox_object(mailbox) for mailbox in found]
        return Response({"mailboxes": shown, "items": shown, "cursor": cursor})

    @operation(
        "create_mailbox",
        wire.MailboxObject,
        status=201,
        also={202: answers.PendingApproval},
        request=MailboxRequest,
    )
    def post(self, request: Request) -> Response:
        """Create a mailbox. A key's first is made at once; a later one takes an administrator's code."""
        data = body(request, MailboxRequest)
        wanted = mailbox_requests.Wanted(
            address=data.get("address") or data.get("address_local") or data["address_local_part"],
            display_name=data.get("display_name", ""),
            oversight_mode=data.get("oversight_mode", OversightMode.GATED_SEND),
        )
        made = mailbox_requests.create_by_key(wanted, data.get("approval_code", ""), by=key_of(request))
        if isinstance(made, Mailbox):
            return Response(wire.mailbox_object(made), status=201)
        pending = {
            "status": "pending_approval",
            "message": "An administrator sees a one-time code. Repeat this call with it as approval_code.",
            "expires_at": wire.moment(made.expires_at),
        }
        return Response(pending, status=202)


class MailboxView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("get_mailbox", wire.MailboxObject)
    def get(self, request: Request, mailbox_id: str) -> Response:
        return Response(wire.mailbox_object(mailbox_of(key_of(request), mailbox_id)))
