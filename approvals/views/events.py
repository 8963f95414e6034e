"""The live wire: says only that something changed; the page then asks for what it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from approvals.models import User
from audit import watch

PER_PERSON = 12
BEAT = 20.0  # seconds between signs of life, which keep proxies from closing the stream
BEATS = 30  # then the browser comes again, and who it is gets looked at again

_open: Counter[str] = Counter()


async def events(request: HttpRequest) -> HttpResponseBase:
    user = await request.auser()
    if not isinstance(user, User):
        return HttpResponse(status=401)
    if _open[user.pk] >= PER_PERSON:
        return HttpResponse("Too many open pages.", status=429, content_type="text/plain")
    response = StreamingHttpResponse(_changes(user.pk), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


async def _changes(person: str) -> AsyncIterator[str]:
    _open[person] += 1
    try:
        seen = await watch.changed(-1, timeout=0)
        yield "retry: 3000\n\n"
        for _ in range(BEATS):
            now = await watch.changed(seen, timeout=BEAT)
            yield ": still here\n\n" if now == seen else f"event: changed\ndata: {now}\n\n"
            seen = now
    finally:
        _open[person] -= 1
        if not _open[person]:
            del _open[person]
