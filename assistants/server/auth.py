"""Who calls: an assistant with one of its keys, or our own run driver in its name."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from assistants import limits
from assistants.keys import assistant_of_token, find_key
from assistants.models import ApiKey, Assistant, Run, Scope
from assistants.server.errors import ApiError


@dataclass(frozen=True, slots=True)
class Caller:
    assistant: Assistant
    driver: str  # of the runs that it makes
    key: ApiKey | None = None  # None for our own driver


def identify(request: HttpRequest) -> Caller:
    secret = _secret(request)
    if not secret:
        raise ApiError("You didn't provide an API key. Send `Authorization: Bearer mm_live_…`.", 401)
    if assistant := assistant_of_token(secret):
        return Caller(assistant, Run.Driver.COUNTERSEAL)
    key = find_key(secret)
    if key is None:
        raise ApiError("This API key is unknown, expired or revoked.", 401, code="invalid_api_key")
    if request.method in ("GET", "HEAD"):
        return _caller(key, Scope.READ)
    caller = _caller(key, Scope.SEND)
    if wait := limits.spend(key):
        raise ApiError(limits.sentence(), 429, code="rate_limit_exceeded", wait=wait)
    return caller


def _secret(request: HttpRequest) -> str:
    kind, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return secret.strip()
    # as Azure's clients send it
    return request.headers.get("api-key", "").strip()


def _caller(key: ApiKey, scope: Scope) -> Caller:
    if key.assistant is None:
        raise ApiError("This key belongs to an integration; only an assistant's key may run assistants.", 403)
    if not key.has_scope(scope):
        raise ApiError(
            f"This call needs the scope {scope.value}, which this key does not have.",
            403,
            code="missing_scope",
        )
    return Caller(key.assistant, Run.Driver.CALLER, key)
