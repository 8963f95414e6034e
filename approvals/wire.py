"""How mailboxes, mail and runs look to callers: the words for each state, and the shape of each object.

The types here are also the OpenAPI schemas of the answers (approvals/api/schema.py reads them).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypedDict

from django.db.models import Prefetch, Q

from approvals import links
from approvals.models import Decision, OutboundMessage
from approvals.states import Status
from assistants.models import Run, ToolCall
from mailboxes.auth_results import AuthResult
from mailboxes.models import Email, EmailQuerySet, Mailbox

# one install is one account
TENANT_ID = "self-hosted"


class Dialect(StrEnum):
    """The same calls in two envelopes: nested under a mailbox, or flat as a tool call comes."""

    MAILBOX = "mailbox"
    FLAT = "flat"


S = Status

# (mailbox dialect, flat dialect)
WORDS: dict[Status, tuple[str, str]] = {
    S.PENDING: ("pending_send_approval", "pending_approval"),
    S.DEFERRED: ("scheduled", "scheduled"),
    S.SCHEDULED: ("scheduled", "scheduled"),
    S.APPROVED: ("sending", "sending"),
    S.SENDING: ("sending", "sending"),
    S.SENT: ("sent", "sent"),
    S.REJECTED: ("rejected", "rejected"),
    S.CANCELLED: ("cancelled", "cancelled"),
    S.EXPIRED: ("expired", "expired"),
    S.SUPERSEDED: ("superseded", "superseded"),
    S.FAILED: ("send_failed", "failed"),
    S.NEEDS_ATTENTION: ("needs_attention", "needs_attention"),
}

# what was put away as spam, by whomever: a word for filters only
SPAM = "spam"
SPAM_STATUSES = (Email.InboundStatus.SPAM_FLAGGED, Email.InboundStatus.SPAM_QUARANTINED)

# every word of either dialect, for filters
STATUS_WORDS = sorted(
    {word for pair in WORDS.values() for word in pair} | set(Email.InboundStatus.values) | {SPAM}
)


def word(status: str, dialect: Dialect = Dialect.MAILBOX) -> str:
    return WORDS[Status(status)][dialect is Dialect.FLAT]


def status(email: Email, dialect: Dialect = Dialect.MAILBOX) -> str:
    return email.inbound_status if email.is_inbound else word(email.outbound.status, dialect)


def having_status(text: str) -> Q:
    """Emails whose status has this word, in whichever dialect."""
    if text == SPAM:
        return Q(inbound_status__in=SPAM_STATUSES)
    states = [state for state, words in WORDS.items() if text in words]
    return Q(outbound__status__in=states) | Q(inbound_status=text)


class AttachmentObject(TypedDict):
    name: str
    size: int
    content_type: str


class DecisionObject(TypedDict):
    verdict: str
    reason: str
    by: str
    at: str
    edited: bool


# functional, because `from` is a keyword
EmailObject = TypedDict(
    "EmailObject",
    {
        "id": str,
        "mailbox_id": str,
        "thread_id": str,
        "direction": str,
        "status": str,
        "from": str,
        "from_address": str,
        "from_name": str,
        "reply_to": str,
        "to": list[str],
        "to_addresses": list[str],
        "cc": list[str],
        "bcc": list[str],
        "subject": str,
        "markdown": str,
        "text_body": str,
        "html_body": str,
        "message_id": str,
        "in_reply_to": str,
        "received_at": str,
        "created_at": str,
        "has_attachments": bool,
        "attachments": list[AttachmentObject],
        "tags": dict[str, str],
        "delivered_at": str | None,
        "bounced_at": str | None,
        "bounce_type": str | None,
        "approved_at": str | None,
        "approved_by": str | None,
        "sent_at": str | None,
        "spam_score": float | None,
        "spam_verdict": str | None,
        "kind": str,
        "quiet_reason": str,
        "parse_error": str,
        "authentication_results": list[AuthResult],
        "assistant_id": str,
        "run_id": str,
        "openai_thread_id": str,
        "tool_call_id": str,
        "decision": DecisionObject | None,
    },
)


class FactObject(TypedDict):
    code: str
    severity: str
    label: str
    sentence: str
    evidence: str


class PendingObject(EmailObject):
    body_markdown: str
    revision: int
    digest: str
    reasons: list[str]
    deadline_at: str | None
    facts: list[FactObject]
    approve_url: str


class MailboxObject(TypedDict):
    id: str
    tenant_id: str
    address: str
    display_name: str
    oversight_mode: str
    auto_cc: str | None
    auto_bcc: str | None
    forward_inbound: int
    webhook_url: str | None
    oversight_webhook_url: str | None
    signature_block: str | None
    created_at: int
    is_active: int
    mcp_configured: bool
    default_gate_timing: str
    scheduling_enabled: bool
    ai_disclosure: bool
    is_bulk: bool


class ToolCallObject(TypedDict):
    id: str
    name: str
    arguments: str
    output: str | None
    answered_at: str | None
    submitted_at: str | None


class HoldObject(TypedDict):
    email_id: str
    tool_call_id: str
    status: str


class ResumeObject(TypedDict):
    """How many of the run's calls there are, still lack an output, and had theirs submitted."""

    calls: int
    open: int
    submitted: int


class RunObject(TypedDict):
    id: str
    run_id: str
    thread_id: str
    assistant_id: str
    assistant: str
    driver: str
    state: str
    mailbox_id: str
    email_id: str
    calls: list[ToolCallObject]
    holds: list[HoldObject]
    resume: ResumeObject
    last_error: str
    created_at: str
    updated_at: str
    ended_at: str | None


def timestamp(at: datetime | None) -> str | None:
    return moment(at) if at else None


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def with_story(emails: EmailQuerySet) -> EmailQuerySet:
    """All that email_object() reads, in a fixed number of queries."""
    standing = Decision.objects.standing()
    return emails.select_related("outbound").prefetch_related(
        Prefetch("outbound__decisions", standing), Prefetch("decisions", standing), "receipts"
    )


def email_object(email: Email, dialect: Dialect = Dialect.MAILBOX) -> EmailObject:
    """The clients disagree about names, so both spellings are there."""
    decisions = _decisions(email)
    approval = next((d for d in reversed(decisions) if d.verdict in ("approve", "release")), None)
    created_at = moment(email.created_at)
    return {
        "id": email.pk,
        "mailbox_id": email.mailbox_id,
        "thread_id": email.conversation_id,
        "direction": email.direction,
        "status": status(email, dialect),
        "from": email.from_address,
        "from_address": email.from_address,
        "from_name": email.from_name,
        "reply_to": email.reply_to,
        "to": email.to,
        "to_addresses": email.to,
        "cc": email.cc,
        "bcc": email.bcc,
        "subject": email.subject,
        "markdown": email.text,
        "text_body": email.text,
        "html_body": email.html,
        "message_id": email.message_id,
        "in_reply_to": email.in_reply_to,
        "received_at": created_at,
        "created_at": created_at,
        "has_attachments": bool(email.attachments),
        "attachments": [_attachment(part) for part in email.attachments],
        "tags": email.tags,
        "delivered_at": timestamp(email.delivered_at),
        "bounced_at": timestamp(email.bounced_at),
        "bounce_type": email.bounce_type,
        "approved_at": moment(approval.at) if approval else None,
        "approved_by": approval.decider if approval else None,
        "sent_at": _sent_at(email),
        "spam_score": None,
        "spam_verdict": None,
        "kind": email.kind,
        "quiet_reason": email.quiet_reason,
        "parse_error": email.parse_error,
        "authentication_results": email.auth_results,
        "assistant_id": email.assistant_id,
        "run_id": email.run_id,
        "openai_thread_id": email.thread_id,
        "tool_call_id": email.tool_call_id,
        "decision": decision(decisions[-1]) if decisions else None,
    }


def _decisions(email: Email) -> list[Decision]:
    return list(email.decisions.all() if email.is_inbound else email.outbound.decisions.all())


def decision(decision: Decision) -> DecisionObject:
    return {
        "verdict": decision.verdict,
        "reason": decision.reason or " ".join(decision.reasons),
        "by": decision.decider,
        "at": moment(decision.at),
        "edited": decision.revision > 1,
    }


def _attachment(part: dict[str, Any]) -> AttachmentObject:
    return {
        "name": part.get("name", ""),
        "size": part.get("size", 0),
        "content_type": part.get("content_type", "application/octet-stream"),
    }


def _sent_at(email: Email) -> str | None:
    if email.is_inbound or email.outbound.status != Status.SENT:
        return None
    return moment(email.outbound.status_changed_at)


def pending_object(email: Email) -> PendingObject:
    """`email` with its revisions at hand (`with_story` and prefetch "revisions")."""
    message = None if email.is_inbound else email.outbound
    return {
        **email_object(email),
        "body_markdown": email.text,
        "revision": message.revision if message else 1,
        "digest": message.digest if message else "",
        "reasons": message.reasons if message else [],
        "deadline_at": timestamp(message.deadline_at) if message else None,
        "facts": _facts(email, message),
        "approve_url": links.approve_url(email.pk),
    }


def _facts(email: Email, message: OutboundMessage | None) -> list[FactObject]:
    if message is None:
        return []
    return next((r.facts for r in email.revisions.all() if r.number == message.revision), [])


def mailbox_object(mailbox: Mailbox) -> MailboxObject:
    return {
        "id": mailbox.pk,
        "tenant_id": TENANT_ID,
        "address": mailbox.address,
        "display_name": mailbox.display_name,
        "oversight_mode": mailbox.oversight_mode,
        "auto_cc": mailbox.auto_cc or None,
        "auto_bcc": mailbox.auto_bcc or None,
        "forward_inbound": int(mailbox.forward_inbound),
        "webhook_url": _posted_to(mailbox, "message.received"),
        "oversight_webhook_url": _posted_to(mailbox, "oversight.pending"),
        "signature_block": mailbox.signature_block or None,
        "created_at": int(mailbox.created_at.timestamp() * 1000),
        "is_active": int(mailbox.is_active),
        "mcp_configured": mailbox.mcp_configured,
        "default_gate_timing": mailbox.default_gate_timing,
        "scheduling_enabled": mailbox.scheduling_enabled,
        "ai_disclosure": mailbox.ai_disclosure,
        "is_bulk": mailbox.is_bulk,
    }


def _posted_to(mailbox: Mailbox, event: str) -> str | None:
    """The newest of the mailbox's own webhooks for it."""
    found = [one for one in mailbox.webhooks.all() if one.is_active and event in one.events]
    return max(found, key=lambda one: one.pk).url if found else None


def run_object(run: Run) -> RunObject:
    calls: Iterable[ToolCall] = run.calls.all()
    return {
        "id": run.pk,
        "run_id": run.run_id,
        "thread_id": run.thread_id,
        "assistant_id": run.remote_assistant_id,
        "assistant": run.assistant.name,
        "driver": run.driver,
        "state": run.status,
        "mailbox_id": run.mailbox_id,
        "email_id": run.email_id,
        "calls": [_call(call) for call in calls],
        "holds": [_hold(message) for message in run.messages.all()],
        "resume": {
            "calls": len(list(calls)),
            "open": sum(call.output is None for call in calls),
            "submitted": sum(call.submitted_at is not None for call in calls),
        },
        "last_error": run.last_error,
        "created_at": moment(run.created_at),
        "updated_at": moment(run.updated_at),
        "ended_at": timestamp(run.ended_at),
    }


def _call(call: ToolCall) -> ToolCallObject:
    return {
        "id": call.call_id,
        "name": call.name,
        "arguments": call.arguments,
        "output": call.output,
        "answered_at": timestamp(call.answered_at),
        "submitted_at": timestamp(call.submitted_at),
    }


def _hold(message: OutboundMessage) -> HoldObject:
    return {
        "email_id": message.email_id,
        "tool_call_id": message.email.tool_call_id,
        "status": word(message.status),
    }
