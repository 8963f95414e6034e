"""Questions to the DNS. Every failure is an answer, with a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.name
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from mailboxes.domain_records import Answer

SECONDS = 5.0  # for each question, with all its repeats
AT_ONCE = 8
LONGEST = 4096  # characters of a value

Question = tuple[str, str]


def resolver() -> dns.resolver.Resolver:
    """As this machine is set up."""
    return dns.resolver.Resolver()


def ask(questions: Iterable[Question]) -> dict[Question, Answer]:
    """All at once: one that nobody answers keeps the others no longer than itself."""
    distinct = list(dict.fromkeys(questions))
    if not distinct:
        return {}
    try:
        asked = resolver()
    except dns.exception.DNSException:
        return dict.fromkeys(distinct, Answer(error="This machine has no name server to ask."))
    with ThreadPoolExecutor(max_workers=AT_ONCE) as threads:
        return dict(
            zip(distinct, threads.map(lambda question: _ask(asked, *question), distinct), strict=True)
        )


def _ask(asked: dns.resolver.Resolver, name: str, kind: str) -> Answer:
    try:
        found = asked.resolve(dns.name.from_text(name), kind, lifetime=SECONDS, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return Answer()
    except dns.exception.Timeout:
        return Answer(error=f"No answer within {SECONDS:g} seconds.")
    except dns.resolver.NoNameservers:
        return Answer(error="The domain's name servers failed to answer.")
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return Answer(error=f"The question could not be asked ({type(error).__name__}).")
    return Answer(tuple(sorted(_text(one)[:LONGEST] for one in found)))


def _text(record: object) -> str:
    """The strings of a TXT record are one text, cut for the wire."""
    if isinstance(record, TXT):
        return b"".join(record.strings).decode("utf-8", "replace").replace("\0", "")
    if isinstance(record, MX):
        return f"{record.preference} {record.exchange}"
    return str(record)
