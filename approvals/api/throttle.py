"""The write limit of a key, as DRF asks for it. (DRF's own throttle is racy across processes.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.throttling import BaseThrottle

from approvals.errors import TooMany
from assistants import limits
from assistants.models import ApiKey, Scope

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

READING = frozenset({Scope.READ, Scope.OVERSIGHT_READ})


def spend(key: ApiKey) -> None:
    """Take one token, or raise TooMany."""
    if wait := limits.spend(key):
        raise TooMany(limits.sentence(), wait=wait)


class WriteLimit(BaseThrottle):
    """For every call that changes something: none by GET, and no POST that needs reading only."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        scopes: tuple[str, ...] = getattr(view, "scopes", {}).get(str(request.method), ())
        reads = request.method == "GET" or not READING.isdisjoint(scopes)
        if isinstance(request.auth, ApiKey) and scopes and not reads:
            spend(request.auth)
        return True
