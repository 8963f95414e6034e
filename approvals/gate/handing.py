"""Mail that a provider received for us and posts: kept before the post is answered, as mail by SMTP is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from django.db import IntegrityError, transaction

from approvals.actions.model_webhooks import TooLarge
from approvals.actions.receipts import refusing
from approvals.errors import NotFound
from approvals.gate.inbound import Arrival, receive_all
from mailboxes import addressing, handing
from mailboxes.handing import Handed
from mailboxes.models import MailHook, RawMessage


def take_handed(provider: str, headers: Mapping[str, str], body: bytes) -> int:
    """How many mailboxes have it now; the same post again does nothing."""
    if len(body) > handing.largest():
        raise TooLarge(f"A post has at most {handing.largest()} bytes.")
    with refusing():
        handing.check(provider, headers, body)
        handed = handing.read(provider, headers.get("Content-Type", ""), body)
    arrivals = _arrivals(handed)
    if not arrivals:
        raise NotFound("There is no such mailbox here.")
    return _keep(provider, _name(handed, body), arrivals)


def _arrivals(handed: Handed) -> list[Arrival]:
    known = addressing.find_mailboxes(handed.recipients)
    once = {mailbox: address for address, mailbox in known.items()}
    # the null sender is told apart from one that is not known by how it is written
    sender = "<>" if handed.sender == "" else handed.sender or ""
    source = RawMessage.Source.WEBHOOK
    return [Arrival(box, sender, address, handed.data, source) for box, address in once.items()]


def _name(handed: Handed, body: bytes) -> str:
    """By what is handed over, because the signature around it differs from try to try."""
    kept = handed.data if handed.data in body else body
    whole = "\n".join(handed.recipients).encode() + b"\n" + kept
    return hashlib.sha256(whole).hexdigest()


def _keep(provider: str, name: str, arrivals: list[Arrival]) -> int:
    try:
        with transaction.atomic():
            # its bytes are those of the message, so that the row is only a name
            MailHook.objects.create(provider=f"{provider} mail", digest=name, body=b"")
            return len(receive_all(arrivals))
    except IntegrityError:
        if MailHook.objects.filter(provider=f"{provider} mail", digest=name).exists():
            return len(arrivals)
        raise
