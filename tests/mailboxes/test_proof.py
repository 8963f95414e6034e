"""What a message proves: that it is what was signed, and nothing when a byte of it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailboxes import identity, proof
from mailboxes.envelope import build
from mailboxes.mime import Frozen, freeze
from tests.mailboxes.letters import a_draft, frozen

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def sent(made: Frozen | None = None, **values: Any) -> bytes:
    """As it left."""
    made = made or frozen(cc=("c@x.test",), bcc=("secret@x.test",))
    usual: dict[str, Any] = {"approved": True, "oversight": "gated_send", "operator": "Acme", "now": NOW}
    found = re.search(rb"Message-ID: (\S+)", made.data)
    assert found
    named: dict[str, Any] = {
        "sender": made.sender,
        "recipients": made.recipients,
        "message_id": found[1].decode(),
    }
    return identity.dispatch_block(frozen=made.data, **(named | usual | values)) + made.data


def failing(data: bytes) -> list[str]:
    return [check.name for check in proof.examine(data).checks if not check.ok]


def test_what_left_here_is_proved_and_says_who_let_it_go() -> None:
    report = proof.examine(sent())
    assert report.is_proved
    assert len(report.checks) == 6
    claims = dict(report.claims)
    assert claims["Approved"] == "by a person, who saw exactly this text"
    assert claims["Signed"] == "2026-11-22 09:30:00 UTC"
    assert claims["Operator"] == "Acme (its own word, verified by nobody)"
    assert dict(proof.examine(sent(approved=False)).claims)["Approved"].startswith("by no person")


TRACE = (
    b"Return-Path: <support@acme.test>\r\nReceived: from a by b\r\n\tfor <c@x.test>; today\r\n"
    b"Authentication-Results: b; dkim=pass\r\nX-Spam-Score: 0\r\n"
)
SAVED: dict[str, Callable[[bytes], bytes]] = {
    "as it came": lambda data: data,
    "with what relays put on top": lambda data: TRACE + data,
    "with Unix line ends": lambda data: data.replace(b"\r\n", b"\n"),
    "without its last line end": lambda data: data.rstrip(),
    "with empty lines around it": lambda data: b"\n\n" + data + b"\r\n\r\n",
    "in a mailbox file": lambda data: b"From support@acme.test Sun Nov 22 09:30:00 2026\n" + data,
    "signed by its domain": lambda data: b"DKIM-Signature: v=1;\r\n b=abc\r\n" + data,
    "signed by its domain below": lambda data: re.sub(
        rb"(X-MultiMail-Identity: \S+\r\n)", rb"\1DKIM-Signature: v=1;\r\n b=abc\r\n", data
    ),
}


@pytest.mark.parametrize("how", SAVED)
def test_as_programs_save_it_it_is_still_proved(how: str) -> None:
    assert failing(SAVED[how](sent())) == []


def test_the_header_proves_nothing_on_another_message() -> None:
    header = re.search(rb"X-MultiMail-Identity: \S+\r\n", sent())
    draft = a_draft(subject="Another", cc=("d@x.test",))
    other = sent(freeze(build(draft, sender="support@acme.test", sender_name="", message_id="<2@acme.test>")))
    assert header
    moved = re.sub(rb"X-MultiMail-Identity: \S+\r\n", lambda _: header[0], other)
    report = proof.examine(moved)
    assert failing(moved) == ["Text", "Message", "Recipients"]
    assert any("It was moved here." in check.sentence for check in report.checks)


CHANGED: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "a word of its text": (lambda data: data.replace(b"Hello Bob", b"Hello Eve"), ["Text"]),
    "its subject": (lambda data: re.sub(rb"Subject: .*\r\n", b"Subject: Hi\r\n", data), ["Text"]),
    "a recipient": (lambda data: data.replace(b"bob@northwind", b"eve@northwind"), ["Text", "Recipients"]),
    "another recipient": (lambda data: data.replace(b"Cc: ", b"Cc: eve@x.test, "), ["Text", "Recipients"]),
    "its sender": (lambda data: data.replace(b"From: ", b"From: eve@x.test "), ["Text"]),
    "its id": (lambda data: re.sub(rb"(Message-ID: )\S+", rb"\1<x@y>", data), ["Text", "Message"]),
    "its date": (lambda data: data.replace(b"09:30:00", b"09:30:01"), ["On top"]),
    "a second subject on top": (lambda data: b"Subject: Pay now\r\n" + data, ["On top"]),
    "a second sender on top": (lambda data: TRACE + b"From: ceo@x.test\r\n" + data, ["On top"]),
    "a second date": (lambda data: b"Date: Sun, 22 Nov 2026 09:30:00 +0000\r\n" + data, ["On top"]),
    "a line that is no header": (lambda data: b"Pay now!\r\n" + data, ["On top"]),
    "another kind of content on top": (lambda data: b"Content-Type: text/html\r\n" + data, ["On top"]),
    "a footer of a list": (lambda data: data + b"-- \r\nSent to a list\r\n", ["Text"]),
    "a field between": (
        lambda data: re.sub(rb"(X-MultiMail-Identity: \S+\r\n)", rb"\1Reply-To: eve@x.test\r\n", data),
        ["Text"],
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_whatever_a_reader_sees_and_was_not_signed_fails_in_a_sentence(what: str) -> None:
    change, expected = CHANGED[what]
    changed = change(sent())
    assert failing(changed) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"Subject: Hello\r\n\r\nHello\r\n",
        b"\0\xff" * 1000,
        b"X-MultiMail-Identity: nonsense\r\n\r\n",
        b"X-MultiMail-Identity:\r\n" * 50_000,
        b"a" * 1_000_000,
        b"X-MultiMail-Identity: " + b"A" * 200_000 + b"." + b"B" * 86 + b"\r\n\r\n",
    ],
)
def test_a_message_without_a_good_header_proves_nothing(data: bytes) -> None:
    report = proof.examine(data)
    assert not report.is_proved
    assert report.claims == ()


def test_two_identities_are_none() -> None:
    message = sent()
    header = re.search(rb"X-MultiMail-Identity: \S+\r\n", message)
    assert header
    assert failing(header[0] + message) == ["Signature"]


def test_mail_of_before_a_new_key_is_still_proved() -> None:
    before = sent()
    identity.make_next_key()
    assert proof.examine(before).is_proved
    assert proof.examine(sent()).is_proved
    assert proof.examine(before).checks[0].sentence != proof.examine(sent()).checks[0].sentence


@given(st.binary(max_size=2000), st.integers(0, 5000), st.integers(0, 40))
@settings(max_examples=150)
def test_no_change_of_a_byte_goes_unnoticed(piece: bytes, at: int, cut: int) -> None:
    """Beyond line ends at either end, which nobody sees, and trace headers on top, which relays add."""
    whole = sent()
    at %= len(whole)
    changed = whole[:at] + piece + whole[at + cut :]
    report = proof.examine(changed)
    if report.is_proved:
        frozen_at = whole.index(b"From: ")
        kept = changed.replace(b"\r\n", b"\n").strip(b"\r\n")
        assert kept.endswith(whole[frozen_at:].replace(b"\r\n", b"\n").rstrip(b"\n"))
