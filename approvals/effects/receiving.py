"""Mail that came in, read after its bytes were kept."""

from __future__ import annotations

from dataclasses import replace

from approvals import gate
from approvals.actions.receipts import record_report
from approvals.models import OutboxEntry
from mailboxes import inbound
from mailboxes.models import RawMessage


def receive_email(promise: OutboxEntry) -> None:
    raw = RawMessage.objects.select_related("mailbox").get(pk=promise.ref)
    try:
        parsed = inbound.parse(bytes(raw.data))
    except inbound.Unparseable as error:
        gate.admit(raw, None, parse_error=str(error))
    else:
        gate.admit(raw, parsed)
        _note_reports(raw)


def _note_reports(raw: RawMessage) -> None:
    """A bounce stays mail, and is told at the message that it is about too."""
    for report in inbound.reports(raw.envelope_from, bytes(raw.data)):
        record_report(replace(report, reference=raw.digest), "dsn", to=raw.mailbox)
