"""Mail that must not be answered by itself: from programs, reports, our own, and talk that goes round."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from approvals import policy
from approvals.models import OutboundMessage
from approvals.policy import Ruling, Verdict
from assistants.models import Run
from mailboxes import identity
from mailboxes.inbound import Parsed
from mailboxes.kinds import Kind, classify
from mailboxes.models import Conversation, Email, RawMessage

LATELY = timedelta(hours=1)


def kind_of(raw: RawMessage, parsed: Parsed | None) -> tuple[Kind, str]:
    """What sort of mail it is, and why it starts no run by itself; "" if it may."""
    if parsed is None:
        kind, reason = classify({}, raw.sender)
        return kind, reason or "It could not be read."
    return classify(parsed.marks, raw.sender, parsed.from_address, own=_own(parsed))


def _own(parsed: Parsed) -> str:
    """Why this is mail that left here, or ""."""
    if parsed.message_id and Email.objects.outbound().filter(message_id=parsed.message_id).exists():
        return "It left here: its Message-ID is one of ours."
    for header in parsed.marks.get("x-multimail-identity", ()):
        try:
            identity.verify(header)
        except identity.InvalidIdentity:
            continue
        return "It left here: it carries an identity header of this install."
    return ""


def circling(conversation: Conversation) -> str:
    """Why no further run is started in it by itself, or ""."""
    started = Run.objects.filter(
        conversation_id=conversation.pk, cause=Run.Cause.INBOUND, created_at__gt=timezone.now() - LATELY
    )
    return policy.too_many_runs(started.count())


def brake(ruling: Ruling, answered: Email | None) -> Ruling:
    """A release becomes a hold where it answers no person, or its conversation goes round."""
    if ruling.verdict != Verdict.RELEASE or answered is None:
        return ruling
    if answered.kind != Kind.NORMAL:
        return Ruling(Verdict.HOLD, (f"It answers mail that no person wrote. {answered.quiet_reason}",))
    released = OutboundMessage.objects.filter(
        email__conversation=answered.conversation_id,
        email__created_at__gt=timezone.now() - LATELY,
        copy_of=None,
    )
    return policy.brake(ruling, released.exclude(released_mode="").count())
