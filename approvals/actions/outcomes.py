"""What a run hears of its email: the truth of the moment, as the JSON output of its call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from approvals import wire
from approvals.models import OutboundMessage
from approvals.states import Status

Output = dict[str, Any]

UNDECIDED = "Not sent. A person will decide; you will be told. Do not retry and do not say it was sent."
ON_ITS_WAY = "Approved, and not delivered yet; you will be told. Do not retry and do not say it was sent."
IN_DOUBT = (
    "Nobody knows yet whether it was delivered. A person looks into it; you will be told. Do not retry."
)
NOBODY = "Nobody answered in time; it was not sent."


def _reason(message: OutboundMessage) -> str:
    decision = message.decisions.standing().last()
    return decision.reason if decision else ""


def _error(message: OutboundMessage) -> str:
    """Why it failed: what a person said who gave it up, or what the delivery met with."""
    decision = message.decisions.standing().last()
    if decision and decision.verdict == decision.Verdict.GIVE_UP:
        return decision.reason or "The delivery was given up."
    return str(message.delivery.get("error") or "It could not be delivered.")


OUTCOMES: dict[str, Callable[[OutboundMessage], Output]] = {
    Status.SENT: lambda message: {"status": "sent", "sent": True, "to": message.email.recipients},
    Status.SCHEDULED: lambda message: {
        "status": "scheduled",
        "sent": False,
        "send_at": wire.timestamp(message.send_at),
    },
    Status.REJECTED: lambda message: {"status": "rejected", "sent": False, "reason": _reason(message)},
    Status.SUPERSEDED: lambda message: {
        "status": "changes_requested",
        "sent": False,
        "changes": _reason(message),
    },
    Status.EXPIRED: lambda _: {"status": "expired", "sent": False, "detail": NOBODY},
    Status.CANCELLED: lambda _: {"status": "cancelled", "sent": False},
    Status.FAILED: lambda message: {"status": "failed", "sent": False, "error": _error(message)},
}


def outcome(message: OutboundMessage) -> Output | None:
    """What came of it, or None while that is open: undecided, on its way, or in doubt."""
    told = OUTCOMES.get(message.status)
    return {"message_id": message.pk, **told(message)} if told else None


def provisional(message: OutboundMessage) -> Output:
    """For a run that can't wait for the outcome: what is known by now, and that more will come."""
    told: Output
    if message.status == Status.NEEDS_ATTENTION:
        told = {"status": "delivery_unknown", "sent": None, "instruction": IN_DOUBT}
    elif message.status in (Status.PENDING, Status.DEFERRED):
        told = {"status": "pending_approval", "sent": False, "instruction": UNDECIDED}
    else:
        told = {"status": "sending", "sent": None, "instruction": ON_ITS_WAY}
    return {"message_id": message.pk, **told}
