"""What we sign verifies by another implementation, and nothing else does."""

from __future__ import annotations

import base64

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from mailboxes.dkim_keys import sign

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)
HEAD = (
    b"Date: Sat, 28 Nov 2026 10:00:00 +0000\r\nX-AI-Generated: true\r\n"
    b"From: =?utf-8?q?Acm=C3=A9?= <support@acme.test>\r\nTo: anna@example.com,\r\n ben@example.com\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n  more\r\nMessage-ID: <1@acme.test>\r\nMIME-Version: 1.0\r\n"
)


def is_genuine(data: bytes) -> bool:
    asked = []

    def record(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return b"v=DKIM1; k=rsa; p=" + PUBLIC

    genuine = bool(dkim.verify(data, dnsfunc=record))
    assert set(asked) <= {b"cs1._domainkey.acme.test."}
    return genuine


def signed(body: bytes) -> bytes:
    data = HEAD + b"\r\n" + body
    return sign(data, "acme.test", "cs1", KEY) + data


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"Hello\r\n",
        b"Hello  there \t\r\n\r\n\r\n",
        b".\r\nFrom me\r\n",
        b" \r\n x\r\n",
        b"a" * 900 + b"\r\n",
    ],
)
def test_it_verifies(body: bytes) -> None:
    assert is_genuine(signed(body))


@given(st.lists(st.text(alphabet=" \tab.=-", max_size=40), max_size=8))
def test_it_verifies_whatever_the_body(lines: list[str]) -> None:
    assert is_genuine(signed("".join(f"{line}\r\n" for line in lines).encode()))


def test_it_survives_what_relays_do_to_white_space() -> None:
    data = signed(b"Hello  there\r\n")
    assert is_genuine(
        b"Received: from a by b\r\n" + data.replace(b",\r\n ben", b", ben").replace(b"o  t", b"o t")
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Hello", b"hello"),
        (b"support@", b"boss@"),
        (b"anna@", b"eve@"),
        (b"<1@", b"<2@"),
        (b"10:00:00", b"10:00:01"),
        (b"\r\nTo:", b"\r\nFrom: boss@acme.test\r\nTo:"),
    ],
)
def test_nothing_that_says_something_can_be_changed(old: bytes, new: bytes) -> None:
    data = signed(b"Hello\r\n")
    changed = data.replace(old, new)
    assert changed != data
    assert not is_genuine(changed)


def test_no_line_is_longer_than_mail_may_have() -> None:
    assert max(map(len, sign(HEAD + b"\r\n", "a" * 60 + ".test", "s" * 63, KEY).split(b"\r\n"))) < 400
