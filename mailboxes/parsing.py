"""Inbound bytes to plain values. Pure: no Django here, because it runs in a process of its own.

Python's mail parser can recurse, stall or take gigabytes on hostile input. `check_limits` looks at the
bytes in linear time before that parser does; the process that runs `parse` is bounded in time and memory.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import collapse_rfc2231_value, getaddresses
from typing import Any

from mailboxes import charsets, headers, sanitize

MAX_HEADER_OCTETS = 262_144
MAX_HEADER_LINES = 2_000
MAX_PARTS = 500
MAX_LINES = 1_000_000
MAX_MULTIPARTS = 50
MAX_DEPTH = 20
MAX_TEXT = 1_000_000
MAX_ATTACHMENTS = 100
MAX_ADDRESSES = 500
_FIELD = 10_000
_MARK = 2_000
# what kinds.py looks at; `content-type` is that of the whole message
MARKS = (
    "auto-submitted",
    "content-type",
    "feedback-id",
    "list-id",
    "list-post",
    "list-unsubscribe",
    "precedence",
    "return-path",
    "x-auto-response-suppress",
    "x-autoreply",
    "x-autorespond",
    "x-failed-recipients",
    "x-multimail-identity",
)


class TooComplex(Exception):
    """With a sentence for the person who looks at the message."""


@dataclass
class Fields:
    """What the message says, decoded and cut to size; addresses are not validated yet."""

    from_: list[list[str]] = field(default_factory=list)
    reply_to: list[list[str]] = field(default_factory=list)
    to: list[list[str]] = field(default_factory=list)
    cc: list[list[str]] = field(default_factory=list)
    subject: str = ""
    text: str = ""
    html: str = ""
    message_id: str = ""
    in_reply_to: str = ""
    references: list[str] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    # what kinds.py looks at, and Authentication-Results with their places in the header
    marks: dict[str, list[str]] = field(default_factory=dict)
    auth_results: list[list[Any]] = field(default_factory=list)


def check_limits(data: bytes, max_octets: int) -> None:
    if len(data) > max_octets:
        raise TooComplex(f"The message is larger than {max_octets} octets.")
    if data.count(b"\n") + data.count(b"\r") > 2 * MAX_LINES:
        raise TooComplex("The message has too many lines to be read.")
    head = re.match(rb"(?s).*?(?:\r?\n\r?\n|\r\r|\Z)", data[: MAX_HEADER_OCTETS + 4])
    length = head.end() if head else 0
    if length > MAX_HEADER_OCTETS:
        raise TooComplex("The header of the message is too long to be read.")
    if len(re.findall(rb"[\r\n]+", data[:length])) > MAX_HEADER_LINES:
        raise TooComplex("The header of the message has too many lines to be read.")
    if len(re.findall(rb"(?i)multipart/|message/", data)) > MAX_MULTIPARTS:
        raise TooComplex(f"The message has more than {MAX_MULTIPARTS} nested parts.")
    if len(re.findall(rb"(?i)(?:^|[\r\n])content-[a-z-]{1,40}\s*:", data)) > MAX_PARTS * 4:
        raise TooComplex(f"The message has more than {MAX_PARTS} parts.")


def parse(data: bytes) -> dict[str, Any]:
    """Raises TooComplex; other exceptions are for the caller to treat alike."""
    message = BytesParser(policy=compat32).parsebytes(data)
    found = Fields(
        from_=_addresses(message, "From"),
        reply_to=_addresses(message, "Reply-To"),
        to=_addresses(message, "To"),
        cc=_addresses(message, "Cc"),
        subject=_line(_first(message, "Subject"))[:998],
        message_id=next(iter(headers.message_ids(_first(message, "Message-ID"))), ""),
        in_reply_to=next(iter(headers.message_ids(_first(message, "In-Reply-To"))), ""),
        references=headers.message_ids(_first(message, "References"))[-50:],
        marks=_marks(message),
        auth_results=_auth_results(message),
    )
    _read_bodies(message, found)
    return asdict(found)


def attachment(data: bytes, number: int) -> dict[str, Any]:
    """The bytes of the one at this place in what `parse` listed, in base64."""
    message = BytesParser(policy=compat32).parsebytes(data)
    files = [part for part in _leaves(message) if _is_file(part)]
    return {"content_base64": base64.b64encode(_octets(files[number])).decode()}


def _is_file(part: Message) -> bool:
    return part.get_content_type() not in ("text/plain", "text/html") or _is_attachment(part)


def _read_bodies(message: Message, found: Fields) -> None:
    texts: list[str] = []
    pages: list[str] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        if not _is_file(part):
            (texts if kind == "text/plain" else pages).append(_text(part))
        elif len(found.attachments) < MAX_ATTACHMENTS:
            found.attachments.append(_attachment(part))
    found.text, found.html = "\n".join(texts), "\n".join(pages)
    if len(found.html) > MAX_TEXT:
        found.html = ""
    if not found.text.strip() and pages:
        found.text = _text_of("\n".join(pages)[:MAX_TEXT])
    if len(found.text) > MAX_TEXT:
        found.text = found.text[:MAX_TEXT] + "\n[The rest of this message is too long to be shown.]\n"


def _leaves(message: Message) -> Iterator[Message]:
    """In order, without recursion; a forwarded message is an attachment and is not opened."""
    stack = [(message, 0)]
    count = 0
    while stack:
        part, depth = stack.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_PARTS:
            raise TooComplex("The message is nested too deeply or has too many parts to be read.")
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            stack.extend((one, depth + 1) for one in reversed(payload) if isinstance(one, Message))
        else:
            yield part


def _is_attachment(part: Message) -> bool:
    return _disposition(part) == "attachment" or bool(_name(part))


def _disposition(part: Message) -> str:
    return _first(part, "Content-Disposition").partition(";")[0].strip().lower()


def _attachment(part: Message) -> dict[str, Any]:
    kind = part.get_content_type()
    octets = _octets(part)
    name = _name(part) or f"part.{kind.partition('/')[2]}"
    return {"name": name[:255], "size": len(octets), "content_type": charsets.scrub(kind)[:127]}


def _name(part: Message) -> str:
    """Without the folders that a stranger would like it to lie in."""
    for header, parameter in (("content-disposition", "filename"), ("content-type", "name")):
        try:
            value = part.get_param(parameter, header=header)
            text = collapse_rfc2231_value(value) if value else ""
        except (ValueError, LookupError, TypeError):
            continue
        if name := re.split(r"[/\\]", _line(text))[-1].strip(" ."):
            return name
    return ""


def _octets(part: Message) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, LookupError):
        payload = b""
    if isinstance(payload, bytes):
        return payload
    inner = part.get_payload()
    first = inner[0] if isinstance(inner, list) and inner else None
    return first.as_bytes() if isinstance(first, Message) else b""


def _text(part: Message) -> str:
    charset = part.get_param("charset") or "utf-8"
    name = charset[2] if isinstance(charset, tuple) else str(charset)
    text = charsets.decode(_octets(part)[: 4 * MAX_TEXT], name)
    return charsets.scrub(text).replace("\r\n", "\n").replace("\r", "\n")


def _text_of(html: str) -> str:
    try:
        return sanitize.to_text(html)
    except ValueError:
        return "[This message has HTML only, with more elements than can be shown.]\n"


def _addresses(message: Message, name: str) -> list[list[str]]:
    try:
        pairs = getaddresses([re.sub(r"\s+", " ", value[:_FIELD]) for value in _all(message, name)[:20]])
    except RecursionError:  # comments in comments in comments
        return []
    pairs = pairs[:MAX_ADDRESSES]
    return [[_line(display)[:200], charsets.scrub(address)[:320]] for display, address in pairs]


def _marks(message: Message) -> dict[str, list[str]]:
    found = {name: [_line(value)[:_MARK] for value in _all(message, name)[:5]] for name in MARKS}
    return {name: values for name, values in found.items() if values}


def _auth_results(message: Message) -> list[list[Any]]:
    """With their places: those that stand apart were put there by somebody else."""
    places = enumerate(message.raw_items())
    found = [[at, value] for at, (name, value) in places if name.lower() == "authentication-results"]
    return [[at, _line(value)[:_FIELD]] for at, value in found[:10]]


def _first(message: Message, name: str) -> str:
    return next(iter(_all(message, name)), "")


def _all(message: Message, name: str) -> list[str]:
    """As they stand: `Message.get` would lose octets outside ASCII."""
    return [_raw(value) for key, value in message.raw_items() if key.lower() == name.lower()]


def _raw(value: object) -> str:
    octets = str(value or "")[: 2 * _FIELD].encode("utf-8", "surrogateescape")
    return charsets.scrub(charsets.decode(octets, "utf-8"))


def _line(value: object) -> str:
    """One decoded line. What can't be decoded plainly is shown as it came."""
    text = re.sub(r"\r?\n(?=[ \t])", "", _raw(value))[:_FIELD]
    with suppress(ValueError):
        text = headers.decode(text)
    text = re.sub(r"[\0-\x1f\x7f-\x9f\u2028\u2029]+", " ", charsets.scrub(text))
    return text.strip()
