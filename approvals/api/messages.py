"""GET /v1/messages/{id}: the status of a message, at once or at its next change.

An async view outside DRF: a sync one would hold a thread and a database connection while it waits.
"""

from __future__ import annotations

import time

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import MethodNotAllowed

from approvals import wire
from approvals.api.base import email_of
from approvals.api.beside import authenticate, place_in_line, refuse
from approvals.api.requests import WaitQuery
from approvals.states import FINAL
from approvals.wire import Dialect
from assistants.models import ApiKey, Scope
from audit import watch


@csrf_exempt  # callers carry keys, never cookies
@login_not_required  # DRF's own authentication stands in its place, see beside.py
async def message(request: HttpRequest, message_id: str) -> HttpResponse:
    try:
        if request.method != "GET":
            raise MethodNotAllowed(str(request.method))
        key = await sync_to_async(authenticate)(request, (Scope.READ,))
        status = await _status_in_time(key, message_id, _wait(request))
    except Exception as error:
        return await sync_to_async(refuse)(error)
    return JsonResponse({"id": message_id, "status": status})


def _wait(request: HttpRequest) -> int:
    serializer = WaitQuery(data={name: value for name, value in request.GET.items() if value != ""})
    serializer.is_valid(raise_exception=True)
    seconds: int = serializer.validated_data["wait"]
    return seconds


async def _status_in_time(key: ApiKey, message_id: str, wait: int) -> str:
    look = sync_to_async(_look)
    seen, first, is_final = await look(key, message_id)
    if not wait or is_final:
        return first
    with place_in_line(key):
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            if await watch.changed(seen, timeout=left) == seen:
                break
            seen, status, _ = await look(key, message_id)
            if status != first:
                return status
    return first


def _look(key: ApiKey, message_id: str) -> tuple[int, str, bool]:
    """The event that was newest just before, the status, and whether it can still change."""
    try:
        seen = watch.head()
        email = email_of(key, message_id)
        is_final = not email.is_inbound and email.outbound.status in FINAL
        return seen, wire.status(email, Dialect.FLAT), is_final
    finally:
        watch.let_go()
