"""From a draft, raw as the caller gave it, to a validated envelope. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

import idna

from mailboxes import attachments, headers, markdown, sanitize
from mailboxes.attachments import Attachment

MAX_RECIPIENTS = 50
MAX_SUBJECT = 998
MAX_BODY = 262_144
MAX_NAME = 200
MAX_REFERENCES = 20

# RFC 5322's atom without what older mail servers route by: % ! | `
_LOCAL = re.compile(r"[A-Za-z0-9#$&'*+/=?^_{}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_{}~-]+)*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Draft:
    """Raw as the caller gave it."""

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str = ""
    markdown: str = ""
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
    send_at: datetime | None = None
    gate_timing: str = ""  # gate_first or schedule_first; "" as the mailbox has it


@dataclass(frozen=True)
class FieldError:
    """`field` is a path such as `to[1]`."""

    field: str
    code: str
    message: str


class InvalidDraft(Exception):
    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(" ".join(error.message for error in errors))
        self.errors = list(errors)


@dataclass(frozen=True)
class Envelope:
    """Validated: every value here can be written into a message as it stands.

    `text` has `\\n` line ends and ends with one; `html` is not sanitised yet (mime.freeze does that).
    """

    sender: str
    sender_name: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    text: str
    html: str
    message_id: str
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    # where its one recipient unsubscribes with one click; "" for what is no bulk mail
    unsubscribe: str = ""

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(sorted({*self.to, *self.cc, *self.bcc}))


def new_message_id(domain: str) -> str:
    return f"<{uuid4().hex}@{domain}>"


def normalize_address(text: str) -> str:
    """One bare address as it goes on the wire: ASCII, the domain in lower case and A-labels.

    Raises ValueError with a sentence. The address is split at its only @; nothing is quoted, nothing
    is looked up, and domains that exist in no DNS (.test, .example, localhost) pass.
    """
    text = text.strip(" ")
    if len(text) > 320:
        raise ValueError("This is longer than an address can be.")
    local, at, domain = text.partition("@")
    if not at or "@" in domain:
        raise ValueError(f"{_shown(text)} is not one bare address such as name@example.com.")
    if not local.isascii():
        raise ValueError(f"{_shown(text)} has letters outside ASCII before the @; they can't be delivered.")
    if not _LOCAL.fullmatch(local) or "=?" in local or "?=" in local:
        raise ValueError(f"{_shown(text)} is not one bare address such as name@example.com.")
    if len(local) > 64:
        raise ValueError("The part before the @ is longer than 64 characters.")
    address = f"{local}@{_normalize_domain(domain)}"
    if len(address) > 254:
        raise ValueError("The address is longer than 254 characters.")
    return address


def build(
    draft: Draft,
    *,
    sender: str,
    sender_name: str,
    message_id: str,
    in_reply_to: str = "",
    references: Sequence[str] = (),
    unsubscribe: str = "",
) -> Envelope:
    """Raises InvalidDraft with every error there is, at most one per field."""
    check = _Check()
    to, cc, bcc = check.recipients(draft)
    text, html = check.bodies(draft)
    for path, code, message in attachments.problems(draft.attachments):
        check.refuse(path, code, message)
    envelope = Envelope(
        sender=check.value("from", sender, normalize_address),
        sender_name=check.text("from_name", sender_name, MAX_NAME),
        to=to,
        cc=cc,
        bcc=bcc,
        subject=check.text("subject", draft.subject, MAX_SUBJECT, required=True),
        text=text,
        html=html,
        message_id=check.value("message_id", message_id, headers.clean_message_id),
        in_reply_to=check.value("in_reply_to", in_reply_to, headers.clean_message_id) if in_reply_to else "",
        references=check.references(references),
        attachments=draft.attachments,
        unsubscribe=check.value("unsubscribe", unsubscribe, headers.clean_url) if unsubscribe else "",
    )
    if check.errors:
        raise InvalidDraft(check.errors)
    return envelope


@dataclass
class _Check:
    """Collects errors. What it answers for a bad value is never used."""

    errors: list[FieldError] = field(default_factory=list)

    def refuse(self, path: str, code: str, message: str) -> None:
        self.errors.append(FieldError(path, code, message))

    def value(self, path: str, value: str, parse: Callable[[str], str]) -> str:
        try:
            return parse(value)
        except ValueError as error:
            message = str(error)
            self.refuse(path, "invalid", message if message.endswith(".") else f"{path} {message}.")
            return ""

    def text(self, path: str, value: str, limit: int, *, required: bool = False) -> str:
        if not _is_text(value):
            self.refuse(path, "invalid", f"{path} must be text.")
        elif len(value) > limit:
            self.refuse(path, "too_long", f"{path} is longer than {limit} characters.")
        elif required and not value.strip():
            self.refuse(path, "required", f"{path} is empty.")
        else:
            return self.value(path, value, headers.clean)
        return ""

    def recipients(self, draft: Draft) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Whoever is named twice stays where they were named first, in the order to, cc, bcc."""
        fields = {"to": draft.to, "cc": draft.cc, "bcc": draft.bcc}
        if sum(map(len, fields.values())) > MAX_RECIPIENTS:
            self.refuse("to", "too_many", f"There are more than {MAX_RECIPIENTS} recipients in all.")
            return (), (), ()
        if not draft.to:
            self.refuse("to", "required", "There is no recipient in to.")
        seen: set[str] = set()
        to, cc, bcc = (self._addresses(name, given, seen) for name, given in fields.items())
        return to, cc, bcc

    def _addresses(self, name: str, given: Sequence[str], seen: set[str]) -> tuple[str, ...]:
        found = []
        for index, text in enumerate(given):
            path = f"{name}[{index}]"
            if not _is_text(text):
                self.refuse(path, "invalid", f"{path} must be text.")
                continue
            address = self.value(path, text, normalize_address)
            # the local part may be told apart by case in theory, and by no server in practice
            if address and address.lower() not in seen:
                seen.add(address.lower())
                found.append(address)
        return tuple(found)

    def references(self, given: Sequence[str]) -> tuple[str, ...]:
        """The first and the newest; blanks, of mail that came without an id, are left out."""
        known = [one for one in given if one]
        kept = [*known[:1], *known[1:][-MAX_REFERENCES + 1 :]]
        return tuple(
            self.value(f"references[{index}]", one, headers.clean_message_id)
            for index, one in enumerate(kept)
        )

    def bodies(self, draft: Draft) -> tuple[str, str]:
        before = len(self.errors)
        text, html = self._body("markdown", draft.markdown), self._body("html", draft.html)
        if len(self.errors) > before:
            return "", ""
        if not text.strip() and not html.strip():
            self.refuse("markdown", "required", "The message has no body.")
            return "", ""
        try:
            from_html = sanitize.to_text(html)
        except ValueError as error:
            self.refuse("html", "invalid", f"html {error}.")
            return "", ""
        text = text if text.strip() else from_html
        if not text.strip():
            self.refuse("html", "required", "The HTML has no text.")
        return text.rstrip("\n") + "\n", html if html.strip() else markdown.to_html(text)

    def _body(self, path: str, value: str) -> str:
        if not _is_text(value):
            self.refuse(path, "invalid", f"{path} must be text.")
        elif len(value) > MAX_BODY:
            self.refuse(path, "too_long", f"{path} is longer than {MAX_BODY} characters.")
        elif bad := re.search("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", value):
            self.refuse(path, "invalid", f"{path} holds the control character U+{ord(bad[0]):04X}.")
        else:
            return re.sub("\r\n?", "\n", value)
        return ""


def _normalize_domain(domain: str) -> str:
    try:
        domain = unicodedata.normalize("NFC", domain).lower()
        # compatibility letters (full-width, circled) and other dots only serve to look like something
        # else; for the same reason nothing is mapped (UTS 46 would drop soft hyphens without a word)
        if unicodedata.normalize("NFKC", domain) != domain or "\u3002" in domain:
            raise idna.IDNAError
        ascii_domain = idna.encode(domain, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError, IndexError):
        raise ValueError(f"{_shown(domain)} is not a domain name.") from None
    labels = ascii_domain.split(".")
    known = len(labels) > 1 or ascii_domain == "localhost"
    if not known or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError(f"{_shown(domain)} is not a domain name.")
    return ascii_domain


def _is_text(value: object) -> bool:
    """The types say so; a caller's JSON may not."""
    return isinstance(value, str)


def _shown(text: str) -> str:
    """A stranger's text inside a sentence: one line, printable, short."""
    shown = "".join(one if one.isprintable() else "\ufffd" for one in text[:80])
    return f"“{shown}”" if shown else "An empty text"
