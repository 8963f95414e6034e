"""Mail that came in, read after its bytes were kept."""

from __future__ import annotations

from approvals import gate
from approvals.models import OutboxEntry
from mailboxes import inbound
from mailboxes.models import RawMessage


def receive_email(promise: OutboxEntry) -> None:
    raw = RawMessage.objects.get(pk=promise.ref)
    try:
        parsed = inbound.parse(bytes(raw.data))
    except inbound.Unparseable as error:
        gate.admit(raw, None, parse_error=str(error))
    else:
        gate.admit(raw, parsed)
