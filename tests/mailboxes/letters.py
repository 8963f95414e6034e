"""Builders for the tests of this folder."""

from __future__ import annotations

from mailboxes import envelope
from mailboxes.envelope import Draft, Envelope
from mailboxes.facts import Fact
from mailboxes.mime import Frozen, freeze

MESSAGE_ID = "<1.a@acme.test>"


def a_draft(**values: object) -> Draft:
    usual: dict[str, object] = {
        "to": ("bob@northwind.example",),
        "subject": "Your order",
        "markdown": "Hello Bob.",
    }
    return Draft(**(usual | values))  # type: ignore[arg-type]


def an_envelope(
    draft: Draft | None = None, *, sender_name: str = "Acme Support", **values: object
) -> Envelope:
    return envelope.build(
        draft or a_draft(**values), sender="support@acme.test", sender_name=sender_name, message_id=MESSAGE_ID
    )


def frozen(**values: object) -> Frozen:
    return freeze(an_envelope(a_draft(**values)))


def facts_of(html: str, text: str = "Hello Bob.") -> tuple[Fact, ...]:
    return frozen(html=html, markdown=text).facts


def high(html: str, text: str = "Hello Bob.") -> list[str]:
    return [fact.sentence for fact in facts_of(html, text) if fact.severity == "high"]
