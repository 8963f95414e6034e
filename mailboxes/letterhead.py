"""What a mailbox adds to each of its messages: copies, a word about AI, and a signature. Pure."""

from __future__ import annotations

from dataclasses import replace
from html import escape

from mailboxes.envelope import Draft, normalize_address
from mailboxes.models import Mailbox

DISCLOSURE = "This message was written by an AI assistant."


def dress(draft: Draft, mailbox: Mailbox) -> tuple[Draft, tuple[str, ...]]:
    """`draft` as it goes to the reviewer, and the recipients that were added to it."""
    present = {_bare(address) for address in (*draft.to, *draft.cc, *draft.bcc)}
    cc = _missing(mailbox.auto_cc, present)
    bcc = _missing(mailbox.auto_bcc, {*present, *cc})
    dressed = replace(draft, cc=(*draft.cc, *cc), bcc=(*draft.bcc, *bcc))
    # before the signature, which mail programs fold away
    told = _disclosed(dressed) if mailbox.ai_disclosure else dressed
    return _signed(told, mailbox.signature_block.strip()), (*cc, *bcc)


def _missing(address: str, present: set[str]) -> tuple[str, ...]:
    return (address,) if address and _bare(address) not in present else ()


def _bare(address: str) -> str:
    try:
        return normalize_address(address)
    except ValueError:
        return address  # whoever freezes it says what is wrong


def _disclosed(draft: Draft) -> Draft:
    text = f"{draft.markdown.rstrip()}\n\n{DISCLOSURE}\n" if draft.markdown else ""
    return replace(draft, markdown=text, html=f"{draft.html}<p>{DISCLOSURE}</p>" if draft.html else "")


def _signed(draft: Draft, signature: str) -> Draft:
    if not signature:
        return draft
    lines = [escape(line) for line in signature.splitlines()]
    html = f"{draft.html}<p>-- <br>{'<br>'.join(lines)}</p>" if draft.html else ""
    # two spaces at the end of a line make it end there in Markdown too
    text = "  \n".join(signature.splitlines())
    return replace(
        draft, markdown=f"{draft.markdown.rstrip()}\n\n--  \n{text}\n" if draft.markdown else "", html=html
    )
