"""Mail that arrives, and what an assistant may do with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from approvals import actions, outbox, webhooks, wire
from approvals.actions.announcing import announce
from approvals.actions.dispatch import oversight_of
from approvals.actions.inbound_runs import start_run_for
from approvals.actions.transitions import about_email
from approvals.errors import Invalid
from approvals.gate import loops
from approvals.gate.outbound import store_correspondents
from approvals.gate.rush import rush
from approvals.models import OutboxEntry
from approvals.permissions import Sender, check_reach, check_scope
from approvals.policy import Verdict, rule_inbound
from assistants.models import Scope
from audit import log
from audit.ids import new_id
from audit.log import Entry, storable
from audit.models import Event
from mailboxes.inbound import Parsed, find_conversation
from mailboxes.models import Conversation, Email, Mailbox, RawMessage

SYSTEM = "system:inbound"
LONGEST_TAG = 200  # characters, of a key or a value
MOST_TAGS = 50


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message for one mailbox, as it was handed over."""

    mailbox: Mailbox
    envelope_from: str
    envelope_to: str
    data: bytes
    source: RawMessage.Source = RawMessage.Source.SMTP


def receive(
    mailbox: Mailbox,
    envelope_from: str,
    envelope_to: str,
    data: bytes,
    source: RawMessage.Source = RawMessage.Source.SMTP,
) -> RawMessage:
    return receive_all([Arrival(mailbox, envelope_from, envelope_to, data, source)])[0]


def receive_all(arrivals: Sequence[Arrival]) -> list[RawMessage]:
    """Keep the bytes before anything looks at them; a worker reads them later. All of them, or none."""
    made = [
        RawMessage(
            mailbox=one.mailbox,
            envelope_from=storable(one.envelope_from[:320]),
            envelope_to=storable(one.envelope_to[:320]),
            data=one.data,
            digest=hashlib.sha256(one.data).hexdigest(),
            source=one.source,
        )
        for one in arrivals
    ]
    with transaction.atomic():
        RawMessage.objects.bulk_create(made)
        outbox.enqueue_new(OutboxEntry.Kind.RECEIVE_EMAIL, [raw.pk for raw in made])
    rush.note(len(made))
    return made


def admit(
    raw: RawMessage, parsed: Parsed | None, *, parse_error: str = "", promise: OutboxEntry | None = None
) -> Email | None:
    """Let parsed mail into its mailbox, or hold it. None if it is in already.

    Mail that could not be parsed is kept, flagged with `parse_error`, with what its envelope says.
    `promise` is kept by this.
    """
    with transaction.atomic():
        # no_key: a reply holds the conversation while its row's reference to the mailbox waits for this
        mailbox = Mailbox.objects.select_for_update(no_key=True).get(pk=raw.mailbox_id)
        if Email.objects.filter(raw=raw).exists():
            return None
        ruling = rule_inbound(oversight_of(mailbox))
        held = ruling.verdict == Verdict.HOLD
        status = Email.InboundStatus.PENDING if held else Email.InboundStatus.UNREAD
        deadline = timezone.now() + timedelta(hours=mailbox.deadline_hours) if held else None
        email = _store(
            raw, mailbox, parsed, inbound_status=status, deadline_at=deadline, parse_error=parse_error[:500]
        )
        started = [] if held else start_run_for(email)
        announce(webhooks.PENDING if held else webhooks.RECEIVED, email)
        if promise:
            outbox.finish(promise)
        action = Event.Action.EMAIL_HELD if held else Event.Action.EMAIL_RECEIVED
        details = {"digest": raw.digest, "from": email.from_address, "reasons": ruling.reasons} | _odd(email)
        log.record(Entry(action, about_email(email), details), *started, by=SYSTEM)
    return email


def _store(raw: RawMessage, mailbox: Mailbox, parsed: Parsed | None, **fields: Any) -> Email:
    if parsed is None:
        content: dict[str, Any] = {"from_address": raw.sender or "", "to": [raw.envelope_to]}
        conversation = None
    else:
        content = asdict(parsed)
        del content["marks"]
        conversation = find_conversation(mailbox, parsed, raw.envelope_to)
    if conversation is None:
        conversation = Conversation.objects.create(mailbox=mailbox, subject=content.get("subject", "")[:998])
    Conversation.objects.filter(pk=conversation.pk).update(last_at=raw.received_at)
    content["from_address"] = content["from_address"] or raw.sender or ""
    kind, reason = loops.kind_of(raw, parsed)
    message_id = content.pop("message_id", "") or f"<{new_id('nomid')}@counterseal.invalid>"
    email = Email.objects.create(
        mailbox=mailbox,
        conversation=conversation,
        direction=Email.Direction.INBOUND,
        raw=raw,
        created_at=raw.received_at,
        message_id=message_id,
        kind=kind,
        quiet_reason=reason or (loops.circling(conversation) if mailbox.starts_runs else ""),
        **content,
        **fields,
    )
    store_correspondents(email)
    return email


def _odd(email: Email) -> dict[str, str]:
    """What the log tells of mail that isn't a person's, or that could not be read."""
    told = {"kind": email.kind, "starts_no_run": email.quiet_reason, "parse_error": email.parse_error}
    return {name: value for name, value in told.items() if value and value != Email.kind.field.default}


def read(email: Email, *, by: Sender) -> Email:
    check_scope(by, Scope.READ)
    return actions.read(email, by=by)


def check_inbox(mailbox: Mailbox, *, by: Sender, limit: int = 20) -> list[Email]:
    """The newest mail of the mailbox that `by` may see, newest first."""
    check_scope(by, Scope.READ)
    check_reach(by, mailbox)
    found = Email.objects.visible_to(by).filter(mailbox=mailbox).inbound()
    return list(wire.with_story(found).order_by("-id")[:limit])


def tag(
    email: Email, *, by: Sender, set: Mapping[str, str] | None = None, delete: Iterable[str] = ()
) -> dict[str, str]:
    """Merge `set` into the email's tags and drop `delete`. Returns the tags as they are then."""
    changes, gone = dict(set or {}), list(delete)
    if changes or gone:
        check_scope(by, Scope.SEND)
    check_reach(by, email.mailbox)
    _check_tags(changes)
    with transaction.atomic():
        email = Email.objects.select_for_update().get(pk=email.pk)
        tags = {key: value for key, value in (email.tags | changes).items() if key not in gone}
        if len(tags) > MOST_TAGS:
            raise _bad_tags(f"An email has at most {MOST_TAGS} tags.")
        if tags != email.tags:
            Email.objects.filter(pk=email.pk).update(tags=tags)
            log.record(Entry(Event.Action.EMAIL_TAGGED, about_email(email), {"tags": tags}), by=by.actor)
    return tags


def _check_tags(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise _bad_tags("Tags are text to text.")
        if not 0 < len(key) <= LONGEST_TAG or len(value) > LONGEST_TAG:
            raise _bad_tags(f"A tag and its value have at most {LONGEST_TAG} characters each.")
        if not (key + value).isprintable():
            raise _bad_tags("Tags hold printable characters only.")


def _bad_tags(sentence: str) -> Invalid:
    return Invalid([{"field": "tags", "code": "bad_tags", "message": sentence}])
