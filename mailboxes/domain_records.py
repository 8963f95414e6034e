"""The DNS records that a domain should have, and what the DNS's answers say of each. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mailboxes.providers import Account
from mailboxes.routes import Route

VERIFIED, MISSING, WRONG, UNREACHABLE, UNCHECKED = "verified", "missing", "wrong", "unreachable", "unchecked"
DKIM, SPF, MX, RETURN_PATH, DMARC = "dkim", "spf", "mx", "return_path", "dmarc"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# by the end of the host's name: what its addresses are listed under
SENDERS = {
    "mailgun.net": "include:mailgun.org",
    "mailgun.org": "include:mailgun.org",
    "amazonaws.com": "include:amazonses.com",
    "sendgrid.net": "include:sendgrid.net",
    "sparkpost.com": "include:sparkpostmail.com",
    "sparkpostmail.com": "include:sparkpostmail.com",
    "postmarkapp.com": "include:spf.mtasv.net",
    "mailjet.com": "include:spf.mailjet.com",
    "gmail.com": "include:_spf.google.com",
    "google.com": "include:_spf.google.com",
    "outlook.com": "include:spf.protection.outlook.com",
    "office365.com": "include:spf.protection.outlook.com",
    "messagingengine.com": "include:spf.messagingengine.com",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`values`: of the records that there are; `error`: why nobody knows."""

    values: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`expected`: what an answer must hold, where that is not the whole value."""

    purpose: str
    type: str
    name: str
    value: str
    expected: tuple[str, ...] = ()

    @property
    def question(self) -> tuple[str, str]:
        return self.name, self.type


def wanted(
    domain: str, keys: Sequence[tuple[str, str]], routes: Iterable[Route], our_host: str
) -> list[Wanted]:
    """`keys`: (selector, public key), the newest first. `our_host`: "" if this install has no public name."""
    needed, suggested = _senders(routes)
    spf = " ".join(["v=spf1", *(needed or suggested or ["mx"]), "~all"])
    exchange = f"10 {our_host or 'the-name-of-this-server'}."
    return [
        *(
            Wanted(DKIM, "TXT", f"{selector}._domainkey.{domain}", f"v=DKIM1; k=rsa; p={public}", (public,))
            for selector, public in keys
        ),
        Wanted(SPF, "TXT", domain, spf, tuple(needed)),
        Wanted(MX, "MX", domain, exchange, (our_host,) if our_host else ()),
        Wanted(RETURN_PATH, "MX", domain, exchange),
        Wanted(DMARC, "TXT", f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"),
    ]


def _senders(routes: Iterable[Route]) -> tuple[list[str], list[str]]:
    """What an SPF record must name, because we know it, and what it probably should."""
    needed, suggested = set(), set()
    for route in routes:
        host = urlsplit(route.base).hostname or "" if isinstance(route, Account) else route.host
        known = [named for end, named in SENDERS.items() if f".{host.lower()}".endswith(f".{end}")]
        needed.update(known)
        if not known and host not in LOOPBACK:
            suggested.add(f"a:{host}")
    return sorted(needed), sorted(suggested)


def judged(record: Wanted, answer: Answer) -> dict[str, Any]:
    """The record as it is stored and shown, with its state and a sentence."""
    if answer.error:
        state, note = UNREACHABLE, answer.error
    else:
        state, note = _JUDGES[record.purpose](record, answer.values)
    return unchecked(record) | {"status": state, "note": note, "found": list(answer.values)[:20]}


def unchecked(record: Wanted) -> dict[str, Any]:
    shown = {"purpose": record.purpose, "type": record.type, "name": record.name, "value": record.value}
    return {**shown, "status": UNCHECKED, "note": "", "found": []}


Judged = tuple[str, str]


def _dkim(record: Wanted, values: Sequence[str]) -> Judged:
    if not values:
        return MISSING, "There is no such record yet."
    if len(values) > 1:
        return WRONG, "There is more than one record under this name; a receiver may take either."
    found = _tags(values[0]).get("p")
    if found in record.expected:
        return VERIFIED, ""
    if found is None:
        return WRONG, "This is no DKIM key."
    return WRONG, "It holds another key." if found else "It says that the key was revoked."


def _tags(text: str) -> dict[str, str]:
    pairs = (one.partition("=") for one in text.split(";"))
    return {name.strip().lower(): re.sub(r"\s+", "", value) for name, equals, value in pairs if equals}


def _spf(record: Wanted, values: Sequence[str]) -> Judged:
    found = [one for one in values if re.match(r"(?i)v=spf1(?: |$)", one)]
    if not found:
        return MISSING, "There is no SPF record yet."
    if len(found) > 1:
        return WRONG, f"There are {len(found)} SPF records; receivers then take none. Join them into one."
    terms = [term.lower().removeprefix("+") for term in found[0].split()[1:]]
    missing = [term for term in record.expected if term not in terms]
    if "all" in terms:
        return WRONG, "It lets everybody send in this name: end it with ~all or -all."
    if missing:
        return WRONG, f"It does not name {' '.join(missing)}. Add that before its end."
    note = "" if record.expected else "Whether it covers your server's addresses, only you know."
    return VERIFIED, note


def _mx(record: Wanted, values: Sequence[str]) -> Judged:
    state, note = _return_path(record, values)
    if state != VERIFIED or not record.expected:
        return state, note
    hosts = [_host(one) for one in values]
    if record.expected[0].lower() in hosts:
        return VERIFIED, ""
    return WRONG, f"Mail goes to {', '.join(hosts)}. It comes in here only if that passes it on."


def _return_path(_record: Wanted, values: Sequence[str]) -> Judged:
    """Where bounces go: mail leaves with the mailbox's own address as its sender."""
    if not values:
        return MISSING, "There is no MX record: bounces and answers go nowhere."
    if not any(map(_host, values)):
        return WRONG, "It says that this domain takes no mail."
    return VERIFIED, ""


def _host(exchange: str) -> str:
    return exchange.rsplit(maxsplit=1)[-1].rstrip(".").lower() if exchange.split() else ""


def _dmarc(_record: Wanted, values: Sequence[str]) -> Judged:
    found = [one for one in values if _tags(one).get("v") == "DMARC1"]
    if not found:
        return MISSING, "Recommended: some receivers take mail in bulk only from domains that have one."
    if len(found) > 1:
        return WRONG, "There is more than one; receivers then take none."
    return VERIFIED, ""


_JUDGES: dict[str, Callable[[Wanted, Sequence[str]], Judged]] = {
    DKIM: _dkim,
    SPF: _spf,
    MX: _mx,
    RETURN_PATH: _return_path,
    DMARC: _dmarc,
}
