"""The write limit: a token bucket per key, in one UPDATE, so that no two processes spend one token."""

from __future__ import annotations

import math
import time

from django.conf import settings
from django.db import transaction
from django.db.models import F, FloatField
from django.db.models.functions import Greatest

from assistants.models import ApiKey
from audit.prepared import Change, Slot

_take = Change(
    lambda: ApiKey.objects.filter(pk=Slot("pk"), bucket_full_at__lte=Slot("latest")),
    bucket_full_at=Greatest(F("bucket_full_at"), Slot("now", FloatField())) + Slot("interval", FloatField()),
)


def spend(key: ApiKey) -> int:
    """Take one token. Returns 0, or the seconds after which the same call may pass.

    The bucket is kept as the moment at which it will be full again (the GCRA form of a token
    bucket): a single number, which a single statement compares and moves.
    """
    if not settings.WRITE_LIMIT:
        return 0
    interval, now = 60 / settings.WRITE_LIMIT, time.time()
    latest = now + (settings.WRITE_BURST - 1) * interval
    with transaction.atomic():
        spent = _take.run(pk=key.pk, now=now, latest=latest, interval=interval)
    if spent:
        return 0
    full_at = ApiKey.objects.values_list("bucket_full_at", flat=True).get(pk=key.pk)
    return max(1, math.ceil(full_at - latest))


def sentence() -> str:
    return f"More than {settings.WRITE_LIMIT} write calls a minute."
