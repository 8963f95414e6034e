"""What the correspondence so far says about a draft: facts for the reviewer, kept with the revision."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import Q

from approvals.states import Status
from mailboxes.mime import Fact
from mailboxes.models import Correspondent, Email, Mailbox


def known_facts(
    mailbox: Mailbox, recipients: tuple[str, ...], answered: Email | None
) -> list[dict[str, Any]]:
    facts = [*_first_time(mailbox, recipients), *_reply_goes_elsewhere(answered, recipients)]
    return [asdict(fact) for fact in facts]


def _first_time(mailbox: Mailbox, recipients: tuple[str, ...]) -> list[Fact]:
    # what was only drafted, held or rejected makes nobody known
    came = Q(email__direction=Email.Direction.INBOUND, role=Correspondent.Role.FROM)
    kept_out = Q(email__inbound_status__in=Email.KEPT_OUT)
    exchanged = came & ~kept_out | Q(email__outbound__status=Status.SENT)
    asked = [recipient.lower() for recipient in recipients]
    found = Correspondent.objects.filter(exchanged, email__mailbox=mailbox, address__in=asked)
    known = set(found.values_list("address", flat=True))
    new = [recipient for recipient in recipients if recipient.lower() not in known]
    if not new:
        return []
    sentence = f"{mailbox.address} has never exchanged mail with {', '.join(new)}."
    return [Fact("first_time", "warn", "first time", sentence, ", ".join(new))]


def _reply_goes_elsewhere(answered: Email | None, recipients: tuple[str, ...]) -> list[Fact]:
    if answered is None or not answered.is_inbound or not answered.reply_to:
        return []
    if answered.reply_to.lower() == answered.from_address.lower():
        return []
    sentence = f"The mail came from {answered.from_address}, but asks that replies go to {answered.reply_to}."
    return [Fact("reply_to_differs", "warn", "reply-to differs", sentence, answered.reply_to)]
