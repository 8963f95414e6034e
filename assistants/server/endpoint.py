"""Between HTTP and the views: who calls, with what method, and errors in the protocol's shape."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from assistants.server.auth import Caller, identify
from assistants.server.errors import ApiError
from assistants.server.fields import body_of
from audit import watch
from audit.log import storable

log = logging.getLogger("counterseal.server")


@dataclass(frozen=True, slots=True)
class Asked:
    caller: Caller
    body: dict[str, Any]
    query: dict[str, str]


Answer = dict[str, Any] | HttpResponseBase
Handler = Callable[..., Answer]  # (asked, *ids of the path)


def endpoint(**handlers: Handler) -> Callable[..., HttpResponseBase]:
    """A view with one handler per method. Callers bring keys: no session, no CSRF token."""

    @csrf_exempt
    @login_not_required
    def view(request: HttpRequest, **ids: str) -> HttpResponseBase:
        try:
            return _answer(request, handlers, ids)
        except ApiError as error:
            return error.response()
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return ApiError("The server failed on an internal error.", 500).response()

    return view


def _answer(request: HttpRequest, handlers: dict[str, Handler], ids: dict[str, str]) -> HttpResponseBase:
    caller = identify(request)
    handler = handlers.get(str(request.method))
    if handler is None:
        refused = ApiError(f"Not allowed to {request.method} on {request.path}.", 405).response()
        refused["Allow"] = ", ".join(handlers)
        return refused
    body = body_of(request) if request.method == "POST" else {}
    # PostgreSQL refuses to look for a NUL
    answer = handler(Asked(caller, body, storable(request.GET.dict())), **storable(ids))
    if isinstance(answer, dict):
        return JsonResponse(answer)
    if answer.streaming:
        # this thread's connection would else be kept until the stream ends
        watch.let_go()
    return answer
