"""Webhooks out: the events, what is told of each, and how it is signed. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime

RECEIVED = "message.received"
SENT = "message.sent"
DELIVERED = "message.delivered"
BOUNCED = "message.bounced"
COMPLAINED = "message.complained"
PENDING = "oversight.pending"
APPROVED = "oversight.approved"
REJECTED = "oversight.rejected"
EXPIRED = "oversight.expired"
RUN_RESUMED = "run.resumed"
RUN_FAILED = "run.failed"
TEST = "webhook.test"

EVENTS = {
    RECEIVED: "Mail came in, and the assistant may see it.",
    SENT: "The mail server accepted a message.",
    DELIVERED: "A recipient's server says that it delivered a message.",
    BOUNCED: "A recipient's server says that a message could not be delivered.",
    COMPLAINED: "A recipient called a message spam.",
    PENDING: "A message waits for a person.",
    APPROVED: "A waiting message was approved.",
    REJECTED: "A waiting message was rejected.",
    EXPIRED: "Nobody decided about a waiting message in time.",
    RUN_RESUMED: "A run was given the outputs of its calls.",
    RUN_FAILED: "A run ended without completing.",
}
# other names for the same, accepted when an endpoint is registered
ALIASES = {
    "email.received": RECEIVED,
    "email.sent": SENT,
    "message.pending": PENDING,
    "message.approved": APPROVED,
    "message.rejected": REJECTED,
}
SECRET_PREFIX = "whsec_"  # noqa: S105 - not a secret


def known(events: Iterable[str]) -> list[str]:
    """The events by their own names, each once. Raises ValueError with the first that is none."""
    named = [ALIASES.get(event, event) for event in events]
    for event in named:
        if event not in EVENTS:
            raise ValueError(f"“{event}” is not one of {', '.join(EVENTS)}.")
    return list(dict.fromkeys(named))


def headers(secrets: Sequence[str], delivery_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Both signatures. `secrets`: the one in force first; while it is being changed, the old one too.

    X-MultiMail-Signature is HMAC-SHA256 of the body, in hex. The others are those of Standard Webhooks,
    which cover id and time, so that a receiver can refuse a replay.
    """
    timestamp = str(int(at.timestamp()))
    signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
    return {
        "Content-Type": "application/json",
        "User-Agent": "Counterseal-Webhooks/1",
        "X-MultiMail-Signature": hmac.new(secrets[0].encode(), body, hashlib.sha256).hexdigest(),
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_standard(secret, signed)}" for secret in secrets),
    }


def _standard(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


def key_of(secret: str) -> bytes:
    """What Standard Webhooks signs with: the base64 after whsec_, or a caller's own secret as it stands."""
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        return secret.encode()
