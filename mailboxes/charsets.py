"""Bytes of a named charset to text, for names that a stranger wrote. Never raises."""

from __future__ import annotations

import codecs
import re

# text codecs that are no charset of any mail: slow, or able to smuggle characters past a reader
_NEVER = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
_SURROGATES = re.compile("[\ud800-\udfff]")


def decode(data: bytes, charset: str) -> str:
    name = _known(charset)
    if not name:
        name = "utf-8" if _is_utf8(data) else "latin-1"
    try:
        return data.decode(name, "replace")
    except (ValueError, LookupError):
        return data.decode("latin-1")


def scrub(text: str) -> str:
    """What no database and no wire can hold becomes U+FFFD: NUL and lone surrogates."""
    return _SURROGATES.sub("\ufffd", text).replace("\0", "\ufffd")


def _known(charset: str) -> str:
    """The codec's own name, or "" for what isn't a charset."""
    try:
        codec = codecs.lookup(charset.strip().strip("'\"").lower()[:40])
    except (LookupError, ValueError):
        return ""
    is_text: bool = getattr(codec, "_is_text_encoding", False)
    return codec.name if is_text and codec.name.replace("_", "-") not in _NEVER else ""


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
