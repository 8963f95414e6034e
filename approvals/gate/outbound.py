"""Hold a draft or release it: validate, freeze, ask the policy, and store all of it at once."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import outbox, quotas, webhooks, wire
from approvals.actions.announcing import announce
from approvals.actions.dispatch import oversight_of
from approvals.actions.inbound_runs import keep_thread
from approvals.actions.scheduling import asks_later, checked_time, let_go
from approvals.actions.transitions import entry
from approvals.errors import Invalid, Refused
from approvals.gate import repeats
from approvals.gate.binding import Bound, Call, Context, bind
from approvals.gate.bulk import unsubscribe_link
from approvals.gate.facts import known_facts
from approvals.gate.loops import brake
from approvals.models import Decision, OutboundMessage, OutboxEntry
from approvals.permissions import Sender, check_send
from approvals.policy import Ruling, Verdict, rule
from approvals.states import Status
from assistants.models import ApiKey, Assistant
from audit import log
from audit.log import Entry, Subject, canonical
from audit.models import Event
from mailboxes import envelope, mime
from mailboxes.envelope import Draft, Envelope
from mailboxes.letterhead import dress
from mailboxes.mime import Frozen
from mailboxes.models import Conversation, Correspondent, Email, Mailbox, Revision

__all__ = ["Context", "Submission", "copy_to_oversight", "reply", "send"]


@dataclass(frozen=True, slots=True)
class Submission:
    """`repeated`: the same was asked before, and `message` is the one made then."""

    message: OutboundMessage
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class _Letter:
    """A draft that was checked and frozen, with all that is stored beside it."""

    draft: Draft
    mailbox: Mailbox
    envelope: Envelope
    frozen: Frozen
    facts: list[dict[str, Any]]
    content_hash: str
    in_reply_to: Email | None = None
    # by the mailbox's settings, which the allowlist does not ask about
    added: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[str, ...]:
        """The recipients that the draft itself named."""
        return tuple(one for one in self.frozen.recipients if one not in self.added)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asked for it, and how."""

    by: Sender
    call: Call
    context: Context
    idempotency_key: str


def send(
    draft: Draft, mailbox: Mailbox, *, by: Sender, context: Context | None = None, idempotency_key: str = ""
) -> Submission:
    """Submit a new message from `mailbox`. It is held or released; nothing is sent here."""
    check_send(by, mailbox)
    call = Call("send_email", {"to": list(draft.to), "subject": draft.subject, "body": draft.markdown})
    return _submit(draft, mailbox, _Asked(by, call, context or Context(), idempotency_key))


def reply(
    email: Email, draft: Draft, *, by: Sender, context: Context | None = None, idempotency_key: str = ""
) -> Submission:
    """Submit an answer to `email`; `draft.to` and `draft.subject` are filled from it.

    It goes to Reply-To if present, else From; a follow-up to mail of our own goes where that went.
    """
    check_send(by, email.mailbox)
    call = Call("reply_email", {"email_id": email.pk, "body": draft.markdown})
    target = (email.reply_to or email.from_address,) if email.is_inbound else tuple(email.to)
    subject = email.subject if email.subject.lower().startswith("re:") else f"Re: {email.subject}"
    draft = replace(draft, to=target, subject=" ".join(subject.split())[:998])
    return _submit(draft, email.mailbox, _Asked(by, call, context or Context(), idempotency_key), email)


def _submit(draft: Draft, mailbox: Mailbox, asked: _Asked, answered: Email | None = None) -> Submission:
    content_hash = _content_hash(draft, mailbox, answered)
    if refusal := _refusal(mailbox):
        # not in the way of a repeat: who resumes is told what became of it, whatever became of the mailbox
        with transaction.atomic():
            bound = bind(asked.by, mailbox, asked.context, asked.call)
            repeated = _repeated(bound, asked, content_hash)
        if repeated:
            return repeated
        raise _recorded(refusal, mailbox, asked.by)
    draft = replace(draft, send_at=checked_time(draft.send_at, mailbox))
    dressed, added = dress(draft, mailbox)
    built = _build(dressed, mailbox, answered, unsubscribe=unsubscribe_link(mailbox, draft, answered))
    frozen = mime.freeze(built)
    facts = [*map(asdict, frozen.facts), *known_facts(mailbox, frozen.recipients, answered)]
    letter = _Letter(draft, mailbox, built, frozen, facts, content_hash, answered, added)
    try:
        return _place(letter, asked)
    except IntegrityError:
        # another request with the same call or key was stored meanwhile; this time it is found
        return _place(letter, asked)


def _refusal(mailbox: Mailbox) -> Refused | None:
    if not mailbox.is_active:
        return Refused(f"{mailbox.address} is closed.", "mailbox_closed")
    ruling = rule((), oversight_of(mailbox))
    if ruling.verdict != Verdict.REFUSE:
        return None
    return Refused(
        f"{' '.join(ruling.reasons)} Ask for more with request-upgrade; an administrator can also raise its "
        "mode in the dashboard (Mailboxes)."
    )


@transaction.atomic
def _recorded(refusal: Refused, mailbox: Mailbox, by: Sender) -> Refused:
    subject = Subject(mailbox_id=mailbox.pk, assistant_id=_assistant_of(by))
    log.record(Entry(Event.Action.MESSAGE_REFUSED, subject, {"reasons": [refusal.sentence]}), by=by.actor)
    return refusal


def _repeated(bound: Bound, asked: _Asked, content_hash: str) -> Submission | None:
    found = repeats.find(asked.by, bound.call_key, content_hash, asked.idempotency_key)
    return Submission(found, repeated=True) if found else None


def _build(draft: Draft, mailbox: Mailbox, answered: Email | None, *, unsubscribe: str = "") -> Envelope:
    references = [*answered.references, answered.message_id] if answered else []
    try:
        return envelope.build(
            draft,
            sender=mailbox.address,
            sender_name=mailbox.display_name,
            message_id=envelope.new_message_id(mailbox.domain),
            in_reply_to=answered.message_id if answered else "",
            references=references[-20:],
            unsubscribe=unsubscribe,
        )
    except envelope.InvalidDraft as error:
        raise Invalid(asdict(one) for one in error.errors) from None


def _content_hash(draft: Draft, mailbox: Mailbox, answered: Email | None) -> str:
    files = [[one.name, one.content_type, one.digest] for one in draft.attachments]
    asked = asdict(replace(draft, attachments=())) | {
        "mailbox": mailbox.pk,
        "answers": answered.pk if answered else "",
        "attachments": files,
        "send_at": wire.timestamp(draft.send_at),
    }
    return hashlib.sha256(canonical(asked)).hexdigest()


@transaction.atomic
def _place(letter: _Letter, asked: _Asked) -> Submission:
    """Look for a repeat, rule, and store message, decision, promise and events together."""
    by, key = asked.by, asked.idempotency_key
    bound = bind(by, letter.mailbox, asked.context, asked.call)
    if repeated := _repeated(bound, asked, letter.content_hash):
        return repeated
    mailbox = Mailbox.objects.get(pk=letter.mailbox.pk)
    ruling = brake(rule(letter.chosen, oversight_of(mailbox)), letter.in_reply_to)
    if ruling.verdict == Verdict.REFUSE:
        raise Refused(" ".join(ruling.reasons))
    quotas.check_emails()
    email = _store_email(letter, bound.context)
    message = _store_message(letter, asked.by, mailbox, email, ruling, bound)
    if bound.run:
        # what the recipient answers is for the run's thread
        keep_thread(email.conversation, bound.run)
    repeats.remember(by, email, letter.content_hash, key)
    if message.status == Status.PENDING:
        announce(webhooks.PENDING, email)
    log.record(*bound.events(email, asked.call), *_ruled(message, ruling), by=by.actor)
    return Submission(message)


def _store_email(letter: _Letter, context: Context) -> Email:
    built = letter.envelope
    conversation = letter.in_reply_to.conversation if letter.in_reply_to else None
    if conversation is None:
        conversation = Conversation.objects.create(mailbox=letter.mailbox, subject=built.subject)
    else:
        Conversation.objects.filter(pk=conversation.pk).update(last_at=timezone.now())
    email = Email.objects.create(
        mailbox=letter.mailbox,
        conversation=conversation,
        direction=Email.Direction.OUTBOUND,
        from_address=built.sender,
        from_name=built.sender_name,
        to=list(built.to),
        cc=list(built.cc),
        bcc=list(built.bcc),
        subject=built.subject,
        text=built.text,
        html=built.html,
        attachments=[one.described() for one in built.attachments],
        message_id=built.message_id,
        in_reply_to=built.in_reply_to,
        references=list(built.references),
        **asdict(context),
    )
    store_correspondents(email)
    Revision.objects.create(
        email=email,
        envelope_from=letter.frozen.sender,
        recipients=list(letter.frozen.recipients),
        added_recipients=list(letter.added),
        frozen=letter.frozen.data,
        digest=letter.frozen.digest,
        facts=letter.facts,
    )
    return email


def store_correspondents(email: Email) -> None:
    roles = Correspondent.Role
    listed = (
        (roles.FROM, [email.from_address]),
        (roles.TO, email.to),
        (roles.CC, email.cc),
        (roles.BCC, email.bcc),
    )
    Correspondent.objects.bulk_create(
        Correspondent(email=email, role=role, address=address.lower())
        for role, some in listed
        for address in some
    )


def _store_message(
    letter: _Letter, by: Sender, mailbox: Mailbox, email: Email, ruling: Ruling, bound: Bound
) -> OutboundMessage:
    deferred = asks_later(letter.draft, mailbox)
    released = ruling.verdict == Verdict.RELEASE and not deferred
    status = Status.APPROVED if released else Status.DEFERRED if deferred else Status.PENDING
    message = OutboundMessage.objects.create(
        email=email,
        status=status,
        send_at=letter.draft.send_at,
        digest=letter.frozen.digest,
        approved_digest=letter.frozen.digest if released else "",
        approvals_needed=mailbox.approvals_needed,
        reasons=list(ruling.reasons),
        released_mode=mailbox.oversight_mode if released else "",
        deadline_at=None
        if status != Status.PENDING
        else timezone.now() + timedelta(hours=mailbox.deadline_hours),
        key=by if isinstance(by, ApiKey) else None,
        assistant=by if isinstance(by, Assistant) else by.assistant,
        integration=by.integration if isinstance(by, ApiKey) else None,
        content_hash=letter.content_hash,
        in_reply_to=letter.in_reply_to,
        run=bound.run,
        call_key=bound.call_key,
    )
    if released:
        release(message, ruling)
    return message


def release(message: OutboundMessage, ruling: Ruling) -> None:
    """No special path: the policy decides, and nobody's name stands under it."""
    Decision.objects.create(
        message=message,
        verdict=Decision.Verdict.RELEASE,
        revision=message.revision,
        digest=message.digest,
        reasons=list(ruling.reasons),
    )


RULED = {Verdict.RELEASE: Event.Action.MESSAGE_RELEASED, Verdict.HOLD: Event.Action.MESSAGE_HELD}


def _ruled(message: OutboundMessage, ruling: Ruling) -> list[Entry]:
    recipients = message.email.recipients
    if message.status == Status.DEFERRED:
        outbox.enqueue(OutboxEntry.Kind.ASK_DEFERRED, message.pk, due_at=message.send_at)
        when = wire.timestamp(message.send_at)
        return [entry(Event.Action.MESSAGE_DEFERRED, message, send_at=when, recipients=recipients)]
    ruled = entry(RULED[ruling.verdict], message, reasons=ruling.reasons, recipients=recipients)
    return [ruled, *(let_go(message) if ruling.verdict == Verdict.RELEASE else ())]


def _assistant_of(by: Sender) -> str:
    return by.pk if isinstance(by, Assistant) else by.assistant_id or ""


def copy_to_oversight(message: OutboundMessage) -> OutboundMessage | None:
    """The monitored copy: a message of its own to the oversight address, at most one for each.

    It is bound to no mode: what it copies has left already.
    """
    email, address = message.email, oversight_of(message.email.mailbox).oversight_address
    if not address:
        return None
    head = f"Sent by {email.mailbox.address} to {', '.join(email.recipients)}:\n\n"
    draft = Draft(
        to=(address,),
        subject=f"[copy] {email.subject}"[:998],
        # cut, or a body of the full length would have no copy
        markdown=f"{head}{email.text}"[: envelope.MAX_BODY],
    )
    built = _build(draft, email.mailbox, None)
    content_hash = _content_hash(draft, email.mailbox, email)
    letter = _Letter(draft, email.mailbox, built, mime.freeze(built), [], content_hash)
    ruling = Ruling(Verdict.RELEASE, (f"Copy of {email.pk} to the oversight address.",))
    with transaction.atomic():
        if OutboundMessage.objects.filter(copy_of=message).exists():
            return None
        stored = _store_email(letter, Context(email.assistant_id, email.thread_id, email.run_id))
        copy = OutboundMessage.objects.create(
            email=stored,
            status=Status.APPROVED,
            digest=letter.frozen.digest,
            approved_digest=letter.frozen.digest,
            reasons=list(ruling.reasons),
            assistant=message.assistant,
            integration=message.integration,
            content_hash=content_hash,
            copy_of=message,
        )
        release(copy, ruling)
        let_go(copy)
        log.record(entry(Event.Action.MESSAGE_RELEASED, copy, copy_of=email.pk), by="policy")
    return copy
