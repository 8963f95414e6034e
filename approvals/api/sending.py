"""Send and reply, and cancelling what has not left, in both dialects."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, gate, wire
from approvals.api import answers, requests
from approvals.api.base import View, body, email_of, key_of, mailbox_of
from approvals.api.parsers import WithFilesParser
from approvals.api.schema import operation
from approvals.errors import NotFound
from approvals.states import Status
from approvals.wire import Dialect
from assistants.models import ApiKey, Scope

SENTENCES = {
    Status.PENDING: "Held for review: a person will decide. It has not been sent.",
    Status.DEFERRED: "A person is asked when its time has come. It has not been sent.",
    Status.SCHEDULED: "Released by the mailbox's policy; it leaves at its time.",
    Status.APPROVED: "Released by the mailbox's policy; it is being sent.",
}


def send(request: Request, data: dict[str, Any], mailbox_id: str, dialect: Dialect) -> Response:
    key = key_of(request)
    submission = gate.send(
        requests.draft(data), mailbox_of(key, mailbox_id), by=key, **_circumstances(request, data)
    )
    return _sent(submission, dialect)


def reply(
    request: Request, data: dict[str, Any], email_id: str, mailbox_id: str, dialect: Dialect
) -> Response:
    key: ApiKey = key_of(request)
    email = email_of(key, email_id, mailbox_id)
    submission = gate.reply(email, requests.draft(data), by=key, **_circumstances(request, data))
    return _sent(submission, dialect)


def _circumstances(request: Request, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "context": requests.context(data, request.headers),
        "idempotency_key": requests.idempotency_key(data, request.headers),
    }


def _sent(submission: gate.Submission, dialect: Dialect) -> Response:
    message = submission.message
    known = {"id": message.pk, "thread_id": message.email.conversation_id}
    status = wire.word(message.status, dialect)
    if not submission.repeated:
        sentence = SENTENCES.get(Status(message.status), f"This message is {status}.")
        return Response({**known, "status": status, "message": sentence}, status=202)
    if dialect is Dialect.MAILBOX:
        status = "already_sent"
    return Response({**known, "status": status, "idempotent": True})


class SendView(View):
    parser_classes = [WithFilesParser]
    scopes = {"POST": (Scope.SEND,)}

    @operation(
        "send_email",
        answers.SendAnswer,
        status=202,
        also={200: answers.RepeatedSend},
        request=requests.SendRequest,
    )
    def post(self, request: Request, mailbox_id: str) -> Response:
        """Hand in a message. The answer's status says whether it is held, or on its way."""
        return send(request, body(request, requests.SendRequest), mailbox_id, Dialect.MAILBOX)


class ReplyView(View):
    parser_classes = [WithFilesParser]
    scopes = {"POST": (Scope.SEND,)}

    @operation(
        "reply_email",
        answers.SendAnswer,
        status=202,
        also={200: answers.RepeatedSend},
        request=requests.ReplyRequest,
    )
    def post(self, request: Request, mailbox_id: str, email_id: str) -> Response:
        """Hand in a reply. It goes to Reply-To if the email has one, else to From."""
        return reply(request, body(request, requests.ReplyRequest), email_id, mailbox_id, Dialect.MAILBOX)


class ScheduleView(View):
    scopes = {"PATCH": (Scope.SEND,)}

    @operation("edit_scheduled_email", answers.MessageStatus, request=requests.ScheduleRequest)
    def patch(self, request: Request, mailbox_id: str, email_id: str) -> Response:
        """Change what has not been decided, or when it leaves. A person's approval is asked for anew."""
        key, data = key_of(request), body(request, requests.ScheduleRequest)
        email = email_of(key, email_id, mailbox_id)
        if email.is_inbound:
            raise NotFound("There is no such outbound message.")
        message = gate.revise(email.outbound, data, by=key)
        return Response({"id": message.pk, "status": wire.word(message.status)})


class CancelView(View):
    scopes = {"POST": (Scope.SEND,)}

    @operation("cancel_message", answers.MessageStatus, request=None)
    def post(self, request: Request, mailbox_id: str, email_id: str) -> Response:
        """Take back what has not begun to leave; twice does no harm."""
        key = key_of(request)
        email = email_of(key, email_id, mailbox_id)
        if email.is_inbound:
            raise NotFound("There is no such outbound message.")
        message = actions.cancel(email.outbound, by=key)
        return Response({"id": message.pk, "status": wire.word(message.status)})
