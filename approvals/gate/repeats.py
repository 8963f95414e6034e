"""What was asked before is answered as before: by tool call, by idempotency key, by content."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from approvals.errors import Conflict, Duplicate, IdempotencyReused, Invalid
from approvals.models import IdempotencyKey, OutboundMessage
from approvals.permissions import Sender
from assistants.models import ApiKey
from mailboxes.models import Email

NAMED_FOR = timedelta(hours=24)
SAME_CONTENT_FOR = timedelta(seconds=60)
Kind = IdempotencyKey.Kind


def find(by: Sender, call_key: str, content_hash: str, idempotency_key: str) -> OutboundMessage | None:
    """The message that this request already made, or None. Inside the transaction that would make it."""
    # read first: whoever wrote it has committed the message too, so the looks below can't miss that one
    same = _live(by, Kind.CONTENT, content_hash) if isinstance(by, ApiKey) else None
    found = _of_call(call_key, content_hash)
    if found is None and isinstance(by, ApiKey):
        found = _of_key(by, content_hash, idempotency_key)
    if found is None and same:
        raise Duplicate(
            f"The same message was submitted less than a minute ago, as {same.email_id}.",
            email_id=same.email_id,
        )
    return found


def _of_call(call_key: str, content_hash: str) -> OutboundMessage | None:
    if not call_key:
        return None
    found = OutboundMessage.objects.select_related("email__mailbox").filter(call_key=call_key).first()
    if found and found.content_hash != content_hash:
        raise Conflict(
            f"This tool call has already asked for another message, {found.pk}.",
            "tool_call_reused",
            message=found,
        )
    return found


def _of_key(by: ApiKey, content_hash: str, idempotency_key: str) -> OutboundMessage | None:
    if not idempotency_key:
        return None
    if len(idempotency_key) > 255 or not idempotency_key.isprintable():
        message = "An idempotency key has at most 255 printable characters."
        raise Invalid([{"field": "idempotency_key", "code": "bad_idempotency_key", "message": message}])
    named = _live(by, Kind.NAMED, idempotency_key)
    if named is None:
        return None
    found = OutboundMessage.objects.select_related("email__mailbox").get(pk=named.email_id)
    if named.request_hash != content_hash:
        raise IdempotencyReused(
            f"This idempotency key has already asked for another message, {found.pk}.", message=found
        )
    return found


def _live(by: ApiKey, kind: Kind, value: str) -> IdempotencyKey | None:
    return IdempotencyKey.objects.filter(
        key=by, kind=kind, value=value, expires_at__gt=timezone.now()
    ).first()


def remember(by: Sender, email: Email, content_hash: str, idempotency_key: str) -> None:
    """Unique rows: of two requests at once one fails here, starts over, and finds the other's."""
    if not isinstance(by, ApiKey):
        return
    now = timezone.now()
    same = Q(kind=Kind.CONTENT, value=content_hash) | Q(kind=Kind.NAMED, value=idempotency_key)
    IdempotencyKey.objects.filter(same, key=by, expires_at__lte=now).delete()
    kept = [(Kind.CONTENT, content_hash, SAME_CONTENT_FOR)]
    if idempotency_key:
        kept.append((Kind.NAMED, idempotency_key, NAMED_FOR))
    for kind, value, time in kept:
        IdempotencyKey.objects.create(
            key=by, kind=kind, value=value, request_hash=content_hash, email=email, expires_at=now + time
        )
