"""No page takes a NUL: PostgreSQL cannot even be asked about one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseNotFound
from django.utils.decorators import sync_and_async_middleware

# these answer in shapes of their own
APIS = ("/v1/", "/openai/")
FORM = "application/x-www-form-urlencoded"


@sync_and_async_middleware
def no_nul(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def answer_later(request: HttpRequest) -> HttpResponse:
            refusal = _refusal(request)
            if refusal:
                return refusal
            response: HttpResponse = await get_response(request)
            return response

        return answer_later

    def answer(request: HttpRequest) -> HttpResponse:
        refusal = _refusal(request)
        if refusal:
            return refusal
        response: HttpResponse = get_response(request)
        return response

    return answer


def _refusal(request: HttpRequest) -> HttpResponse | None:
    if request.path.startswith(APIS):
        return None
    if "\0" in request.path:
        return HttpResponseNotFound("There is no such page.", content_type="text/plain")
    sent = [request.GET] + ([request.POST] if request.content_type == FORM else [])
    if any("\0" in one for values in sent for key, texts in values.lists() for one in (key, *texts)):
        return HttpResponseBadRequest("Text on this site has no NUL in it.", content_type="text/plain")
    return None
