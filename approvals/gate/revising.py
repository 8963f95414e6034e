"""Mail that changes before it leaves, and mail that nobody was asked about before its time came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals import outbox, webhooks, wire
from approvals.actions.announcing import announce
from approvals.actions.dispatch import oversight_of, return_to_pending, revision_of
from approvals.actions.scheduling import checked_time, let_go
from approvals.actions.telling import tell
from approvals.actions.transitions import conflict, current, entry, move
from approvals.errors import Conflict, Invalid
from approvals.gate.bulk import unsubscribe_link
from approvals.gate.facts import known_facts
from approvals.gate.loops import brake
from approvals.gate.outbound import release, store_correspondents
from approvals.models import Decision, OutboundMessage, OutboxEntry, User
from approvals.permissions import Sender, check_cancel
from approvals.policy import Verdict, rule
from approvals.states import Status
from audit import log
from audit.models import Event
from mailboxes import envelope, mime
from mailboxes.envelope import Draft, Envelope
from mailboxes.letterhead import dress
from mailboxes.mime import Frozen
from mailboxes.models import Revision

UNDECIDED = (Status.PENDING, Status.DEFERRED)
BY = "system:schedule"


@dataclass(frozen=True, slots=True)
class _Revised:
    envelope: Envelope
    frozen: Frozen
    added: list[str]
    facts: list[dict[str, Any]]


def revise(message: OutboundMessage, changes: Mapping[str, Any], *, by: Sender | User) -> OutboundMessage:
    """`changes`: new values of send_at, to, cc, bcc, subject and markdown.

    While nobody has decided, all of them, as a new revision. Of what is scheduled, the time only; if a
    person approved it, that person is asked anew.
    """
    message = current(message)
    mailbox = message.email.mailbox
    check_cancel(by, message)
    if "send_at" in changes:
        checked_time(changes["send_at"], mailbox)
    if message.status == Status.SCHEDULED:
        return _move_in_time(message, changes, by)
    if message.status not in UNDECIDED:
        raise conflict(message)
    revised = _build(message, changes) if set(changes) - {"send_at"} else None
    with transaction.atomic():
        _change(message, changes.get("send_at", message.send_at), revised)
        message = current(message)
        if message.status == Status.DEFERRED:
            outbox.enqueue(OutboxEntry.Kind.ASK_DEFERRED, message.pk, due_at=message.send_at)
        else:
            announce(webhooks.PENDING, message.email)
        log.record(_revised_entry(message, changes), by=by.actor)
    return message


def _revised_entry(message: OutboundMessage, changes: Mapping[str, Any]) -> Any:
    return entry(
        Event.Action.MESSAGE_REVISED,
        message,
        changed=sorted(changes),
        send_at=wire.timestamp(message.send_at),
        digest=message.digest,
    )


def _move_in_time(message: OutboundMessage, changes: Mapping[str, Any], by: Sender | User) -> OutboundMessage:
    if set(changes) != {"send_at"}:
        raise Conflict(
            "It is approved and waits for its time: only send_at can change. Cancel it to write another.",
            "only_send_at",
            message=message,
        )
    same = OutboundMessage.objects.filter(pk=message.pk, status=Status.SCHEDULED, revision=message.revision)
    with transaction.atomic():
        if not same.update(send_at=changes["send_at"]):
            raise conflict(message)
        message.send_at = changes["send_at"]
        returned = []
        if message.released_mode:
            outbox.enqueue(OutboxEntry.Kind.DELIVER_EMAIL, message.pk, due_at=message.send_at)
        else:
            returned = return_to_pending(message, ("Its time was changed after it was approved.",))
        log.record(_revised_entry(message, changes), *returned, by=by.actor)
    return current(message)


def _build(message: OutboundMessage, changes: Mapping[str, Any]) -> _Revised:
    """Under its own Message-ID, with its files, and signed anew where the text is new."""
    email, before = message.email, revision_of(message)
    draft = Draft(
        to=tuple(changes.get("to", email.to)),
        cc=tuple(changes.get("cc", email.cc)),
        bcc=tuple(changes.get("bcc", email.bcc)),
        subject=changes.get("subject", email.subject),
        markdown=changes.get("markdown", email.text),
        html="" if "markdown" in changes else email.html,
        attachments=tuple(mime.files(bytes(before.frozen))),
    )
    # what the mailbox's settings had added was nobody's choice
    to, cc, bcc = (_without(some, before.added_recipients) for some in (draft.to, draft.cc, draft.bcc))
    chosen = replace(draft, to=to, cc=cc, bcc=bcc)
    added: tuple[str, ...] = ()
    if "markdown" in changes or {"cc", "bcc"} & set(changes):
        signed, added = dress(draft, email.mailbox)
        draft = signed if "markdown" in changes else replace(draft, cc=signed.cc, bcc=signed.bcc)
    try:
        built = envelope.build(
            draft,
            sender=email.from_address,
            sender_name=email.from_name,
            message_id=email.message_id,
            in_reply_to=email.in_reply_to,
            references=email.references,
            unsubscribe=unsubscribe_link(email.mailbox, chosen, message.in_reply_to),
        )
    except envelope.InvalidDraft as error:
        raise Invalid(asdict(one) for one in error.errors) from None
    frozen = mime.freeze(built)
    kept = [one for one in (*before.added_recipients, *added) if one in frozen.recipients]
    facts = [*map(asdict, frozen.facts), *known_facts(email.mailbox, frozen.recipients, message.in_reply_to)]
    return _Revised(built, frozen, list(dict.fromkeys(kept)), facts)


def _without(addresses: tuple[str, ...], added: list[str]) -> tuple[str, ...]:
    return tuple(one for one in addresses if one not in added)


def _change(message: OutboundMessage, send_at: Any, revised: _Revised | None) -> None:
    """One conditional UPDATE: whoever decided meanwhile has decided about what they saw."""
    values: dict[str, Any] = {"send_at": send_at}
    if revised:
        values |= {
            "revision": message.revision + 1,
            "digest": revised.frozen.digest,
            "approved_digest": "",
            "approvals_given": 0,
        }
    undecided = OutboundMessage.objects.filter(pk=message.pk, status__in=UNDECIDED, revision=message.revision)
    if not undecided.update(**values):
        raise conflict(message)
    if revised:
        message.decisions.filter(voided_at=None, verdict=Decision.Verdict.APPROVE).update(
            voided_at=timezone.now()
        )
        _store(message, revised)


def _store(message: OutboundMessage, revised: _Revised) -> None:
    built, email = revised.envelope, message.email
    email.to, email.cc, email.bcc = list(built.to), list(built.cc), list(built.bcc)
    email.subject, email.text, email.html = built.subject, built.text, built.html
    email.save(update_fields=["to", "cc", "bcc", "subject", "text", "html"])
    email.correspondents.all().delete()
    store_correspondents(email)
    Revision.objects.create(
        email=email,
        number=message.revision + 1,
        envelope_from=revised.frozen.sender,
        recipients=list(revised.frozen.recipients),
        added_recipients=revised.added,
        frozen=revised.frozen.data,
        digest=revised.frozen.digest,
        facts=revised.facts,
    )


def ask_deferred(message: OutboundMessage) -> None:
    """Its time has come: the policy lets it go or holds it, or nothing may be sent there any more."""
    message = current(message)
    if message.status != Status.DEFERRED or (message.send_at and message.send_at > timezone.now()):
        return
    mailbox, revision = message.email.mailbox, revision_of(message)
    chosen = tuple(one for one in revision.recipients if one not in revision.added_recipients)
    ruling = brake(rule(chosen, oversight_of(mailbox)), message.in_reply_to)
    same = Q(revision=message.revision, send_at=message.send_at)
    with transaction.atomic():
        if not mailbox.is_active or ruling.verdict == Verdict.REFUSE:
            return _fail(message, same, " ".join(ruling.reasons))
        if ruling.verdict == Verdict.HOLD:
            return _hold(message, same, ruling.reasons)
        values = {"approved_digest": message.digest, "released_mode": mailbox.oversight_mode}
        if move(message, Status.DEFERRED, Status.APPROVED, same, reasons=list(ruling.reasons), **values):
            message = current(message)
            release(message, ruling)
            later = let_go(message)
            log.record(
                entry(Event.Action.MESSAGE_RELEASED, message, reasons=ruling.reasons), *later, by="policy"
            )


def _hold(message: OutboundMessage, same: Q, reasons: tuple[str, ...]) -> None:
    deadline = timezone.now() + timedelta(hours=message.email.mailbox.deadline_hours)
    values = {"deadline_at": deadline, "reasons": list(reasons)}
    if move(message, Status.DEFERRED, Status.PENDING, same, **values):
        announce(webhooks.PENDING, message.email)
        log.record(entry(Event.Action.MESSAGE_HELD, current(message), reasons=reasons), by=BY)


def _fail(message: OutboundMessage, same: Q, why: str) -> None:
    if move(message, Status.DEFERRED, Status.FAILED, same, delivery={"error": why}):
        message = current(message)
        told = tell(message)
        log.record(entry(Event.Action.MESSAGE_FAILED, message, error=why), *told, by=BY)
