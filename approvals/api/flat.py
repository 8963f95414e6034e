"""The flat dialect: all arguments in one body, also for reads, because a dispatcher posts what it got."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from approvals import gate
from approvals.api import answers, emails, requests, sending
from approvals.api.base import View, body, email_of, key_of, mailbox_of
from approvals.api.parsers import WithFilesParser
from approvals.api.schema import operation
from approvals.wire import Dialect, EmailObject
from assistants.models import Scope
from mailboxes.models import Email


class FlatSendView(View):
    parser_classes = [WithFilesParser]
    scopes = {"POST": (Scope.SEND,)}

    @operation(
        "flat_send",
        answers.SendAnswer,
        status=202,
        also={200: answers.RepeatedSend},
        request=requests.FlatSendRequest,
    )
    def post(self, request: Request) -> Response:
        data = body(request, requests.FlatSendRequest)
        return sending.send(request, data, data["mailbox_id"], Dialect.FLAT)


class FlatReplyView(View):
    parser_classes = [WithFilesParser]
    scopes = {"POST": (Scope.SEND,)}

    @operation(
        "flat_reply",
        answers.SendAnswer,
        status=202,
        also={200: answers.RepeatedSend},
        request=requests.FlatReplyRequest,
    )
    def post(self, request: Request) -> Response:
        data = body(request, requests.FlatReplyRequest)
        return sending.reply(request, data, data["email_id"], data.get("mailbox_id", ""), Dialect.FLAT)


class FlatInboxView(View):
    scopes = {"POST": (Scope.READ,)}

    @operation("flat_inbox", answers.EmailList, request=requests.FlatInboxRequest)
    def post(self, request: Request) -> Response:
        """What was received, newest first; without a mailbox, in all that the key reaches."""
        key = key_of(request)
        wanted: dict[str, Any] = {
            "direction": Email.Direction.INBOUND,
            **body(request, requests.FlatInboxRequest),
        }
        found = Email.objects.visible_to(key)
        if "mailbox_id" in wanted:
            found = found.filter(mailbox=mailbox_of(key, wanted["mailbox_id"]))
        return emails.listing(found, wanted, Dialect.FLAT)


class FlatEmailView(View):
    scopes = {"POST": (Scope.READ,)}

    @operation("flat_email", EmailObject, request=requests.FlatEmailRequest)
    def post(self, request: Request) -> Response:
        """One email. Reading marks it as read."""
        key, data = key_of(request), body(request, requests.FlatEmailRequest)
        return emails.show(email_of(key, data["email_id"], data.get("mailbox_id", "")), key, Dialect.FLAT)


class FlatTagView(View):
    scopes = {"POST": (Scope.SEND,)}

    @operation("flat_tag", answers.Tags, request=requests.FlatTagRequest)
    def post(self, request: Request) -> Response:
        key, data = key_of(request), body(request, requests.FlatTagRequest)
        email = email_of(key, data["email_id"], data.get("mailbox_id", ""))
        if data["action"] == "get":
            return Response({"tags": email.tags})
        new = data["tags"] if data["action"] == "set" else {}
        gone = [data["key"]] if data["action"] == "delete" else []
        return Response({"tags": gate.tag(email, by=key, set=new, delete=gone)})
