"""What needs no key: health and the OpenAPI document. And the answer for addresses that do not exist."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.api import answers
from approvals.api.authentication import ANY_KEY
from approvals.api.base import View
from approvals.api.schema import public
from approvals.errors import DomainError, NotFound
from assistants.models import Scope
from audit import watch

METHODS = ("get", "post", "put", "patch", "delete")


class HealthView(View):
    http_method_names = ["get", "head"]
    authentication_classes = []
    permission_classes = [AllowAny]

    @public("health", answers.Health, also={503: answers.Health})
    def get(self, request: Request) -> Response:
        """Whether the database answers; 503 when it does not."""
        try:
            watch.head()
        except DatabaseError:
            return Response({"status": "degraded"}, status=503)
        return Response({"status": "ok"})


class OpenApiView(SpectacularJSONAPIView):
    authentication_classes = []
    permission_classes = [AllowAny]


class SignUpView(View):
    """Accounts are made by whoever runs the install, so there is nothing to sign up for."""

    schema = None
    authentication_classes = []
    permission_classes = [AllowAny]

    def post(self, request: Request, **_: Any) -> Response:
        raise sign_up_is_off()

    get = post


def sign_up_is_off() -> NotFound:
    sentence = "Sign-up is off here: whoever runs this Counterseal makes keys, in the dashboard."
    return NotFound(sentence)


class BillingView(View):
    """Clients have calls for it; a self-hosted install has nothing to pay for."""

    schema = None
    scopes = {"POST": (Scope.ADMIN,)}

    def post(self, request: Request, what: str) -> Response:
        raise DomainError("This install is self-hosted: there is no plan to change.", "self_hosted")


class NothingView(View):
    """Every other address under /v1: 401 without a key, 404 with one, in JSON."""

    schema = None
    scopes = dict.fromkeys(map(str.upper, METHODS), ANY_KEY)

    def _nothing(self, request: Request, **_: Any) -> Response:
        raise NotFound(f"There is nothing at {request.path}.")

    get = post = put = patch = delete = _nothing
