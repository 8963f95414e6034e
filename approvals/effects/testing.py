"""A test mail to whoever asks for it, by the mailbox's own way out, while they wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import uuid4

from django.utils import timezone

from approvals.actions.mailbox_delivery import record_test
from approvals.models import User
from approvals.permissions import check_administer
from mailboxes import delivery, dkim_keys, mime
from mailboxes.delivery import DeliveryError
from mailboxes.envelope import Envelope
from mailboxes.identity import date_line
from mailboxes.models import Mailbox

TIMEOUT = 10.0  # seconds, of each step: somebody waits
TEXT = """\
This is a test of how mail leaves {address}.

It was asked for in Counterseal by {person}. That it arrived shows that the way out works.
"""


@dataclass(frozen=True)
class Tried:
    """`steps`: each command and its answer. `error` is "" if it was taken."""

    error: str = ""
    reply: str = ""
    steps: list[list[str]] = field(default_factory=list)


def send_test(mailbox: Mailbox, *, by: User) -> Tried:
    """To that person's own address only, in fixed words."""
    check_administer(by, mailbox)
    frozen = mime.freeze(_letter(mailbox, by))
    block = date_line(timezone.now())
    data = block + frozen.data
    data = dkim_keys.signature(frozen.sender, data) + data
    try:
        with delivery.offer(
            frozen.sender, frozen.recipients, route=mailbox.outbound_encrypted, timeout=TIMEOUT
        ) as handover:
            receipt = handover.data(data)
        tried = Tried(reply=receipt.reply, steps=receipt.steps)
    except DeliveryError as error:
        tried = Tried(error.message, steps=error.steps)
    record_test(mailbox, tried.error, by=by)
    return tried


def _letter(mailbox: Mailbox, person: User) -> Envelope:
    return Envelope(
        sender=mailbox.address,
        sender_name=mailbox.display_name,
        to=(person.email,),
        cc=(),
        bcc=(),
        subject="Test mail from Counterseal",
        text=TEXT.format(address=mailbox.address, person=person.email),
        html="",
        message_id=f"<{uuid4().hex}@{mailbox.domain}>",
    )
