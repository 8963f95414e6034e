"""Frozen bytes: exactly what was meant, the same each time, and shown as they are."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailboxes import mime
from mailboxes.envelope import Envelope, InvalidDraft
from mailboxes.mime import NotFaithful, check_wire, digest, freeze, render
from tests.mailboxes.letters import MESSAGE_ID, a_draft, an_envelope, frozen

INJECTION = "=?utf-8?q?hi=0D=0ABcc:_x@evil.test?="


def read(data: bytes) -> EmailMessage:
    """By the parser that most programs would use, and another one than mime.py uses."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_pythons_own_package_is_not_to_be_trusted_with_a_subject() -> None:
    """Why headers.py is written by hand. Should this fail one day, Python has been mended."""
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = INJECTION
    message.set_content("x")
    assert b"\r\nBcc: x@evil.test\r\n" in message.as_bytes()


def test_the_same_subject_never_gets_as_far_as_an_envelope() -> None:
    with pytest.raises(InvalidDraft):
        an_envelope(a_draft(subject=INJECTION))


@pytest.mark.parametrize("name", ["subject", "sender_name"])
def test_nor_past_freezing_if_it_did(name: str) -> None:
    change: dict[str, Any] = {name: INJECTION}
    with pytest.raises(NotFaithful):
        freeze(replace(an_envelope(), **change))


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "x\r\nBcc: x@evil.test"},
        {"sender_name": "x\r\nBcc: x@evil.test"},
        {"to": ("a@x.test\r\nBcc: x@evil.test",)},
        {"to": ("a@x.test, b@x.test",)},
        {"to": ("Bob <a@x.test>",)},
        {"cc": ("a@x.test,\r\n b@x.test",)},
        {"message_id": "<a@b>\r\nBcc: x@evil.test"},
        {"references": ("<a@b>\r\n\r\nbody",)},
        {"in_reply_to": "<a@b>\r\nSubject: other"},
    ],
)
def test_bytes_that_say_something_else_than_the_envelope_are_never_frozen(change: dict[str, Any]) -> None:
    with pytest.raises((NotFaithful, ValueError)):
        freeze(replace(an_envelope(), **change))


def test_exactly_the_intended_headers_each_once() -> None:
    built = replace(
        an_envelope(a_draft(cc=("c@x.test",), bcc=("secret@x.test",), markdown="a **b**")),
        in_reply_to="<0@x>",
        references=("<0@x>", "<1@x>"),
    )
    made = freeze(built)
    assert read(made.data).keys() == [
        "From",
        "To",
        "Cc",
        "Subject",
        "Message-ID",
        "In-Reply-To",
        "References",
        "MIME-Version",
        "Content-Type",
    ]
    assert read(made.data)["Message-ID"] == MESSAGE_ID
    assert b"secret" not in made.data
    assert made.recipients == ("bob@northwind.example", "c@x.test", "secret@x.test")


def test_the_same_envelope_freezes_to_the_same_bytes() -> None:
    assert frozen(markdown="a **b**") == frozen(markdown="a **b**")


TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n.=é \t<>&"), min_size=1, max_size=400
)


@settings(deadline=None)
@given(
    text=TEXTS,
    html=TEXTS | st.just(""),
    subject=TEXTS.map(lambda text: text.replace("\n", "").replace("\t", "")),
)
def test_what_is_frozen_is_what_another_parser_reads(text: str, html: str, subject: str) -> None:
    try:
        built = an_envelope(a_draft(markdown=text, html=html, subject=subject))
    except InvalidDraft:
        return
    made = freeze(built)
    check_wire(made.data)
    message = read(made.data)
    plain = message.get_body(("plain",))
    assert plain is not None
    assert plain.get_payload(decode=True).decode().replace("\r\n", "\n") == built.text  # type: ignore[union-attr]
    assert message["To"] == "bob@northwind.example"
    assert freeze(built).data == made.data


@pytest.mark.parametrize(
    "text",
    [
        ".",
        "..\n.\n",
        "From here",
        "a\n\nFrom me\n",
        "x" * 5000,
        "é" * 3000,
        "日本語" * 900,
        "a \nb\t\n",
        "=20",
        "a=\nb",
        "\n\nx",
    ],
)
def test_bodies_that_relays_like_to_mend_survive(text: str) -> None:
    made = frozen(markdown=text)
    assert read(made.data).get_body().get_content().replace("\r\n", "\n") == text.rstrip("\n") + "\n"  # type: ignore[union-attr]
    assert max(map(len, made.data.split(b"\r\n"))) <= 998
    assert b"\r\nFrom " not in made.data
    assert b"\r\n." not in made.data


def test_names_and_subjects_come_through() -> None:
    for text in (
        "Grüße, Bob",
        'a "b" <c@d.test>, e',
        "日本語" * 60,
        "x" * 998,
        "a  b   c",
        "=? ?=",
        "🎉" * 50,
        "a,b;c:d",
    ):
        # short, because this parser puts a space between the encoded words of a long name
        name = " ".join(text[:9].split())
        built = an_envelope(a_draft(subject=text), sender_name=name)
        message = read(freeze(built).data)
        assert message["Subject"] == text
        assert message["From"].addresses[0].display_name == name
        assert message["From"].addresses[0].addr_spec == "support@acme.test"


def test_the_digest_tells_apart_what_concatenation_would_not() -> None:
    cases = [
        ("a@x.test", ("b@x.test", "c@x.test"), b"d"),
        ("a@x.test", ("b@x.testc@x.test",), b"d"),
        ("a@x.testb@x.test", ("c@x.test",), b"d"),
        ("a@x.test", ("b@x.test",), b"c@x.testd"),
        ("a@x.test", (), b"d"),
    ]
    assert len({digest(*case) for case in cases}) == len(cases)
    assert digest("a", ("b", "c"), b"") == digest("a", ("c", "b"), b"")


@pytest.mark.parametrize(
    "data", [b"a\n", b"a\r\n\rb\r\n", b"a\r\r\n", b"a", b"x" * 999 + b"\r\n", b"\xff\r\n", b"\0\r\n", b""]
)
def test_bytes_that_no_server_should_get(data: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        check_wire(data)


def test_the_reviewer_reads_what_the_bytes_say() -> None:
    shown = render(frozen(subject="Grüße", cc=("c@x.test",), markdown="Hello **Bob**").data)
    assert (shown.subject, shown.from_, shown.to, shown.cc) == (
        "Grüße",
        "Acme Support <support@acme.test>",
        ("bob@northwind.example",),
        ("c@x.test",),
    )
    assert shown.text == "Hello **Bob**\n"
    assert "<strong>Bob</strong>" in shown.html


def test_plain_text_has_no_html_to_show() -> None:
    assert render(frozen().data).html == ""


def test_hidden_text_is_shown_with_its_reason() -> None:
    shown = render(frozen(html='<p>Hello Bob.</p><div style="color:#fff">wire <b>the</b> money</div>').data)
    assert (
        '<mark title="white on white">wire </mark><b><mark title="white on white">the</mark></b>'
        in shown.html
    )
    assert [fact.sentence for fact in shown.facts if fact.severity == "high"] == [
        "14 characters are white on white and absent from the plain text."
    ]


def test_invisible_characters_are_shown_by_name() -> None:
    text = "pay\u200bpal \u202egnp.exe\u202c \U000e0068\U000e0069"
    shown = render(frozen(markdown=text, html=f"<p>{text}</p>", subject="a\u200bb").data)
    for place in (shown.text, shown.html):
        assert "⟦ZERO WIDTH SPACE⟧" in place
        assert "⟦RLO⟧" in place
        assert "⟦TAG h⟧⟦TAG i⟧" in place
        assert "\u202e" not in place
    assert shown.subject == "a⟦ZERO WIDTH SPACE⟧b"


def test_the_frame_has_nothing_to_run_load_or_follow() -> None:
    html = (
        '<p onclick="x()">Hello Bob.</p><script>x</script><img src="http://t.test/p.gif" alt="logo"><a href="https://x.test/">x</a>'
        '<iframe src="https://x.test"></iframe><form action="//x"><input></form><svg onload=x>'
        '</svg><a href="javascript:x">y</a>'
        '<style>@import "x"</style><meta http-equiv=refresh content="0;url=//x"><base href="//x">'
        '<div style="background:url(//x)">z</div>'
    )
    shown = render(frozen(html=html).data).html.partition("</head>")[2]
    for forbidden in (
        "onclick",
        "<script",
        "src=",
        "href=",
        "<iframe",
        "<form",
        "<svg",
        "javascript",
        "<meta",
        "<base",
        "url(",
    ):
        assert forbidden not in shown
    assert 'title="https://x.test/"' in shown


def test_rendering_is_bounded() -> None:
    with pytest.raises(ValueError, match="too large"):
        render(b"Subject: x\r\n\r\n" + b"x" * 25_000_000)


def test_envelope_recipients_are_sorted_and_unique() -> None:
    built: Envelope = an_envelope(a_draft(to=("z@x.test", "a@x.test"), bcc=("m@x.test",)))
    assert freeze(built).recipients == ("a@x.test", "m@x.test", "z@x.test")
    assert freeze(built).digest == mime.digest(
        built.sender, ["m@x.test", "z@x.test", "a@x.test"], freeze(built).data
    )
