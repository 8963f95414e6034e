"""Who calls, by bearer key, and whether the key's scopes cover the call. Nothing is allowed by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission

from approvals.errors import NotPermitted
from approvals.operator_sessions import COOKIE, find
from assistants.keys import find_key
from assistants.models import ApiKey

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.views import APIView

CHALLENGE = 'Bearer realm="counterseal"'

# what a view declares for a method that any key may call
ANY_KEY: tuple[str, ...] = ()


def _presented_secret(request: HttpRequest | Request) -> str:
    """From `Authorization: Bearer …` or `X-API-Key`; "" when the request carries neither."""
    kind, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
    if kind.lower() == "bearer":
        return secret.strip()
    return request.headers.get("X-API-Key", "").strip()


def identify(request: HttpRequest | Request) -> ApiKey | None:
    """None if no key was presented; AuthenticationFailed if one was that is no good."""
    secret = _presented_secret(request)
    if not secret:
        return None
    key = find_key(secret)
    if key is None:
        raise AuthenticationFailed("This API key is unknown, expired or revoked.")
    return key


class KeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[ApiKey, ApiKey] | None:
        key = identify(request)
        if key is None:
            return None
        if token := request.COOKIES.get(COOKIE):
            key.in_operator_session = find(key, token) is not None
        return key, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def check_scopes(key: ApiKey, scopes: tuple[str, ...]) -> None:
    """Any one of `scopes` will do; none named means that every key may."""
    if scopes and not any(key.has_scope(scope) for scope in scopes):
        needed = " or ".join(scopes)
        raise NotPermitted(
            f"This call needs the scope {needed}, which this key does not have.", "missing_scope"
        )


class HasScope(BasePermission):
    """A view names the scopes of each of its methods; a method that it does not name is refused."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, ApiKey):
            return False
        declared: dict[str, tuple[str, ...]] = getattr(view, "scopes", {})
        method = str(request.method)
        if method in declared:
            check_scopes(request.auth, declared[method])
            return True
        # a method without a handler goes on to its 405; one with a handler but no scope is a mistake
        return method.lower() not in view.http_method_names or not hasattr(view, method.lower())


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = KeyAuthentication
    name = ["bearerKey", "headerKey"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{"bearerKey": []}, {"headerKey": []}]  # either will do

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {"type": "http", "scheme": "bearer", "description": "An API key, mm_live_…"},
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        ]
