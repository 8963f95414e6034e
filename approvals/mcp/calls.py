"""Calls of the API made in this process: the same address, view, key and limits as from outside.

So a tool needs no checks, and no shapes, of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve

from approvals.api.requests import CONTEXT_HEADERS
from assistants.models import ApiKey
from audit import watch

# of a call to /mcp, what also matters to the API: who calls, for which run, and under which key
PASSED_ON = ("Authorization", "X-API-Key", "Idempotency-Key", *CONTEXT_HEADERS.values())


@dataclass(frozen=True, slots=True)
class Caller:
    key: ApiKey
    headers: Mapping[str, str]
    # where a tool works that names no mailbox
    mailbox_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content: bytes
    content_type: str
    wait: str = ""  # seconds, of a Retry-After

    @property
    def ok(self) -> bool:
        return self.status < 400

    def data(self) -> Any:
        return json.loads(self.content)


def caller_of(request: HttpRequest, key: ApiKey) -> Caller:
    return Caller(key, {name: request.headers[name] for name in PASSED_ON if name in request.headers})


def call(caller: Caller, method: str, path: str, data: Mapping[str, Any]) -> Answer:
    """`data`: the query of a GET, the body of anything else."""
    try:
        found = found_at(path)
        request = _request(caller, method, path, data)
        response: Any = found.func(request, *found.args, **found.kwargs)
        return _answer(response)
    finally:
        watch.let_go()


def found_at(path: str) -> ResolverMatch:
    """The view. Every path under /v1 has one, be it the one that says that nothing is there."""
    return resolve(path)


def _answer(response: HttpResponseBase) -> Answer:
    if hasattr(response, "render"):
        response.render()
    content: bytes = getattr(response, "content", b"")
    return Answer(
        response.status_code,
        content,
        response.headers.get("Content-Type", ""),
        response.headers.get("Retry-After", ""),
    )


def _request(caller: Caller, method: str, path: str, data: Mapping[str, Any]) -> HttpRequest:
    in_query = method == "GET"
    body = b"" if in_query else json.dumps(data).encode()
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": urlencode(data).encode() if in_query else b"",
        "scheme": urlsplit(settings.PUBLIC_URL).scheme,
        "headers": list(_headers(caller.headers, body)),
    }
    return ASGIRequest(scope, BytesIO(body))


def _headers(passed_on: Mapping[str, str], body: bytes) -> Iterable[tuple[bytes, bytes]]:
    own = {
        "Host": urlsplit(settings.PUBLIC_URL).netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    for name, value in {**passed_on, **own}.items():
        yield name.lower().encode("latin-1"), value.encode("latin-1", "replace")
