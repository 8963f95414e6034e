"""What a message proves about itself: is its identity header ours, and is it this message's own?

Headers are cut apart by hand: a stranger's bytes are hashed here, and never parsed as mail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mailboxes import identity
from mailboxes.identity import InvalidIdentity

LONGEST_HEAD = 262_144  # bytes
# what relays put on top changes nothing that a reader sees; these would, and so would a line that is no field
SEEN = re.compile(
    r"from|to|cc|subject|reply-to|sender|message-id|in-reply-to|references|mime-version|content-.*|"
)
MODES = {
    "read_only": "reading only",
    "gated_all": "a person decides about mail in and out",
    "gated_send": "a person decides about each send",
    "monitored": "sent at once, with a copy to whoever oversees",
    "autonomous": "sent at once",
}


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """`claims`: pairs of a word and what the header says; only as good as the checks are."""

    checks: tuple[Check, ...]
    claims: tuple[tuple[str, str], ...] = ()

    @property
    def is_proved(self) -> bool:
        return all(check.ok for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    value: str
    start: int
    end: int


def examine(data: bytes) -> Report:
    """Line ends, empty lines at either end and a mailbox file's first line are as programs save them."""
    data = (
        re.sub(rb"\AFrom [^\n]*\n", b"", data.strip(b"\r\n")).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        + b"\r\n"
    )
    fields = list(_fields(data))
    found = [one for one in fields if one.name == identity.HEADER.lower()]
    if not found:
        sentence = "There is no identity header in it. Give the whole source, headers included."
        return Report((Check("Signature", False, sentence),))
    if len(found) > 1:
        return Report(
            (Check("Signature", False, "It has more than one identity header: nobody sends that."),)
        )
    try:
        claims, key = identity.opened(found[0].value)
    except InvalidIdentity as error:
        return Report((Check("Signature", False, str(error)),))
    signed = f"Signed here, with the key {identity.published(key)['kid']}."
    checks = (Check("Signature", True, signed), *_about_message(data, fields, found[0], claims))
    return Report(checks, tuple(_told(claims)))


def _about_message(
    data: bytes, fields: list[_Field], header: _Field, claims: dict[str, Any]
) -> tuple[Check, ...]:
    below = [one for one in fields if one.start >= header.end]
    # where the domain's own signature was put between the two
    while below and below[0].name == "dkim-signature":
        below = below[1:]
    start = below[0].start if below else header.end
    return (
        _text(hashlib.sha256(data[start:]).hexdigest() == claims.get("body_hash")),
        _message_id(_value(below, "message-id"), str(claims.get("message_id", ""))),
        _sender(_value(below, "from"), str(claims.get("sender", ""))),
        _recipients(below, str(claims.get("recipients_hash", ""))),
        _above([one for one in fields if one.end <= header.start], claims.get("iat")),
    )


def _text(ok: bool) -> Check:
    if ok:
        return Check("Text", True, "Headers, text and attachments are what was signed, byte for byte.")
    sentence = (
        "It is not the text that was signed: something was changed on the way, or the header belongs to "
        "another message, or the source is not whole."
    )
    return Check("Text", False, sentence)


def _message_id(found: str, claimed: str) -> Check:
    if found == claimed:
        return Check("Message", True, f"It is the message {claimed}.")
    sentence = f"The header was made for the message {claimed}, and this is {found or 'one without an id'}."
    return Check("Message", False, f"{sentence} It was moved here.")


def _sender(found: str, claimed: str) -> Check:
    address = found.rpartition("<")[2].rstrip("> \t")
    if address == claimed:
        return Check("Sender", True, f"It was sent from the mailbox {claimed}.")
    return Check("Sender", False, f"It was signed for the sender {claimed}, and says {address or 'none'}.")


def _recipients(below: list[_Field], claimed: str) -> Check:
    named = ",".join(one.value for one in below if one.name in ("to", "cc"))
    addresses = {one.strip() for one in named.split(",") if one.strip()}
    if identity.recipients_hash(sorted(addresses)) == claimed:
        return Check("Recipients", True, "To and Cc name those for whom it was signed.")
    return Check("Recipients", False, "To and Cc name others than those for whom it was signed.")


def _above(above: list[_Field], iat: object) -> Check:
    """What stands above the signed text is nobody's word, and some mail programs show it first."""
    added = [one.name for one in above if SEEN.fullmatch(one.name)]
    dates = [_moment(one.value) for one in above if one.name == "date"]
    if added:
        named = ", ".join(sorted({name or "a line that is no header" for name in added}))
        sentence = f"Added on top, where some programs read it first: {named}."
        return Check("On top", False, sentence)
    if dates != [iat]:
        return Check("On top", False, "Its date is not the time at which it was signed.")
    return Check("On top", True, "Nothing that a reader sees was put above what was signed.")


def _told(claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    mode = str(claims.get("oversight", ""))
    yield (
        "Approved",
        "by a person, who saw exactly this text"
        if claims.get("approved")
        else "by no person: a rule let it go",
    )
    yield "Oversight", f"{mode}: {MODES[mode]}" if mode in MODES else mode
    yield "Written by", "an AI assistant" if claims.get("ai_generated") else "a person"
    yield "Sender", str(claims.get("sender", ""))
    yield "Message", str(claims.get("message_id", ""))
    verified = "verified" if claims.get("verified_operator") else "its own word, verified by nobody"
    yield "Operator", f"{claims.get('operator') or 'not named'} ({verified})"
    if isinstance(at := claims.get("iat"), int):
        yield "Signed", datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _fields(data: bytes) -> Iterator[_Field]:
    """Up to the empty line. A line that is no field has no name."""
    head = data[:LONGEST_HEAD].partition(b"\r\n\r\n")[0] + b"\r\n"
    start = 0
    for found in re.finditer(rb"\r\n(?![ \t])", head):
        name, colon, value = head[start : found.start()].partition(b":")
        is_field = colon and re.fullmatch(rb"[!-9;-~]+[ \t]*", name)
        told = value.replace(b"\r\n", b"").decode("ascii", "replace").strip()
        yield _Field(name.decode().strip().lower() if is_field else "", told, start, found.end())
        start = found.end()


def _value(fields: list[_Field], name: str) -> str:
    """Of the one field of this name; of two, neither."""
    found = [one.value for one in fields if one.name == name]
    return found[0] if len(found) == 1 else ""


def _moment(text: str) -> int | None:
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None
