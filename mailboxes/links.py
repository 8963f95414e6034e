"""Where links really go, against what they say. Pure."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from typing import Literal
from urllib.parse import unquote, urlsplit

import idna

Severity = Literal["info", "warn", "high"]
_URL = re.compile(r"https?://[^\s<>\"'\u27e6]{1,2000}", re.IGNORECASE)
_CLAIM = re.compile(
    r"(?:(?P<scheme>https?://)|(?P<www>www\.))?(?:[^\s/@]{1,100}@)?"
    r"(?P<host>(?:[\w-]{1,63}\.)+(?P<top>[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59}))(?=[/:?#.,;!)\s]|$)",
    re.IGNORECASE,
)
# without a scheme only these endings read as a domain; report.pdf and notes.md are files
_TABLE = (
    "com net org edu gov mil int info biz io co ai app dev eu uk de fr it es nl at ch se no fi dk pl pt "
    "ru cn jp in br au ca us example test "
)
_TOPS = set(_TABLE.split())


def in_text(text: str) -> list[str]:
    return [match[0].rstrip(".,;:!?)]") for match in _URL.finditer(text)][:500]


def host_of(href: str) -> str:
    """In lower case and A-labels where possible; "" when there is none."""
    if href.lower().startswith("mailto:"):
        host = unquote(href[7:].partition("?")[0]).rpartition("@")[2]
    else:
        try:
            host = urlsplit(href).hostname or ""
        except ValueError:
            return ""
    return _ascii(host.rstrip("."))


def claimed_host(text: str) -> str:
    """The host that a link's text names, if the text begins with one."""
    match = _CLAIM.match(text.strip())
    if not match or not (match["scheme"] or match["www"] or match["top"].lower() in _TOPS):
        return ""
    return _ascii(match["host"])


def disagree(claimed: str, target: str) -> bool:
    one, other = claimed.removeprefix("www."), target.removeprefix("www.")
    return one != other and not other.endswith(f".{one}") and not one.endswith(f".{other}")


def oddities(href: str) -> Iterator[tuple[str, Severity, str]]:
    """Code, severity and the end of a sentence about one address."""
    host = host_of(href)
    if not href.lower().startswith(("http:", "https:")):
        return
    if "@" in _netloc(href):
        where = host or "no readable host"
        yield "link_userinfo", "high", f"names something else before an @ and goes to {where}"
    if _is_ip(host):
        yield "link_ip", "warn", f"goes to the bare address {host}"
    shown = _unicode(host)
    if any(_is_mixed(label) for label in shown.split(".")):
        yield "link_lookalike", "high", f"mixes alphabets: {shown} is really {host}"
    elif "xn--" in host:
        yield "link_punycode", "warn", f"has a name outside ASCII: {shown} is really {host}"


def _netloc(href: str) -> str:
    try:
        return urlsplit(href).netloc
    except ValueError:
        return "@"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(re.fullmatch(r"(?:0x[0-9a-f]+|\d+)(?:\.(?:0x[0-9a-f]+|\d+)){0,3}", host))
    return True


def _ascii(host: str) -> str:
    host = unicodedata.normalize("NFKC", host[:253]).lower()
    try:
        return host if host.isascii() else idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError, IndexError):
        return host


def _unicode(host: str) -> str:
    labels = []
    for label in host.split("."):
        try:
            labels.append(idna.ulabel(label) if label.startswith("xn--") else label)
        except (idna.IDNAError, UnicodeError, IndexError):
            labels.append(label)
    return ".".join(labels)


def _is_mixed(label: str) -> bool:
    """Letters of Latin, Greek and Cyrillic in one label."""
    names = {unicodedata.name(one, "").partition(" ")[0] for one in label if one.isalpha()}
    return len(names & {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE"}) > 1
