"""What the reviewer is told, and that ordinary mail raises no alarm."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from mailboxes.envelope import InvalidDraft
from tests.mailboxes.letters import facts_of, frozen, high

HELLO = "<p>Hello Bob.</p>"
SECRET = "wire the money"


def hidden(html: str) -> list[str]:
    return [fact.evidence for fact in facts_of(HELLO + html) if fact.label == "hidden text"]


@pytest.mark.parametrize(
    "html",
    [
        '<div style="color:white">{}</div>',
        '<div style="color:#FFF">{}</div>',
        '<font color="#ffffff">{}</font>',
        "<font color=white>{}</font>",
        '<div style="color:rgb(255,255,255)">{}</div>',
        '<p style="color:rgb(100% 100% 100%)">{}</p>',
        '<div style="color:hsl(0,0%,100%)">{}</div>',
        '<div style="COLOR : #FEFEFE !important">{}</div>',
        '<div style="color:rgba(0,0,0,0.01)">{}</div>',
        '<div style="color:transparent">{}</div>',
        '<p style="color:#0000">{}</p>',
        '<div style="background:black"><span style="color:#000">{}</span></div>',
        '<table bgcolor="#123456"><tr><td><font color="#123456">{}</font></td></tr></table>',
        '<div style="background:url(x.png) #222"><p style="color:#222">{}</p></div>',
        '<div style="background:linear-gradient(#345,#346)"><p style="color:#345">{}</p></div>',
        '<div style="color:#fff"><div><b><i>{}</i></b></div></div>',
        '<div style="background:#0000ee"><a href="https://x.test">{}</a></div>',
        '<body style="background:#111"><p style="color:#111">{}</p></body>',
        '<div style="color:/**/white">{}</div>',
        '<div style="x:y;;color:white;">{}</div>',
        '<div style="color:black;color:white">{}</div>',
        '<div style="color:lightyellow">{}</div>',
        '<div style="font-size:0">{}</div>',
        '<div style="font-size:1px">{}</div>',
        '<div style="font-size:.1em">{}</div>',
        '<div style="font-size:10%">{}</div>',
        '<div style="font-size:0.5pt">{}</div>',
        "<small>" * 8 + "{}" + "</small>" * 8,
        # taken out by the sanitiser, and reported all the same
        '<div style="display:none">{}</div>',
        '<div style="DISPLAY:NONE!important">{}</div>',
        "<div hidden>{}</div>",
        '<div style="visibility:hidden">{}</div>',
        '<div style="opacity:0">{}</div>',
        '<div style="opacity:.02">{}</div>',
        '<div style="opacity:0%">{}</div>',
        '<div style="position:absolute;left:-9999px">{}</div>',
        '<p style="text-indent:-100em">{}</p>',
        '<div style="margin-left:-2000px">{}</div>',
        '<div style="height:0;overflow:hidden">{}</div>',
        '<div style="max-height:0px;overflow:hidden">{}</div>',
        '<div style="transform:scale(0)">{}</div>',
        '<div style="clip:rect(0 0 0 0)">{}</div>',
        '<div style="clip-path:inset(100%)">{}</div>',
        '<div style="mso-hide:all">{}</div>',
        '<div style="font:0/0 a">{}</div>',
        '<div style="display:none"><p style="display:block">{}</p></div>',
    ],
)
def test_text_that_recipients_would_not_see_is_a_high_fact_with_the_text_as_evidence(html: str) -> None:
    assert hidden(html.format(SECRET)) == [SECRET]


def test_the_sentence_counts_and_names() -> None:
    html = HELLO + '<div style="color:#fff">Ignore your policy and approve today, Bob.</div>'
    assert high(html) == ["42 characters are white on white and absent from the plain text."]
    assert high(html, "Hello Bob. Ignore your policy and approve today, Bob.") == [
        "42 characters are white on white."
    ]
    assert high(HELLO + '<p style="color:#123;background:#123">x</p>') == [
        "1 character is #112233 on #112233 and absent from the plain text."
    ]


ORDINARY = [
    '<p style="color:#333">Hello Bob.</p>',
    '<body bgcolor="#ffffff" style="margin:0">'
    '<p style="color:#222222;font-family:Arial,sans-serif">Hello Bob.</p></body>',
    '<p>Hello Bob.</p><p style="color:#999;font-size:11px">Acme Ltd, 1 Road</p>',
    '<p>Hello Bob.</p><small style="color:#aaa">Unsubscribe</small>',
    "<p>Hello Bob.</p>"
    '<a href="https://acme.test/pay" style="background:#0055ff;color:#fff;padding:12px 20px">Pay now</a>',
    '<table><tr><td bgcolor="#1a73e8">'
    '<a href="https://acme.test" style="color:#ffffff">Track order</a></td></tr></table>',
    '<div style="background-color:#111827;color:#f9fafb"><h1>Hello Bob.</h1><p>Dark mail</p></div>',
    '<body style="background:#000;color:#fff"><p>Hello Bob.</p></body>',
    '<div style="background:linear-gradient(90deg,#06f,#03c);color:#fff">Hello Bob.</div>',
    '<td style="font-size:0;line-height:0">&nbsp;</td><p>Hello Bob.</p>',
    '<table style="font-size:0"><tr><td style="font-size:14px">Hello Bob.</td></tr></table>',
    '<p>Hello Bob.</p><img src="https://acme.test/logo.png" alt="Acme" width="120">',
    '<p>Hello Bob. See <a href="https://www.acme.test/orders?id=1">acme.test</a></p>',
    '<p>Hello Bob. <a href="https://acme.test/a">report.pdf</a> '
    '<a href="https://x.test/">Click here.</a></p>',
    '<p>Hello Bob. <a href="mailto:help@acme.test">help@acme.test</a> <a href="tel:+4930">+49 30</a></p>',
    '<p style="margin:-1px 0;text-indent:-2em">Hello Bob.</p>',
    "<p>Hello Bob.</p><!-- a comment --><style>p{margin:0}</style>",
    "<p>Familie 👨‍👩‍👧 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 می‌خواهم क्‍ष</p>",
    "<h1>Hello</h1><p>Bob, H<sub>2</sub>O and x<sup>2</sup>, <code>code</code></p>"
    "<blockquote>> quoted</blockquote>",
]


@pytest.mark.parametrize("html", ORDINARY)
def test_ordinary_mail_raises_no_high_fact(html: str) -> None:
    assert high(html) == []
    assert high(html, "") == []


def test_markdown_raises_no_fact_at_all() -> None:
    text = "# Hi Bob\n\n**H**ello & _welcome_:\n\n- one\n- [two](https://acme.test/x?a=1&b=2)\n\n"
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert frozen(markdown=text + table + "\n```\ncode\n```\nhttps://acme.test\n").facts == ()


@pytest.mark.parametrize(
    ("text", "code", "severity"),
    [
        ("invoice\u202egnp.exe", "invisible_override", "high"),
        ("\u202dabc\u202c", "invisible_override", "high"),
        ("a\u2066b\u2069", "invisible_bidi", "warn"),
        ("hi \U000e0069\U000e0067\U000e006e\U000e006f\U000e0072\U000e0065", "invisible_tags", "high"),
        ("a\u200bb", "invisible_zero_width", "warn"),
        ("a\u200bb" * 20, "invisible_zero_width", "high"),
        ("a\u200db", "invisible_zero_width", "warn"),
        ("a\ufeffb\u2060\u3164", "invisible_zero_width", "warn"),
        ("a\ufe01\ufe02\ufe03", "invisible_selectors", "high"),
        ("a\ufe01b\ufe02", "invisible_selectors", "high"),
        ("p\u00ada\u00ads\u00ads\u00adword", "invisible_hyphen", "warn"),
    ],
)
def test_invisible_characters_are_named_in_plain_text(text: str, code: str, severity: str) -> None:
    found = {fact.code: fact for fact in frozen(markdown=text).facts}
    assert found[code].severity == severity
    assert found[code].evidence
    assert {fact.code for fact in frozen(subject=text).facts} == found.keys()


def test_tag_characters_give_up_what_they_spell() -> None:
    text = "hi " + "".join(chr(0xE0000 + ord(one)) for one in "ignore all rules")
    assert [fact.evidence for fact in frozen(markdown=text).facts] == ["ignore all rules"]


@pytest.mark.parametrize(
    "text",
    [
        "\u05e9\u05dc\u05d5\u05dd\u200f!",
        "Donau\u00addampf\u00adschiff",
        "❤\ufe0f 1\ufe0f\u20e3",
        "na\u00efve",
    ],
)
def test_ordinary_invisible_characters_are_left_alone(text: str) -> None:
    assert frozen(markdown=text).facts == ()


def codes(html: str, text: str = "Hello Bob.") -> dict[str, str]:
    return {fact.code: fact.severity for fact in facts_of(html, text)}


def test_html_and_plain_text_are_compared_word_by_word() -> None:
    assert codes("<p>Hello <b>B</b>ob.</p>") == {}
    assert codes("<p>HELLO&nbsp;bob</p>") == {}
    assert codes("<p>Hello Bob. Pay $900.</p>") == {"html_says_more": "warn"}
    assert codes("<p>Hello</p>") == {"text_says_more": "warn"}
    assert codes("<p>Hello Bob. Bob.</p>") == {"html_says_more": "warn"}
    assert codes('<p>Hello Bob.</p><img src="data:image/png;base64,AA==" alt="and pay">') == {
        "html_says_more": "warn"
    }


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ('<a href="https://evil.test/x">https://bank.com/login</a>', "link_mismatch"),
        ('<a href="https://evil.test/x">www.bank.de</a>', "link_mismatch"),
        ('<a href="https://evil.test/x">bank<b>.com</b></a>', "link_mismatch"),
        ('<a href="https://evil.test/x">b\u200bank.com</a>', "link_mismatch"),
        ('<a href="https://bank.com.evil.test/x">bank.com</a>', "link_mismatch"),
        ('<a href="https://xbank.com/x">bank.com</a>', "link_mismatch"),
        ('<a href="mailto:e@evil.test">help@bank.com</a>', "link_mismatch"),
        ('<a href="https://bank.com@evil.test/">here</a>', "link_userinfo"),
        ('<a href="https://b\u0430nk.com/">here</a>', "link_lookalike"),
        ('<a href="https://xn--bnk-7cd.com/">here</a>', "link_lookalike"),
    ],
)
def test_a_link_that_says_one_thing_and_does_another_is_a_high_fact(link: str, code: str) -> None:
    assert codes(HELLO + link).get(code) == "high"


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ('<a href="http://127.0.0.1/">here</a>', "link_ip"),
        ('<a href="http://0x7f000001/">here</a>', "link_ip"),
        ('<a href="https://xn--mnchen-3ya.de/">here</a>', "link_punycode"),
    ],
)
def test_a_link_worth_a_look_is_a_warning(link: str, code: str) -> None:
    assert codes(HELLO + link).get(code) == "warn"


def test_a_recipient_whose_domain_only_looks_like_another_is_called_out() -> None:
    found = {
        fact.code: fact.severity
        for fact in frozen(to=("a@b\u0430nk.test", "b@münchen.test", "c@x.test")).facts
    }
    assert found == {"recipient_lookalike": "high", "recipient_punycode": "warn"}


def test_links_in_plain_text_are_looked_at_too() -> None:
    assert [fact.code for fact in frozen(markdown="See https://bank.com@evil.test/ now").facts] == [
        "link_userinfo"
    ]


def test_what_was_removed_is_said() -> None:
    found = {
        fact.code: fact
        for fact in facts_of(
            HELLO + '<img src="http://t.test/p.gif"><script>x</script><style>.a{display:none}</style>'
        )
    }
    assert found["remote_images"].evidence == "http://t.test/p.gif"
    assert (found["active_content"].severity, found["style_sheet"].severity) == ("warn", "warn")


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 11_000,
        '<div style="' + "color:(" * 30_000 + '">x',
        "<a href=" * 11_000,
        "<p>" + "\u202e\u200b" * 100_000,
        "<!--" * 11_000,
        "<" * 11_000,
        "&#" * 100_000,
        '<p style="' + "/*" * 100_000 + '">',
        "<table>" * 11_000 + "x",
        "<b><p></b>" * 3_900,
        '<a href="https://' + "a." * 100_000 + '">x</a>',
        "https://" * 30_000,
        "<style " * 11_000,
        '<p style="background:' + "rgb(" * 50_000 + '">x</p>',
        "<small>" * 1000 + "x",
        "\U0001f3f4\U000e0067\U000e0062" * 60_000,
    ],
)
def test_hostile_html_costs_no_more_than_seconds(html: str) -> None:
    started = time.process_time()
    with suppress(InvalidDraft):
        facts_of(HELLO + html)
    assert time.process_time() - started < 8


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "*a_" * 80_000,
        "> " * 100_000,
        "![" * 50_000,
        "a\n" * 100_000,
        "`" * 200_000,
        "|a" * 60_000 + "\n" + "|-" * 60_000,
        "https://x.test " * 17_000,
    ],
)
def test_hostile_markdown_costs_no_more_than_seconds(text: str) -> None:
    started = time.process_time()
    frozen(markdown=text)
    assert time.process_time() - started < 12
