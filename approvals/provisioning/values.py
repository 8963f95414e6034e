"""Parsers of single values: each returns the value as it is stored, or raises ValueError with a sentence.

No sentence repeats a value that may be a secret.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from approvals.actions.setup import checked_pattern
from approvals.errors import Invalid
from mailboxes import routes
from mailboxes.envelope import normalize_address

Leaf = Callable[[Any], Any]

EVERY = "*"


def kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return "null" if value is None else names.get(type(value), "an object")


def did_you_mean(text: str, choices: Iterable[str]) -> str:
    close = difflib.get_close_matches(text, list(choices), n=1)
    return f"; did you mean “{close[0]}”?" if close else ""


def text(limit: int, *, lines: bool = False, required: bool = False) -> Leaf:
    """One line, or several where `lines`; kept to the letter but for space around a required one."""

    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be text, not {kind(value)}")
        kept = value.strip() if required else value
        if required and not kept:
            raise ValueError("must not be empty")
        if len(kept) > limit:
            raise ValueError(f"is longer than {limit} characters")
        allowed = "\n\r\t" if lines else ""
        if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") and char not in allowed for char in kept):
            raise ValueError(
                "holds control characters" if lines else "must be one line without control characters"
            )
        return kept

    return parse


def word(limit: int) -> Leaf:
    """Part of a URL: no space, nothing beyond ASCII."""

    def parse(value: Any) -> str:
        written: str = text(limit)(value)
        if not written.isascii() or any(char.isspace() for char in written):
            raise ValueError("must be one word in ASCII")
        return written

    return parse


def one_of(choices: list[str]) -> Leaf:
    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be one of {', '.join(choices)}, not {kind(value)}")
        if value not in choices:
            raise ValueError(f'"{value[:80]}" is not one of {", ".join(choices)}')
        return value

    return parse


def whole_number(least: int, most: int) -> Leaf:
    def parse(value: Any) -> int:
        # bool is an int in Python, and not in JSON
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(
                f"must be a whole number, not {'a fraction' if type(value) is float else kind(value)}"
            )
        if not least <= value <= most:
            raise ValueError(f"must be from {least} to {most}")
        return value

    return parse


def seconds(least: float, most: float) -> Leaf:
    def parse(value: Any) -> float:
        # bool is an int in Python, and not in JSON
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"must be a number of seconds, not {kind(value)}")
        if not least <= value <= most:
            raise ValueError(f"must be from {least:g} to {most:g} seconds")
        return float(value)

    return parse


def or_null(parse: Leaf, default: Any) -> Leaf:
    """null stands for the default, which is stored as `default`."""
    return lambda value: default if value is None else parse(value)


def secret(limit: int) -> Leaf:
    """Goes into a header or a signature, so ASCII, and never into a sentence."""

    def parse(value: Any) -> str:
        written: str = text(limit)(value)
        if not written.isascii():
            raise ValueError("must hold no letters beyond ASCII; copy it anew from its provider")
        return written

    return parse


def webhook_secret(value: Any) -> str:
    """As Standard Webhooks writes it, `whsec_` and base64; or any text, which is then taken as it is."""
    written: str = secret(500)(value)
    encoded = written.removeprefix("whsec_")
    if encoded != written:
        try:
            base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError("starts with whsec_, and what follows is not whole; copy it anew") from None
    return written


def address(value: Any) -> str:
    """In lower case throughout, so that one mailbox or person has one spelling."""
    if not isinstance(value, str):
        raise ValueError(f"must be an address, not {kind(value)}")
    return normalize_address(value).lower()


def address_or_every(value: Any) -> str:
    return EVERY if value == EVERY else address(value)


def address_or_none(value: Any) -> str:
    return "" if value == "" else address(value)


def name_or_none(value: Any) -> str:
    parsed: str = "" if value is None else text(200)(value)
    return parsed.strip()


def pattern(value: Any) -> str:
    """An address or *@domain."""
    if not isinstance(value, str):
        raise ValueError(f"must be an address or *@domain, not {kind(value)}")
    try:
        return checked_pattern(value)
    except Invalid as error:
        raise ValueError(error.sentence) from error


def way_out(value: Any) -> str:
    """As EMAIL_URL is written; what is wrong is said without repeating it, because it holds a password."""
    written: str = secret(2000)(value)
    try:
        routes.shown(written)
    except ImproperlyConfigured as error:
        raise ValueError(f"is no way out. {str(error).replace('EMAIL_URL', 'It')}") from None
    return written


def url(value: Any) -> str:
    written: str = text(500)(value)
    if not written:
        return ""
    try:
        parts = urlsplit(written)
        usable = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        usable = False
    if not usable or any(char.isspace() for char in written):
        raise ValueError("is not a URL such as https://models.example/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must have no user, query or fragment; a key belongs into api_key")
    return written.rstrip("/")
