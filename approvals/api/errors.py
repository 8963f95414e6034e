"""Every refusal in one shape: {"error", "code", "field", "fields", "request_id"}."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from approvals import wire
from approvals.api.authentication import CHALLENGE
from approvals.errors import Conflict, DomainError, Invalid, NotFound, TooMany
from approvals.models import Decision, OutboundMessage
from audit.ids import new_id
from audit.log import storable

if TYPE_CHECKING:
    from rest_framework.request import Request

log = logging.getLogger("counterseal.api")

Answer = tuple[int, dict[str, Any], dict[str, str]]  # status, body, headers


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    status, body, headers = answer(error, context["request"])
    return Response(body, status=status, headers=headers)


def answer(error: Exception, request: Request | None) -> Answer:
    status, body, headers = _translate(error)
    request_id = new_id("req")
    if status >= 500:
        log.error("request %s failed", request_id, exc_info=error)
        got_request_exception.send(sender=None, request=getattr(request, "_request", request))
    # a refusal may quote half a character, which no answer can hold
    told: dict[str, Any] = storable(body)
    return status, {**told, "request_id": request_id}, {**headers, "X-Request-Id": request_id}


def _translate(error: Exception) -> Answer:
    if isinstance(error, Http404):
        error = NotFound("There is nothing here.")
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, exceptions.ValidationError):
        error = Invalid(_flatten(error.get_full_details()))
    if isinstance(error, DomainError):
        return error.status, _domain_body(error), _domain_headers(error)
    if isinstance(error, exceptions.APIException):
        body = {"error": str(error.detail), "code": str(error.get_codes())}
        return error.status_code, body, _protocol_headers(error)
    return 500, {"error": "Something went wrong on our side.", "code": "internal_error"}, {}


def _domain_body(error: DomainError) -> dict[str, Any]:
    body: dict[str, Any] = {"error": error.sentence, "code": error.code}
    if isinstance(error, Invalid) and error.fields:
        body |= {"field": error.fields[0]["field"], "fields": error.fields}
    if isinstance(error, Conflict):
        body |= {name: _told(value) for name, value in error.details.items()}
        body |= _as_it_is_now(error.message) if error.message else {}
    return body


def _told(value: Any) -> Any:
    return wire.decision(value) if isinstance(value, Decision) else value


def _as_it_is_now(message: OutboundMessage) -> dict[str, Any]:
    """The decision that won, and what a caller would have to name to decide on it after all."""
    email = wire.with_story(type(message.email).objects.filter(pk=message.pk)).get()
    current = wire.email_object(email)
    return {
        "id": email.pk,
        "status": current["status"],
        "decision": current["decision"],
        "revision": message.revision,
        "digest": message.digest,
    }


def _domain_headers(error: DomainError) -> dict[str, str]:
    return {"Retry-After": str(error.wait)} if isinstance(error, TooMany) else {}


def _protocol_headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if error.status_code == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return headers


def _flatten(details: Any, path: str = "") -> Iterator[dict[str, str]]:
    """The errors of a serializer, each with the path of its field: `to[2]`, `context.run_id`."""
    if isinstance(details, dict) and isinstance(details.get("message"), str) and "code" in details:
        field = path or "body"
        yield {"field": field, "code": details["code"], "message": f"{field}: {details['message']}"}
    elif isinstance(details, dict):
        for name, inner in details.items():
            yield from _flatten(inner, _join(path, name))
    else:
        for inner in details:
            yield from _flatten(inner, path)


def _join(path: str, name: Any) -> str:
    if name == "non_field_errors":
        return path
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else str(name)
