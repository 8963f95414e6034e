"""What async views outside DRF share: who calls, how a call is refused, and how many of a key may wait.

A sync view would hold a thread and a database connection while it waits.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.exceptions import NotAuthenticated

from approvals.api.authentication import check_scopes, identify
from approvals.api.errors import answer
from approvals.errors import TooMany
from assistants.models import ApiKey
from audit import watch

MAX_WAITING = 20  # calls of one key at a time

_waiting: Counter[str] = Counter()
_lock = threading.Lock()


def authenticate(request: HttpRequest, scopes: tuple[str, ...] = ()) -> ApiKey:
    try:
        key = identify(request)
        if key is None:
            raise NotAuthenticated
        check_scopes(key, scopes)
        return key
    finally:
        watch.let_go()


def refuse(error: Exception) -> HttpResponse:
    try:
        code, body, headers = answer(error, None)
        return JsonResponse(body, status=code, headers=headers)
    finally:
        watch.let_go()


@contextmanager
def place_in_line(key: ApiKey) -> Iterator[None]:
    with _lock:
        if _waiting[key.pk] >= MAX_WAITING:
            raise TooMany(f"More than {MAX_WAITING} calls of this key are waiting.", wait=1)
        _waiting[key.pk] += 1
    try:
        yield
    finally:
        with _lock:
            _waiting[key.pk] -= 1
            if not _waiting[key.pk]:
                del _waiting[key.pk]


def waiting() -> int:
    """How many calls wait in this process."""
    return sum(_waiting.values())
