"""What the outside world posts to us by itself. Public: a signature is what lets it in."""

from __future__ import annotations

from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, gate
from approvals.api.base import View
from assistants.webhooks import LARGEST
from mailboxes import handing, tracking


class HookView(View):
    schema = None
    http_method_names = ["post"]
    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []
    # what is signed are the bytes
    parser_classes: list[type[BaseParser]] = []


class ModelWebhookView(HookView):
    """From the run server of a connection, e.g. response.completed or agent.session.action_required."""

    def post(self, request: Request, connection_id: str) -> Response:
        body = request._request.read(LARGEST + 1)
        actions.receive_webhook(connection_id, request.headers, body)
        return Response({"received": True})


class MailHookView(HookView):
    def handle_exception(self, exc: Exception) -> Response:
        """Some providers send their password only after they were asked for it."""
        response = super().handle_exception(exc)
        if response.status_code == 401:
            response["WWW-Authenticate"] = 'Basic realm="Counterseal"'
        return response


class MailTrackingView(MailHookView):
    """From a mail provider: deliveries, bounces and complaints."""

    def post(self, request: Request, provider: str) -> Response:
        body = request._request.read(tracking.LARGEST + 1)
        actions.receive_mail_hook(provider, request.headers, body)
        return Response({"received": True})


class MailHandedView(MailHookView):
    """From a mail provider: mail that it received for a mailbox."""

    def post(self, request: Request, provider: str) -> Response:
        body = request._request.read(handing.largest() + 1)
        return Response({"received": True, "mailboxes": gate.take_handed(provider, request.headers, body)})
