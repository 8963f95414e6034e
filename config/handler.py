"""Django's ASGI handler, with one change of thread for what is not async.

Django's own goes to a thread and back for every middleware and every view: two dozen times for one call,
which takes longer than most calls do.
"""

from __future__ import annotations

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve


class Sync(BaseHandler):
    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()


class Handler(ASGIHandler):
    def __init__(self) -> None:
        super().__init__()
        self._sync = Sync()

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        if _is_async(request):
            return await super().get_response_async(request)
        return await sync_to_async(self._sync.get_response, thread_sensitive=True)(request)


def _is_async(request: HttpRequest) -> bool:
    try:
        return iscoroutinefunction(resolve(request.path_info).func)
    except Resolver404:
        return False
