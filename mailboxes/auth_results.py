"""What a mail server in front of us found about a sender: SPF, DKIM and DMARC (RFC 8601). Pure.

Anybody can write such a field. Only those of the servers that an operator names are read, and of these only
the topmost run: what the server itself put on top, and not what it passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypedDict

METHODS = ("spf", "dkim", "dmarc", "arc")
MOST = 20
_RESULTS = {
    "pass",
    "fail",
    "softfail",
    "neutral",
    "none",
    "policy",
    "temperror",
    "permerror",
    "bestguesspass",
}
# of each method, whose domain it speaks of
_PROPERTIES = {
    "spf": ("smtp.mailfrom", "smtp.helo"),
    "dkim": ("header.d", "header.i"),
    "dmarc": ("header.from",),
    "arc": ("header.oldest-pass", "arc.chain"),
}
_METHOD = re.compile(r"^([a-z0-9-]{1,20})(?:\s*/\s*\d{1,3})?\s*=\s*([a-z]{1,20})\b", re.IGNORECASE)
_PROPERTY = re.compile(r'([a-z0-9.-]{1,40})\s*=\s*("[^"]{0,320}"|[^\s;"]{1,320})', re.IGNORECASE)


class AuthResult(TypedDict):
    method: str
    result: str
    # the domain or address that it is about, or ""
    domain: str
    # the server that says so
    by: str


def read(fields: Sequence[tuple[int, str]], trusted: Iterable[str]) -> list[AuthResult]:
    """Of Authentication-Results fields with their places in the header."""
    servers = {name.lower() for name in trusted}
    found: list[AuthResult] = []
    by, at = "", -1
    for place, value in fields:
        server, _, rest = _plain(value).partition(";")
        server = server.strip().split(" ", 1)[0].lower()
        if by and (server != by or place != at + 1):
            break
        if server in servers:
            by, at = server, place
            found += _results(rest, server)
    return found[:MOST]


def _results(text: str, by: str) -> list[AuthResult]:
    found: list[AuthResult] = []
    for part in text.split(";")[:MOST]:
        match = _METHOD.match(part.strip())
        if not match or match[1].lower() not in METHODS or match[2].lower() not in _RESULTS:
            continue
        method = match[1].lower()
        found.append(
            {"method": method, "result": match[2].lower(), "domain": _domain(method, part), "by": by}
        )
    return found


def _domain(method: str, text: str) -> str:
    properties = {name.lower(): value.strip('"') for name, value in _PROPERTY.findall(text)}
    return next((properties[name] for name in _PROPERTIES[method] if name in properties), "").lstrip("@")


def _plain(text: str) -> str:
    """Without comments, which may be nested."""
    out: list[str] = []
    depth = 0
    for character in text[:10_000]:
        if character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif not depth:
            out.append(character)
    return " ".join("".join(out).split())
