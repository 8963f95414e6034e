"""/mcp: who may call it, and from where. The rest is imported with the first call, because it is large."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import MethodNotAllowed

from approvals.api.beside import authenticate, refuse
from approvals.api.parsers import MAX_BYTES_WITH_FILES, TooLarge
from approvals.errors import NotPermitted


@csrf_exempt  # callers carry keys, never cookies
@login_not_required  # keys stand in its place, see beside.py
async def endpoint(request: HttpRequest) -> HttpResponseBase:
    try:
        key = await sync_to_async(authenticate)(request)
        if request.method != "POST":
            # there is no session to listen to or to end
            raise MethodNotAllowed(str(request.method))
        check_origin(request.headers.get("Origin", ""))
        body = _body(request)
    except Exception as error:
        return await sync_to_async(refuse)(error)
    over_http = await sync_to_async(_over_http)()
    response: HttpResponseBase = await over_http.serve(request, key, body)
    return response


def _over_http() -> Any:
    return import_module("approvals.mcp.over_http")


def check_origin(origin: str) -> None:
    """Pages of other sites have no business here. Programs name no site, be it none or one of their own."""
    scheme, _, rest = origin.partition("://")
    if scheme not in ("http", "https") or origin == settings.PUBLIC_URL:
        return
    host, _ = split_domain_port(rest)
    if not host or not validate_host(host, settings.ALLOWED_HOSTS):
        raise NotPermitted(f"Pages of {origin[:200]} may not call this.", "foreign_origin")


def _body(request: HttpRequest) -> bytes:
    body: bytes = request.read(MAX_BYTES_WITH_FILES + 1)
    if len(body) > MAX_BYTES_WITH_FILES:
        raise TooLarge(MAX_BYTES_WITH_FILES)
    return body
