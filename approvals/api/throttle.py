"""The write limit: a token bucket per key, in one UPDATE, so that no two processes spend one token."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest
from rest_framework.throttling import BaseThrottle

from approvals.api.errors import TooMany
from assistants.models import ApiKey, Scope

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

READING = frozenset({Scope.READ, Scope.OVERSIGHT_READ})


def spend(key: ApiKey) -> None:
    """Take one token, or raise TooMany.

    The bucket is kept as the moment at which it will be full again (the GCRA form of a token
    bucket): a single number, which a single statement compares and moves.
    """
    if not settings.WRITE_LIMIT:
        return
    interval, now = 60 / settings.WRITE_LIMIT, time.time()
    latest = now + (settings.WRITE_BURST - 1) * interval
    with transaction.atomic():
        spent = ApiKey.objects.filter(pk=key.pk, bucket_full_at__lte=latest).update(
            bucket_full_at=Greatest(F("bucket_full_at"), Value(now)) + interval
        )
    if not spent:
        full_at = ApiKey.objects.values_list("bucket_full_at", flat=True).get(pk=key.pk)
        raise TooMany(
            f"More than {settings.WRITE_LIMIT} write calls a minute.",
            wait=max(1, math.ceil(full_at - latest)),
        )


class WriteLimit(BaseThrottle):
    """For every call that needs more than reading, by whichever method it comes."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        scopes: tuple[str, ...] = getattr(view, "scopes", {}).get(str(request.method), ())
        if isinstance(request.auth, ApiKey) and scopes and READING.isdisjoint(scopes):
            spend(request.auth)
        return True
