"""/v1/operator: a person lets a key work for half an hour without a code for each thing."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import operator_sessions, wire
from approvals.api import answers
from approvals.api.admin_requests import SessionCode
from approvals.api.base import View, body, key_of
from approvals.api.schema import operation
from approvals.operator_sessions import COOKIE, LASTS
from assistants.models import Scope

PATH = "/v1/"


class StartSessionView(View):
    scopes = {"POST": (Scope.ADMIN,)}

    @operation("start_operator_session", answers.SessionAsked, request=None)
    def post(self, request: Request) -> Response:
        """Ask for a session. An administrator is shown a one-time code, and mailed it."""
        asked = operator_sessions.ask(by=key_of(request))
        message = "An administrator sees a one-time code. Call verify-session with it."
        told = {"status": "code_sent", "message": message, "expires_at": wire.moment(asked.expires_at)}
        return Response(told)


class VerifySessionView(View):
    scopes = {"POST": (Scope.ADMIN,)}

    @operation("verify_operator_session", answers.Session, request=SessionCode)
    def post(self, request: Request) -> Response:
        """Begin it with the code. The cookie that comes back goes with each call that is to need no code."""
        data = body(request, SessionCode)
        session, token = operator_sessions.begin(data["code"], by=key_of(request))
        response = Response({"active": True, "expires_at": wire.moment(session.expires_at)})
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(LASTS.total_seconds()),
            path=PATH,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Strict",
        )
        return response


class SessionView(View):
    scopes = {"GET": (Scope.ADMIN,)}

    @operation("get_operator_session", answers.Session)
    def get(self, request: Request) -> Response:
        """Whether the cookie of this call stands for a session of this key, and until when."""
        session = operator_sessions.find(key_of(request), request.COOKIES.get(COOKIE, ""))
        until = wire.moment(session.expires_at) if session else None
        return Response({"active": session is not None, "expires_at": until})


class EndSessionView(View):
    scopes = {"POST": (Scope.ADMIN,)}

    @operation("end_operator_session", answers.Status, request=None)
    def post(self, request: Request) -> Response:
        """End whatever session this key has."""
        operator_sessions.end(by=key_of(request))
        response = Response({"status": "ended"})
        response.delete_cookie(COOKIE, path=PATH, samesite="Strict")
        return response
