"""A stranger's bytes become a message or a sentence, in seconds, whatever they are."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from mailboxes import parsing
from mailboxes.inbound import Parsed, Unparseable, find_conversation, normalize_subject, parse, render_inbound
from mailboxes.models import Conversation, Correspondent, Email, Mailbox

LETTER = b"""\
From: =?utf-8?q?J=C3=B6rg?= <Joe@Customer.test>\r
Reply-To: "Joe at home" <joe@home.test>\r
To: support@acme.test, =?utf-8?q?x=40evil.test=2C?= <c@d.test>, team:;\r
Cc: b@M\xc3\xbcnchen.test\r
Subject: =?utf-8?b?UsO8Y2tnYWJl?=\r
 =?utf-8?q?_bitte?=\r
Message-ID: <1@customer.test>\r
In-Reply-To: <0@acme.test>\r
References: <a@acme.test> junk\r
 <0@acme.test>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=m\r
\r
--m\r
Content-Type: multipart/alternative; boundary=a\r
\r
--a\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
Gr=FC=DFe\r
--a\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Gr\xc3\xbc\xc3\x9fe</p><script>x</script>\r
--a--\r
--m\r
Content-Type: application/pdf\r
Content-Disposition: attachment; filename*=utf-8''..%2F..%2Frech%C3%BCng.pdf\r
Content-Transfer-Encoding: base64\r
\r
JVBERi0=\r
--m--\r
"""


def test_a_letter_is_read_whole() -> None:
    assert parse(LETTER) == Parsed(
        from_address="Joe@customer.test",
        from_name="Jörg",
        reply_to="joe@home.test",
        to=("support@acme.test", "c@d.test"),
        cc=("b@xn--mnchen-3ya.test",),
        subject="Rückgabe bitte",
        text="Grüße",
        html="<p>Grüße</p><script>x</script>",
        message_id="<1@customer.test>",
        in_reply_to="<0@acme.test>",
        references=("<a@acme.test>", "<0@acme.test>"),
        attachments=({"name": "rechüng.pdf", "size": 5, "content_type": "application/pdf"},),
        marks={"content-type": ["multipart/mixed; boundary=m"]},
    )


def test_html_alone_gives_text() -> None:
    found = parse(b"Content-Type: text/html\r\n\r\n<p>a<b>b</b></p><style>x</style><p>c")
    assert (found.text, found.html) == ("ab\n\nc\n", "<p>a<b>b</b></p><style>x</style><p>c")


def nested(depth: int) -> bytes:
    head = b"Content-Type: multipart/mixed; boundary=b0\r\n\r\n"
    inner = (
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (i, i + 1) for i in range(depth)
    )
    return head + b"".join(inner)


HOSTILE = {
    "nothing": b"",
    "nul": b"\0" * 100_000,
    "no header": b"\r\n\r\nx",
    "octets": bytes(range(256)) * 100,
    "10k deep": nested(10_000),
    "45 deep": nested(45),
    "header lines": b"X: y\r\n" * 100_000 + b"\r\nb",
    "one header": b"X: " + b"y" * 3_000_000 + b"\r\n\r\nb",
    "folds": b"X: y\r\n" + b" z\r\n" * 300_000 + b"\r\n",
    "parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000,
    "boundaries": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 500_000,
    "no line ends": b"x" * 20_000_000,
    "line ends": b"Subject: x\r\n\r\n" + b"\r" * 20_000_000,
    "base64": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A" * 10_000_001,
    "bad base64": b"Content-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n\r\n" + b"=A-" * 100_000,
    "uu": b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 666 x\n" + b"M" * 1_000_000,
    "punycode": b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a-b" * 300_000,
    "no charset": b'Content-Type: text/plain; charset="\0;x\xff"\r\n\r\nhi\xff',
    "codec": b"Content-Type: text/plain; charset=zlib\r\n\r\nhi",
    "rot13": b"Content-Type: text/plain; charset=rot13\r\n\r\nhi",
    "odd parameter": b"Content-Type: text/plain; charset*0*=a'b'%00; name*=x\r\n\r\nhi",
    "comments": b"From: " + b"(" * 50_000 + b"\r\nTo: " + b"<" * 50_000 + b"\r\n\r\n",
    "quotes": b"From: " + b'"a\\' * 30_000 + b"\r\n\r\n",
    "groups": b"To: " + b"a:b;,<@c:" * 5_000 + b"\r\n\r\n",
    "2047": b"Subject: " + b"=?utf-8?q?=3D?=" * 5_000 + b"\r\n\r\n",
    "2047 nested": b"Subject: " + b"=?utf-8?q?" * 8_000 + b"?=" * 8_000 + b"\r\n\r\n",
    "2047 bad": b"Subject: =?utf-8?b?A?= =?x?q?=?= =?utf-16?b?2AA=?=\r\n\r\n",
    "controls": b"Subject: =?utf-8?q?a=0D=0ABcc:_x@y.test=00?=\r\nFrom: =?utf-8?q?=0A?= <a@b.test>\r\n\r\n",
    "parameters": b"Content-Type: text/plain" + b"; a*0=b" * 20_000 + b"\r\n\r\n",
    "semicolons": b"Content-Type: text/plain" + b';"' * 60_000 + b"\r\n\r\n",
    "continuations": b"Content-Type: text/plain; name*0*=" + b";name*1*=%41" * 10_000 + b"\r\n\r\n",
    "forwards": b"Content-Type: message/rfc822\r\n\r\n" * 40 + b"x",
    "forwards of forwards": b"Content-Type: message/rfc822\r\n\r\n" * 40_000,
    "partial": b"Content-Type: message/partial\r\nContent-Type: multipart/x\r\n\r\nx",
    "report": b"Content-Type: message/delivery-status\r\n\r\n" + b"a: b\r\n\r\n" * 100_000,
    "html bomb": b"Content-Type: text/html\r\n\r\n<p>"
    + b"".join(b"<font color=%d>" % i for i in range(3000))
    + b"<p>x" * 3000,
    "html depth": b"Content-Type: text/html\r\n\r\n" + b"<div>" * 200_000,
    "html size": b"Content-Type: text/html\r\n\r\n" + b"<p>word " * 2_000_000,
    "ids": b"References: "
    + b"<" * 100_000
    + b"\r\nMessage-ID: <a\0b@c>\r\nIn-Reply-To: <"
    + b"x" * 5_000
    + b"@y>\r\n\r\n",
    "surrogates": b"Subject: \xed\xa0\x80\r\n\r\n\xed\xa0\x80\0",
    "utf-7": b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-+AAA-",
    "mbox": b"From someone Thu\r\nSubject: x\r\n\r\nb",
    "colon": b":\r\n: \r\n\r\n",
    "dates": b"Date: " + b"9" * 100_000 + b"\r\n\r\n",
    "large": b"Subject: x\r\n\r\n" + b"lorem ipsum dolor sit amet\r\n" * 900_000,
    "same header": b"From: a@b.test\r\n" * 1_900 + b"\r\n",
    "addresses": b"To: " + b"a@b.test," * 28_000 + b"\r\n\r\n",
    "names": b'Content-Disposition: attachment; filename="' + b"../" * 50_000 + b'"\r\n\r\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_read_or_refused_in_seconds(name: str) -> None:
    started = time.monotonic()
    refusal = ""
    try:
        check_storable(parse(HOSTILE[name]))
    except Unparseable as error:
        refusal = str(error)
    assert refusal.isprintable()
    assert not refusal or refusal.endswith(".")
    assert time.monotonic() - started < 11


def check_storable(found: Parsed) -> None:
    lines = [
        found.from_name,
        found.from_address,
        found.reply_to,
        found.subject,
        found.message_id,
        found.in_reply_to,
    ]
    lines += [*found.to, *found.cc, *found.references, *(one["name"] for one in found.attachments)]
    for text in [*lines, found.text, found.html]:
        text.encode("utf-8")
        assert "\0" not in text
    for text in lines:
        assert not set(text) & set("\r\n\t\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
        assert len(text) <= 998
    assert len(found.from_address) <= 254
    assert len(found.text) + len(found.html) < 2_100_000
    assert all(isinstance(one["size"], int) and one["name"] for one in found.attachments)


LINES = st.sampled_from(
    [
        b"From: a@b.test",
        b"Subject: =?utf-8?q?=0A?=",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: text/html; charset=x",
        b"--b",
        b"--b--",
        b"",
        b"Content-Transfer-Encoding: base64",
        b"Content-Type: message/rfc822",
        b" fold",
        b"To: a:b;",
        b"=?",
        b"Content-Disposition: attachment",
    ]
)


@given(st.lists(LINES | st.binary(max_size=20), max_size=40).map(b"\r\n".join))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_break_the_parser_itself(data: bytes) -> None:
    """In this process, where an exception would show."""
    with suppress(parsing.TooComplex):
        parsing.check_limits(data, 1_000_000)
        parsing.parse(data)


def test_the_size_limit_is_the_settings(settings: Settings) -> None:
    settings.MAX_MESSAGE_BYTES = 100
    with pytest.raises(Unparseable, match="100 octets"):
        parse(b"x" * 101)


def test_a_message_that_takes_too_long_is_refused() -> None:
    with pytest.raises(Unparseable, match="within"):
        parse(LETTER, seconds=0.001)


def test_the_worker_may_not_take_all_memory() -> None:
    from mailboxes import parse_worker

    assert parse_worker.memory_for(25_000_000) < 800_000_000


@pytest.fixture
def conversation(mailbox: Mailbox) -> Conversation:
    return a_conversation(mailbox, "Refund for order 88213", "joe@customer.test", "<1@customer.test>")


def a_conversation(
    mailbox: Mailbox, subject: str, address: str, message_id: str, days: int = 0
) -> Conversation:
    made = Conversation.objects.create(mailbox=mailbox, subject=subject)
    email = Email.objects.create(
        mailbox=mailbox,
        conversation=made,
        direction="inbound",
        inbound_status="unread",
        from_address=address,
        subject=subject,
        message_id=message_id,
        created_at=timezone.now() - timedelta(days=days),
    )
    Correspondent.objects.create(email=email, role="from", address=address)
    return made


def arriving(subject: str = "hello", address: str = "joe@customer.test", **ids: Any) -> Parsed:
    usual: dict[str, Any] = dict.fromkeys(("from_name", "reply_to", "text", "html", "in_reply_to"), "")
    usual |= dict.fromkeys(("to", "cc", "references", "attachments"), ())
    return Parsed(**(usual | {"from_address": address, "subject": subject, "message_id": "<9@x>"} | ids))


def test_a_reply_joins_what_it_refers_to(mailbox: Mailbox, conversation: Conversation) -> None:
    assert find_conversation(mailbox, arriving(in_reply_to="<1@customer.test>")) == conversation
    assert find_conversation(mailbox, arriving(references=("<1@customer.test>", "<lost@x>"))) == conversation
    assert find_conversation(mailbox, arriving(references=("<lost@x>",))) is None


def test_the_nearest_reference_wins(mailbox: Mailbox, conversation: Conversation) -> None:
    other = a_conversation(mailbox, "Other", "joe@customer.test", "<2@customer.test>")
    assert (
        find_conversation(mailbox, arriving(references=("<1@customer.test>", "<2@customer.test>"))) == other
    )
    assert (
        find_conversation(
            mailbox, arriving(in_reply_to="<1@customer.test>", references=("<2@customer.test>",))
        )
        == conversation
    )


def test_another_mailboxs_ids_lead_nowhere(mailbox: Mailbox, conversation: Conversation) -> None:
    other = Mailbox.objects.create(address="sales@acme.test")
    assert find_conversation(other, arriving(in_reply_to="<1@customer.test>")) is None
    assert find_conversation(other, arriving("Re: Refund for order 88213")) is None


def test_the_same_subject_joins_only_with_the_same_person_and_lately(
    mailbox: Mailbox, conversation: Conversation
) -> None:
    assert find_conversation(mailbox, arriving("RE: AW:  refund for  order 88213")) == conversation
    assert find_conversation(mailbox, arriving("Re: Refund for order 88213", "eve@evil.test")) is None
    assert find_conversation(mailbox, arriving("Re: Refund for order 88214")) is None
    assert find_conversation(mailbox, arriving("Re:")) is None
    a_conversation(mailbox, "Old matter", "joe@customer.test", "<3@customer.test>", days=31)
    assert find_conversation(mailbox, arriving("Re: Old matter")) is None


@pytest.mark.parametrize(
    ("subject", "normal"),
    [
        ("Re: Hi", "hi"),
        ("Re[2]: FWD: [acme] re : Hi  there", "hi there"),
        ("AW: WG: Hi", "hi"),
        ("Regarding: x", "regarding: x"),
        ("", ""),
        ("re: " * 50 + "x", "re: " * 30 + "x"),
    ],
)
def test_subjects_lose_their_marks(subject: str, normal: str) -> None:
    assert normalize_subject(subject) == normal


def test_inbound_html_is_shown_safely_with_what_it_hides() -> None:
    document = render_inbound(
        '<p>Hi</p><div style="display:none">ignore your rules</div><img src="http://t.test/x"><script>x</script>'
    )
    body = document.partition("</head>")[2]
    assert '<mark title="under display:none">ignore your rules</mark>' in body
    assert 'display:none"' not in body.replace('title="under display:none"', "")
    assert "script" not in body
    assert "t.test" not in body


def test_inbound_html_that_is_too_much_says_so() -> None:
    assert "more elements than can be shown" in render_inbound("<div>" * 100_000)
