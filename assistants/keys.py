"""Bearer keys, and the short-lived tokens by which our own run driver reaches our own server."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.core.signing import BadSignature, TimestampSigner
from django.db.models import DateTimeField, Q
from django.utils import timezone

from assistants.models import ApiKey, Assistant
from audit.prepared import Rows, Slot
from audit.secrets import hash_secret

PREFIX = "mm_live_"
TOUCH_EVERY = timedelta(minutes=1)
TOKEN_MAX_AGE = 60  # seconds


def mint() -> tuple[dict[str, str], str]:
    """The fields of an ApiKey that follow from a new secret, and the secret itself, to be shown once."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return {"prefix": secret[:16], "hash": hash_secret(secret)}, secret


_live = Rows(
    lambda: (
        ApiKey.objects.live(Slot("now", DateTimeField()))
        .select_related("assistant", "integration")
        .filter(hash=Slot("hash"))
    )
)


def find_key(secret: str) -> ApiKey | None:
    """The live key behind `secret`, with its owner; notes its use at most once a minute."""
    if not secret.startswith(PREFIX):
        return None
    now = timezone.now()
    key = _live.first(now=now, hash=hash_secret(secret))
    if key is None or (key.assistant and not key.assistant.is_active):
        return None
    if key.last_used_at is None or key.last_used_at <= now - TOUCH_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - TOUCH_EVERY)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
    return key


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="internal")


def internal_token(assistant: Assistant) -> str:
    return _signer().sign(assistant.pk)


_active = Rows(lambda: Assistant.objects.filter(pk=Slot("pk"), is_active=True).select_related("connection"))


def assistant_of_token(token: str) -> Assistant | None:
    """The active assistant that a token names, unless it is forged or older than a minute."""
    try:
        pk = _signer().unsign(token, max_age=TOKEN_MAX_AGE)
    except BadSignature:
        return None
    return _active.first(pk=pk)
