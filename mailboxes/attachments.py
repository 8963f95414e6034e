"""Files that go with a message: what may be one, how it is written, and how it is read back. Pure."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any
from urllib.parse import quote

from mailboxes import invisible

MAX_FILES = 20
MAX_OCTETS = 10_000_000  # of all files of a message together
MAX_NAME = 120
# what runs when it is opened, and what the large mail providers refuse
FORBIDDEN = frozenset(
    """
    ade adp apk app appx bat cab chm cmd com cpl dll dmg exe hta ins iso isp jar js jse lib lnk mde msc msi
    msp mst nsh pif ps1 reg scr sct shb sys vb vbe vbs vxd wsc wsf wsh
    """.split()  # noqa: SIM905 - one a line would be half a page
)
_KIND = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")
# how a file begins that is of one of these kinds, whatever it says that it is
_BEGINNINGS = {
    b"MZ": "a Windows program",
    b"\x7fELF": "a Linux program",
    b"\xcf\xfa\xed\xfe": "a macOS program",
    b"#!": "a script",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF-": "a PDF",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
}
_PROGRAMS = ("a Windows program", "a Linux program", "a macOS program", "a script")
_EXPECTED = {
    "application/pdf": "a PDF",
    "image/png": "a PNG image",
    "image/jpeg": "a JPEG image",
    "image/gif": "a GIF image",
    "application/zip": "a ZIP archive",
}


@dataclass(frozen=True)
class Attachment:
    """`content_type` as the caller gave it, in lower case and without parameters."""

    name: str
    content_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def described(self) -> dict[str, Any]:
        """What is kept beside the message; the bytes themselves are in its frozen content."""
        known = {"name": self.name, "size": len(self.data), "content_type": self.content_type}
        return known | {"sha256": self.digest}


def problems(files: Sequence[Attachment]) -> Iterator[tuple[str, str, str]]:
    """(path, code, sentence) of what is wrong."""
    if len(files) > MAX_FILES:
        yield "attachments", "too_many", f"There are more than {MAX_FILES} attachments."
        return
    if sum(len(one.data) for one in files) > MAX_OCTETS:
        yield "attachments", "too_large", f"The attachments have more than {MAX_OCTETS} bytes together."
    names: set[str] = set()
    for index, one in enumerate(files):
        path = f"attachments[{index}]"
        if wrong := _wrong_with_name(one.name):
            yield f"{path}.name", "bad_name", wrong
        elif one.name.lower() in names:
            yield f"{path}.name", "repeated", f"Two attachments are called {one.name}."
        names.add(one.name.lower())
        if not _KIND.fullmatch(one.content_type) or one.content_type.startswith(("multipart/", "message/")):
            yield (
                f"{path}.content_type",
                "bad_type",
                "This is not the type of a file, such as application/pdf.",
            )


def _wrong_with_name(name: str) -> str:
    if not name.strip(" .") or name != name.strip():
        return "A file needs a name."
    if len(name) > MAX_NAME:
        return f"The name of a file has at most {MAX_NAME} characters."
    if not name.isprintable() or "/" in name or "\\" in name or invisible.find(name):
        return "The name of a file holds printable characters only, and no folders."
    suffix = name.rstrip(" .").rpartition(".")[2].lower()
    if "." in name and suffix in FORBIDDEN:
        return f"Files that end in .{suffix} are not sent: they run when they are opened."
    return ""


def told(files: Sequence[Attachment]) -> Iterator[tuple[str, str, str]]:
    """(severity, sentence, evidence) of each file whose content, type and name disagree."""
    for one in files:
        is_really = next((kind for start, kind in _BEGINNINGS.items() if one.data.startswith(start)), "")
        by_name = mimetypes.guess_type(one.name)[0] or ""
        if is_really in _PROGRAMS:
            yield "high", f"{one.name} is {is_really}, whatever its name says.", one.content_type
        elif by_name in _EXPECTED and is_really != _EXPECTED[by_name]:
            yield "high", f"{one.name} is called like {_EXPECTED[by_name]} and is none.", is_really
        elif by_name and one.content_type not in (by_name, "application/octet-stream"):
            yield "warn", f"{one.name} is sent as {one.content_type}, and its name says {by_name}.", by_name


def part(one: Attachment) -> list[str]:
    """The lines of its part of the message; a name outside ASCII in pieces (RFC 2231)."""
    encoded = base64.encodebytes(one.data).decode().split("\n")
    return [
        f"Content-Type: {one.content_type}",
        "Content-Disposition: attachment;",
        *_filename(one.name),
        "Content-Transfer-Encoding: base64",
        "",
        *encoded,
    ]


def _filename(name: str) -> list[str]:
    if name.isascii() and not re.search(r'["\\%]', name) and len(name) < 60:
        return [f' filename="{name}"']
    text, pieces = f"utf-8''{quote(name, safe='')}", []
    while text:
        # an escape is not torn apart
        cut = 60 if len(text) > 60 else len(text)
        while cut < len(text) and "%" in text[cut - 2 : cut]:
            cut -= 1
        pieces.append(text[:cut])
        text = text[cut:]
    last = len(pieces) - 1
    return [f" filename*{n}*={piece}{';' if n < last else ''}" for n, piece in enumerate(pieces)]


def read(message: Message) -> Attachment:
    """Of a part as `part` writes it."""
    value = message.get_param("filename", header="content-disposition")
    octets = message.get_payload(decode=True)
    name = collapse_rfc2231_value(value) if value else ""
    return Attachment(str(name), message.get_content_type(), octets if isinstance(octets, bytes) else b"")
