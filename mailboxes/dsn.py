"""Mail that reports on mail: bounces, delays, deliveries (RFC 3464) and complaints (RFC 5965).

Pure, and Django-free like parsing.py, because it runs in the same bounded process: whoever can send mail
can send something that looks like a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

from flufl.bounce import all_failures

from mailboxes import charsets, headers, receipts
from mailboxes.receipts import Report

ACTIONS = {"failed": receipts.BOUNCED, "delayed": receipts.DELAYED, "delivered": receipts.DELIVERED}
MOST_RECIPIENTS = 100
_MOST_PARTS = 100
_NAMED = re.compile(r"(?im)^[ \t>]*message-id:\s*(<[^<>\s]{3,900}>)")


def read(data: bytes) -> dict[str, Any]:
    """{"reports": [...]}, each as the fields of a Report, with `at` as ISO text or None."""
    message = BytesParser(policy=compat32).parsebytes(data)
    parts = list(_parts(message))
    ids = _message_ids(message, parts)
    found = [*_complaints(parts), *_statuses(parts)] or list(_guesses(message))
    reports = [asdict(report) | {"message_ids": ids} for report in found[:MOST_RECIPIENTS]]
    for report in reports:
        report["at"] = report["at"].isoformat() if report["at"] else None
    return {"reports": reports}


def _parts(message: Message) -> Iterator[Message]:
    """The message's own, without those of the mail that it gives back."""
    payload = message.get_payload()
    if message.get_content_maintype() == "multipart" and isinstance(payload, list):
        for part in payload[:_MOST_PARTS]:
            if isinstance(part, Message):
                yield part
    else:
        yield message


def _blocks(part: Message) -> list[Message]:
    """The groups of fields in a message/delivery-status, or the one in a message/feedback-report."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return [one for one in payload if isinstance(one, Message)]
    return [BytesParser(policy=compat32).parsebytes(one) for one in _texts(part)]


def _texts(part: Message) -> Iterator[bytes]:
    octets = part.get_payload(decode=True)
    for block in re.split(rb"(?:\r?\n){2,}", octets if isinstance(octets, bytes) else b""):
        if block.strip():
            yield block + b"\r\n\r\n"


def _statuses(parts: list[Message]) -> Iterator[Report]:
    for part in parts:
        if part.get_content_type() not in ("message/delivery-status", "message/global-delivery-status"):
            continue
        blocks = _blocks(part)
        envelope_id = _field(blocks[0], "Original-Envelope-Id") if blocks else ""
        for block in blocks:
            kind = ACTIONS.get(_field(block, "Action").lower())
            if kind:
                yield _status(kind, block, envelope_id)


def _status(kind: str, block: Message, envelope_id: str) -> Report:
    detail = _after_type(_field(block, "Diagnostic-Code"))
    status = receipts.status_in(_field(block, "Status")) or receipts.status_in(detail)
    recipient = _address(block, "Original-Recipient") or _address(block, "Final-Recipient")
    # some servers call a refusal for now a failure, and have given up on it all the same
    kind_of_bounce = receipts.bounce_type(status, detail) if kind == receipts.BOUNCED else ""
    at = _moment(_field(block, "Last-Attempt-Date"))
    return Report(kind, recipient, kind_of_bounce, status, detail[:1000], at, envelope_id=envelope_id[:100])


def _complaints(parts: list[Message]) -> Iterator[Report]:
    for part in parts:
        if part.get_content_type() != "message/feedback-report":
            continue
        for block in _blocks(part)[:1]:
            kind = _field(block, "Feedback-Type").lower()
            if kind in ("abuse", "fraud", "virus"):
                recipient = _address(block, "Original-Rcpt-To")
                at = _moment(_field(block, "Arrival-Date") or _field(block, "Received-Date"))
                envelope_id = _field(block, "Original-Envelope-Id")[:100]
                yield Report(receipts.COMPLAINED, recipient, detail=kind, at=at, envelope_id=envelope_id)


def _guesses(message: Message) -> Iterator[Report]:
    """Servers that bounce in words of their own, as far as others have learned to read them."""
    temporary, permanent = all_failures(message)
    for address in sorted(permanent):
        yield Report(receipts.BOUNCED, _text(address), receipts.HARD)
    for address in sorted(temporary - permanent):
        yield Report(receipts.DELAYED, _text(address))


def _text(address: bytes | str) -> str:
    return _bare(address.decode("utf-8", "replace") if isinstance(address, bytes) else address)


def _message_ids(message: Message, parts: list[Message]) -> list[str]:
    """Of the mail that it is about: named, given back, quoted, or replied to; the surest first."""
    found: list[str] = []
    for part in parts:
        kind = part.get_content_type()
        if kind in ("message/delivery-status", "message/feedback-report"):
            for block in _blocks(part):
                found += headers.message_ids(_field(block, "Original-Message-ID"))
        elif kind == "message/rfc822":
            for given_back in _blocks(part)[:1]:
                found += headers.message_ids(_field(given_back, "Message-ID"))
        elif kind.startswith("text/"):
            octets = part.get_payload(decode=True)
            text = octets[:200_000].decode("utf-8", "replace") if isinstance(octets, bytes) else ""
            found += _NAMED.findall(text)
    for name in ("In-Reply-To", "References"):
        found += headers.message_ids(_field(message, name))
    return list(dict.fromkeys(found))[:20]


def _field(block: Message, name: str) -> str:
    value = charsets.scrub(str(block.get(name, ""))[:10_000])
    return " ".join(value.split())


def _address(block: Message, name: str) -> str:
    return _bare(_after_type(_field(block, name)))


def _after_type(value: str) -> str:
    """`rfc822; user@host` and `smtp; 550 5.1.1 …` say first what kind of thing follows."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and " " not in kind.strip() else value


def _bare(address: str) -> str:
    found = parseaddr(address)[1] or address.strip("<> ")
    return charsets.scrub(found)[:320].lower() if "@" in found else ""


def _moment(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
