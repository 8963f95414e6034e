"""Header fields: what may stand in one, how it is read, how it is written.

Written by hand, because Python's own `email` package, in versions still in wide use, turns an encoded
word in a subject into a header line of its own.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable

from mailboxes import charsets

_WORD = re.compile(r"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=")
_WORDS = re.compile(r"(?:=\?[^?\s]{1,64}\?[bBqQ]\?[^?]*\?=)+")
_GAP = re.compile(r"(?<=\?=)\s+(?==\?)")
# what a more lenient reader than ours might still take for an encoded word
_LOOKS_ENCODED = re.compile(r"=\?[^?]{1,80}\?\s*[bq]\s*\?", re.IGNORECASE)
# charsets whose octets one reader takes for letters and another for line breaks
_AMBIGUOUS = re.compile(r"=\?\s*(?:utf|ucs|unicode|iso-10646)[-_ ]?[a-z-]*(?:7|16|32|2|4)", re.IGNORECASE)
_ROUNDS = 6
_FORBIDDEN = {"Cc", "Zl", "Zp", "Cs"}
_LINE = 78
# 39 octets make a word of 64 characters: with the longest field name still inside 78
_OCTETS_IN_WORD = 39


def decode(text: str) -> str:
    """Encoded words are decoded, and what comes out is decoded again, until nothing changes."""
    for _ in range(_ROUNDS):
        decoded = _decode_once(text)
        if decoded == text:
            return text
        text = decoded
    raise ValueError("is encoded over and over")


def clean(text: str) -> str:
    """The decoded value of a field, or ValueError when it holds what no field may hold."""
    for _ in range(_ROUNDS):
        _refuse_controls(text)
        if _AMBIGUOUS.search(text):
            raise ValueError("holds an encoded word that can't be read plainly")
        decoded = _decode_once(text)
        if decoded == text:
            break
        text = decoded
    if _LOOKS_ENCODED.search(text) or _decode_once(text) != text:
        raise ValueError("holds an encoded word that can't be read plainly")
    return text.strip()


def clean_message_id(text: str) -> str:
    if len(text) > 900 or not re.fullmatch(r"<[!-;=?-~]+@[!-;=?-~]+>", text) or "=?" in text:
        raise ValueError("is not a message id such as <id@domain>")
    return text


def clean_url(text: str) -> str:
    if len(text) > 900 or not re.fullmatch(r"https?://[!-;=?-~]+", text) or "=?" in text:
        raise ValueError("is not an address on the web")
    return text


def message_ids(text: str) -> list[str]:
    """The well-formed ids in a References or In-Reply-To field; the others are left out."""
    found = re.findall(r"<[!-;=?-~]{3,900}>", text)
    return [one for one in dict.fromkeys(found) if "@" in one[2:-2] and "=?" not in one]


def unstructured(name: str, text: str) -> list[str]:
    """The lines of a text field such as Subject."""
    line = f"{name}: {text}"
    if _is_plain(text) and len(line) <= _LINE:
        return [line]
    words = encoded_words(text)
    return [f"{name}: {words[0]}", *(f" {word}" for word in words[1:])]


def mailbox(name: str, display_name: str, address: str) -> list[str]:
    """The lines of From: a name that isn't made of plain words is encoded, never quoted."""
    if not display_name:
        return [f"{name}: {address}"]
    if re.fullmatch(r"[A-Za-z0-9]+( [A-Za-z0-9]+)*", display_name) and len(display_name) <= 60:
        return [f"{name}: {display_name} <{address}>"]
    words = encoded_words(display_name)
    return [f"{name}: {words[0]}", *(f" {word}" for word in words[1:]), f" <{address}>"]


def one_a_line(name: str, items: Iterable[str], separator: str) -> list[str]:
    first, *rest = items
    lines = [f"{name}: {first}"]
    for item in rest:
        lines[-1] += separator
        lines.append(f" {item}")
    return lines


def encoded_words(text: str) -> list[str]:
    """Base64 words that never split a character."""
    chunks = [b""]
    for character in text:
        octets = character.encode()
        if len(chunks[-1]) + len(octets) > _OCTETS_IN_WORD:
            chunks.append(b"")
        chunks[-1] += octets
    return [f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in chunks]


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and "=?" not in text and text == text.strip()


def _refuse_controls(text: str) -> None:
    for character in text:
        if unicodedata.category(character) in _FORBIDDEN:
            raise ValueError(
                f"holds a line break or control character (U+{ord(character):04X}), plainly or encoded"
            )


def _decode_once(text: str) -> str:
    return _WORDS.sub(lambda match: _decode_words(match[0]), _GAP.sub("", text)) if "=?" in text else text


def _decode_words(run: str) -> str:
    """Neighbouring words of one charset are joined first: a character may be split between them."""
    joined: list[tuple[str, bytes]] = []
    for charset, encoding, payload in _WORD.findall(run):
        name = charset.partition("*")[0].lower()
        octets = _octets(encoding, payload)
        if joined and joined[-1][0] == name:
            joined[-1] = (name, joined[-1][1] + octets)
        else:
            joined.append((name, octets))
    return "".join(charsets.decode(octets, charset) for charset, octets in joined)


def _octets(encoding: str, payload: str) -> bytes:
    raw = payload.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw.replace(b"=\n", b"").replace(b"\n", b""), header=True)
    raw = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
    if len(raw) % 4 == 1:
        raw = raw[:-1]
    return base64.b64decode(raw + b"=" * (-len(raw) % 4))
