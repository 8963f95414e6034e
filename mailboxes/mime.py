"""From an envelope to the bytes that a person approves, and from those bytes to what they see. Pure."""

from __future__ import annotations

import base64
import hashlib
import quopri
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import getaddresses, parseaddr
from typing import cast

from mailboxes import attachments, facts, headers, render_html, sanitize
from mailboxes.attachments import Attachment
from mailboxes.envelope import Envelope
from mailboxes.facts import Fact, Severity

__all__ = ["Fact", "Frozen", "NotFaithful", "Rendered", "check_wire", "digest", "freeze", "render"]

MAX_LINE = 998
ONE_CLICK = "List-Unsubscribe=One-Click"
_MAX_RENDERED = 24_000_000


class NotFaithful(Exception):
    """The bytes do not say what they were built to say. A defect here or an attack: nothing is frozen."""


@dataclass(frozen=True)
class Frozen:
    """`recipients` are the envelope's, Bcc included, sorted; `digest` covers sender, recipients and data."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    digest: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Rendered:
    """`html`: a whole small document for a sandboxed frame; "" when the message has plain text only."""

    subject: str
    from_: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    text: str
    html: str
    facts: tuple[Fact, ...]


def freeze(envelope: Envelope) -> Frozen:
    """7-bit MIME with CRLF line ends; no Date and no Bcc. The same envelope gives the same bytes."""
    html = sanitize.clean(envelope.html).strip()
    html = html + "\n" if html else ""
    parts = [("plain", envelope.text), ("html", html)] if html else [("plain", envelope.text)]
    files = [attachments.part(one) for one in envelope.attachments]
    lines = _header_lines(envelope)
    data = "\r\n".join([*lines, *_with_files(_body(parts), files)]).encode("ascii")
    check_wire(data)
    _verify(data, envelope, parts)
    found = facts.of_message(
        subject=envelope.subject,
        names=envelope.sender_name,
        text=envelope.text,
        source=envelope.html,
        html=html,
        recipients=envelope.recipients,
    )
    found = (*_about_files(envelope.attachments), *found, *_about_list(envelope))
    recipients = envelope.recipients
    return Frozen(envelope.sender, recipients, data, digest(envelope.sender, recipients, data), found)


def digest(sender: str, recipients: Sequence[str], data: bytes) -> str:
    """SHA-256 over length-prefixed parts, so that no two messages share an encoding."""
    texts = [sender, str(len(recipients)), *sorted(recipients)]
    parts = [*(text.encode() for text in texts), data]
    hashed = hashlib.sha256(b"counterseal frozen 1\n")
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.hexdigest()


def check_wire(data: bytes) -> None:
    """Raises ValueError unless every byte can go over SMTP as it is."""
    if not data.isascii() or b"\0" in data:
        raise ValueError("The message is not 7-bit text.")
    if not data.endswith(b"\r\n"):
        raise ValueError("The message does not end with a line end.")
    lines = data.split(b"\r\n")
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise ValueError("The message holds a bare CR or LF.")
    if max(map(len, lines)) > MAX_LINE:
        raise ValueError(f"The message holds a line of more than {MAX_LINE} octets.")


def render(data: bytes) -> Rendered:
    """What the frozen bytes say, as a reviewer can read it."""
    if len(data) > _MAX_RENDERED:
        raise ValueError("The message is too large to show.")
    message = BytesParser(policy=compat32).parsebytes(data)
    bodies = dict(_bodies(message))
    text, html = bodies.get("text/plain", ""), bodies.get("text/html", "")
    name, address = parseaddr(_unfolded(message, "From"))
    name, subject = headers.decode(name), headers.decode(_unfolded(message, "Subject"))
    document = render_html.document(html) if html else ""
    found = facts.of_message(subject=subject, names=name, text=text, source=html, html=sanitize.clean(html))
    return Rendered(
        subject=render_html.plain(subject),
        from_=render_html.plain(f"{name} <{address}>" if name else address),
        to=_addresses(message, "To"),
        cc=_addresses(message, "Cc"),
        text=render_html.plain(text),
        html=document,
        facts=found,
    )


def _header_lines(envelope: Envelope) -> list[str]:
    lines = headers.mailbox("From", envelope.sender_name, envelope.sender)
    lines += headers.one_a_line("To", envelope.to, ",")
    if envelope.cc:
        lines += headers.one_a_line("Cc", envelope.cc, ",")
    lines += headers.unstructured("Subject", envelope.subject)
    lines.append(f"Message-ID: {envelope.message_id}")
    if envelope.in_reply_to:
        lines.append(f"In-Reply-To: {envelope.in_reply_to}")
    if envelope.references:
        lines += headers.one_a_line("References", envelope.references, "")
    if envelope.unsubscribe:
        # RFC 8058: a mail program posts to it in its reader's name
        lines += [f"List-Unsubscribe: <{envelope.unsubscribe}>", f"List-Unsubscribe-Post: {ONE_CLICK}"]
    return [*lines, "MIME-Version: 1.0"]


def _about_files(files: Sequence[Attachment]) -> Iterator[Fact]:
    for severity, sentence, evidence in attachments.told(files):
        yield Fact("attachment_type", cast("Severity", severity), "attachment", sentence, evidence)


def _about_list(envelope: Envelope) -> Iterator[Fact]:
    if envelope.unsubscribe:
        sentence = "It is bulk mail: its recipient can unsubscribe from this mailbox with one click."
        yield Fact("bulk", "info", "bulk", sentence, envelope.unsubscribe)


def _with_files(body: list[str], files: Sequence[list[str]]) -> list[str]:
    return _multipart("mixed", [body, *files]) if files else body


def _body(parts: Sequence[tuple[str, str]]) -> list[str]:
    blocks = [_part(subtype, text) for subtype, text in parts]
    return _multipart("alternative", blocks) if len(blocks) > 1 else blocks[0]


def _multipart(kind: str, blocks: Sequence[list[str]]) -> list[str]:
    boundary = _boundary(blocks)
    lines = [f'Content-Type: multipart/{kind}; boundary="{boundary}"', ""]
    for block in blocks:
        # the line end before a boundary belongs to the boundary, so the part's own last one stays
        lines += [f"--{boundary}", *block]
    return [*lines, f"--{boundary}--", ""]


def _part(subtype: str, text: str) -> list[str]:
    encoding, lines = _encoded(text)
    head = [f'Content-Type: text/{subtype}; charset="utf-8"', f"Content-Transfer-Encoding: {encoding}", ""]
    return [*head, *lines]


def _encoded(text: str) -> tuple[str, list[str]]:
    """The last line is empty: every body ends with a line end. Nothing is left for a relay to mend."""
    data = text.replace("\n", "\r\n").encode()
    lines = text.split("\n")
    is_tempting = any(len(one) > 78 or one != one.rstrip() or one.startswith(("From ", ".")) for one in lines)
    if text.isascii() and not is_tempting:
        return "7bit", lines
    quoted = quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    quoted = re.sub(rb"(?m)^(?:From |\.)", lambda match: b"=%02X" % match[0][0] + match[0][1:], quoted)
    encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    if len(encoded) < len(quoted):
        return "base64", encoded.decode().split("\r\n")
    return "quoted-printable", quoted.decode().split("\r\n")


def _boundary(blocks: Iterable[list[str]]) -> str:
    """From the content, for the same bytes each time; looked for in the content, for certainty."""
    text = "\r\n".join("\r\n".join(block) for block in blocks)
    boundary = "=_" + hashlib.sha256(text.encode()).hexdigest()[:32]
    while boundary in text:
        boundary = "=_" + hashlib.sha256(boundary.encode()).hexdigest()[:32]
    return boundary


def _verify(data: bytes, envelope: Envelope, parts: Sequence[tuple[str, str]]) -> None:
    """Read again by another implementation than the one that wrote it, and compare everything."""
    for name, text in (("Subject", envelope.subject), ("From", envelope.sender_name)):
        try:
            is_plain = headers.clean(text) == text
        except ValueError:
            is_plain = False
        if not is_plain:
            raise NotFaithful(f"{name} holds what no header field may hold.")
    message = BytesParser(policy=compat32).parsebytes(data)
    intended = {
        "From": [(envelope.sender_name, envelope.sender)],
        "To": [("", one) for one in envelope.to],
        "Cc": [("", one) for one in envelope.cc],
        "Subject": envelope.subject,
        "Message-ID": envelope.message_id,
        "In-Reply-To": envelope.in_reply_to,
        "References": " ".join(envelope.references),
        "List-Unsubscribe": envelope.unsubscribe and f"<{envelope.unsubscribe}>",
        "List-Unsubscribe-Post": envelope.unsubscribe and ONE_CLICK,
        "MIME-Version": "1.0",
    }
    expected = {name: value for name, value in intended.items() if value}
    names = [name for name in message.keys() if not name.startswith("Content-")]  # noqa: SIM118 (repeats)
    raw_names = re.findall(rb"(?m)^([^\s:]+):", data.partition(b"\r\n\r\n")[0])
    if names != list(expected) or len(raw_names) != len(message.keys()):
        raise NotFaithful("The built message has other header fields than intended.")
    for name, value in expected.items():
        if _read(message, name, isinstance(value, list)) != value:
            raise NotFaithful(f"The built message says something else in {name}.")
    _verify_content(message, envelope, parts)


def _verify_content(message: Message, envelope: Envelope, parts: Sequence[tuple[str, str]]) -> None:
    if _bodies(message) != [(f"text/{subtype}", text) for subtype, text in parts]:
        raise NotFaithful("The built message has other bodies than intended.")
    if files_of(message) != list(envelope.attachments):
        raise NotFaithful("The built message has other attachments than intended.")


def _read(message: Message, name: str, is_address: bool) -> str | list[tuple[str, str]]:
    value = _unfolded(message, name)
    if not is_address:
        return headers.decode(value)
    return [(headers.decode(display), address) for display, address in getaddresses([value])]


def _unfolded(message: Message, name: str) -> str:
    return re.sub(r"\r?\n(?=[ \t])", "", str(message.get(name, "")))


def _addresses(message: Message, name: str) -> tuple[str, ...]:
    return tuple(address for _, address in getaddresses([_unfolded(message, name)]) if address)


def files(data: bytes) -> list[Attachment]:
    """The attachments of frozen bytes."""
    return files_of(BytesParser(policy=compat32).parsebytes(data))


def files_of(message: Message) -> list[Attachment]:
    payload = message.get_payload()
    if message.get_content_type() != "multipart/mixed" or not isinstance(payload, list):
        return []
    return [attachments.read(one) for one in payload[1:] if isinstance(one, Message)]


def _letter(message: Message) -> Message:
    """The message without its files."""
    payload = message.get_payload()
    if message.get_content_type() == "multipart/mixed" and isinstance(payload, list):
        return next((one for one in payload if isinstance(one, Message)), message)
    return message


def _bodies(message: Message) -> list[tuple[str, str]]:
    """Content type and text of each part, in order; nothing deeper than one level, as freeze builds them."""
    payload = _letter(message).get_payload()
    parts = (
        [one for one in payload if isinstance(one, Message)]
        if isinstance(payload, list)
        else [_letter(message)]
    )
    found = []
    for part in parts[:10]:
        octets = part.get_payload(decode=True)
        text = octets.decode("utf-8", "replace") if isinstance(octets, bytes) else ""
        found.append((part.get_content_type(), text.replace("\r\n", "\n")))
    return found
