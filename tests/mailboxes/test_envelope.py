"""What may become an envelope, and what is refused with which error at which path."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailboxes import envelope
from mailboxes.envelope import Draft, InvalidDraft, normalize_address
from tests.mailboxes.letters import a_draft, an_envelope


def errors_of(**values: object) -> dict[str, str]:
    with pytest.raises(InvalidDraft) as caught:
        an_envelope(a_draft(**values))
    fields = [error.field for error in caught.value.errors]
    assert len(fields) == len(set(fields))
    return {error.field: error.code for error in caught.value.errors}


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("bob@northwind.example", "bob@northwind.example"),
        (" Bob.O'Neil+tag@NORTHWIND.Example ", "Bob.O'Neil+tag@northwind.example"),
        ("a@x.test", "a@x.test"),
        ("a@localhost", "a@localhost"),
        ("a@app.localhost", "a@app.localhost"),
        ("a@münchen.de", "a@xn--mnchen-3ya.de"),
        ("a@MÜNCHEN.de", "a@xn--mnchen-3ya.de"),
        ("a@xn--mnchen-3ya.de", "a@xn--mnchen-3ya.de"),
        ("a@пример.test", "a@xn--e1afmkfd.test"),
        ("x" * 64 + "@x.test", "x" * 64 + "@x.test"),
    ],
)
def test_ascii_and_idna_addresses_come_out_as_they_go_on_the_wire(given: str, normal: str) -> None:
    assert normalize_address(given) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "@",
        "a",
        "a@",
        "@x.test",
        "a@@x.test",
        "a@b@x.test",
        "a@x.test,b@x.test",
        "a@x.test;b@x.test",
        "a@x.test b@x.test",
        "a@x.test\tb@x.test",
        "Bob <bob@x.test>",
        "<bob@x.test>",
        "<@relay.test:bob@x.test>",
        "@relay.test:bob@x.test",
        "friends: a@x.test, b@x.test;",
        "bob@x.test (Bob)",
        "(Bob)bob@x.test",
        "bob(x)@x.test",
        '"bob"@x.test',
        '"a b"@x.test',
        '"a@evil.test"@x.test',
        "bob%evil.test@x.test",
        "evil.test!bob@x.test",
        "=?utf-8?q?bob?=@x.test",
        "=?utf-8?q?bob=40evil.test=2C?=@x.test",
        "bob@=?utf-8?q?x.test?=",
        "bob@x.test\r\nBcc: e@evil.test",
        "bob@x.test\n",
        "bob\0@x.test",
        "bob@x\0.test",
        "bob@x.test\x85",
        "bob@x.test\u2028",
        "bob\u200b@x.test",
        "bob@x\u202e.test",
        "bob@x\u00ad.test",
        "\ud800@x.test",
        "bob@\ud800.test",
        "jörg@x.test",
        "bоb@x.test",  # noqa: RUF001 (the second o is Cyrillic)
        "a..b@x.test",
        ".a@x.test",
        "a.@x.test",
        "a@x..test",
        "a@.x.test",
        "a@x.test.",
        "a@-x.test",
        "a@x-.test",
        "a@x_y.test",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@[IPv6:::1]",
        "a@single",
        "a@xn--",
        "a@xn--a.test",
        "a@\uff58.test",
        "a@x\u3002test",
        "a@x\uff0etest",
        "a@\u24d4vil.test",
        "a@\u2100.test",
        "a@x.t/est",
        "x" * 65 + "@x.test",
        "a@" + "x" * 64 + ".test",
        "a@" + ".".join(["x" * 60] * 5) + ".test",
        "a" * 100_000,
    ],
)
def test_everything_but_one_bare_address_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        normalize_address(text)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@settings(deadline=None)
@given(st.text(max_size=80) | st.from_regex(r"[a-z.%!\"<>(),:;@ =?-]{1,30}@[a-zü.-]{1,20}"))
def test_whatever_comes_in_an_address_that_comes_out_is_bare_and_stays_the_same(text: str) -> None:
    try:
        address = normalize_address(text)
    except ValueError:
        return
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' ,;:<>()[]"\\%!|`')
    assert address.count("@") == 1
    assert normalize_address(address) == address


def test_errors_name_each_field_once_and_all_of_them() -> None:
    found = errors_of(
        to=("a@x.test", "no", "b@x.test"), cc=("<c@x.test>",), bcc=("ü@x.test",), subject="", markdown=""
    )
    assert found == {
        "to[1]": "invalid",
        "cc[0]": "invalid",
        "bcc[0]": "invalid",
        "subject": "required",
        "markdown": "required",
    }


def test_fifty_recipients_in_all_and_at_least_one_in_to() -> None:
    many = tuple(f"a{i}@x.test" for i in range(51))
    assert len(an_envelope(a_draft(to=many[:20], cc=many[20:40], bcc=many[40:50])).recipients) == 50
    assert errors_of(to=many[:20], cc=many[20:40], bcc=many[40:]) == {"to": "too_many"}
    assert errors_of(to=(), cc=many[:1]) == {"to": "required"}


def test_whoever_is_named_twice_stays_where_they_were_named_first() -> None:
    built = an_envelope(
        a_draft(
            to=("a@x.test", "A@X.test"), cc=("b@x.test", "a@x.test"), bcc=("b@X.TEST", "c@x.test", "a@x.test")
        )
    )
    assert (built.to, built.cc, built.bcc) == (("a@x.test",), ("b@x.test",), ("c@x.test",))
    assert built.recipients == ("a@x.test", "b@x.test", "c@x.test")


@pytest.mark.parametrize(
    "subject",
    [
        "a\nb",
        "a\r\nBcc: x@evil.test",
        "a\0",
        "a\tb",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        "a\u2029b",
        "\ud800",
        "=?utf-8?q?a=0D=0ABcc:_x@evil.test?=",
        "=?utf-8?b?YQ0KQmNjOiB4QGV2aWwudGVzdA==?=",
        "=?us-ascii?Q?=0a?=",
        "=?utf-8?q?=00?=",
        "=?utf-8?q?=E2=80=A8?=",
        "=?utf-7?q?+AA0ACg-Bcc:?=",
        "=?utf-16?b?AAoACg==?=",
        # a word inside a word, and one whose halves are neighbours
        "=?utf-8?q?=3D=3Futf-8=3Fq=3F=0D=0A=3F=3D?=",
        "=?utf-8?q?=3D=3Futf-8=3Fq=3F=3D0D=3D0A=3F=3D?=",
        "=?utf-8?q?=3D=3Futf-8?= =?utf-8?q?=3Fq=3F=3D0D=3D0A=3F=3D?=",
        "=?x?q?=3D=3Fx?= =?y?q?=3Fq=3F=3D0A=3F=3D?=",
        "=?utf-8*en?q?=0A?=",
        "=?utf-8?q ?=0A?=",
    ],
)
def test_a_subject_out_of_which_a_line_break_or_control_character_comes_is_refused(subject: str) -> None:
    assert errors_of(subject=subject) == {"subject": "invalid"}


def test_a_subject_may_not_be_encoded_without_end() -> None:
    from mailboxes.headers import encoded_words

    subject = "x"
    for _ in range(8):
        subject = "".join(encoded_words(subject))[:900]
    assert errors_of(subject=subject) == {"subject": "invalid"}


def test_a_harmless_encoded_subject_is_kept_as_what_it_says() -> None:
    assert an_envelope(a_draft(subject="=?utf-8?q?Caf=C3=A9?= au lait")).subject == "Café au lait"
    assert an_envelope(a_draft(subject="=?utf-8?q?Caf=C3?= =?utf-8?q?=A9?=")).subject == "Café"
    assert an_envelope(a_draft(subject=" 2 =? 3 ?= ")).subject == "2 =? 3 ?="


@pytest.mark.parametrize("name", ["a\r\nBcc: x@evil.test", "=?utf-8?q?=0A?=", "\u2028", "x" * 201])
def test_a_display_name_is_held_to_the_same(name: str) -> None:
    with pytest.raises(InvalidDraft) as caught:
        an_envelope(a_draft(), sender_name=name)
    assert [error.field for error in caught.value.errors] == ["from_name"]


@pytest.mark.parametrize(
    "reference", ["", "x", "<a>", "<a@b>\r\nBcc: x@evil.test", "<a b@c>", "<=?utf-8?q?=0A?=@b>", "<ü@b>"]
)
def test_message_ids_are_well_formed(reference: str) -> None:
    def build(**values: object) -> list[str]:
        usual: dict[str, object] = {"sender": "support@acme.test", "sender_name": "", "message_id": "<a@b>"}
        with pytest.raises(InvalidDraft) as caught:
            envelope.build(a_draft(), **(usual | values))  # type: ignore[arg-type]
        return [error.field for error in caught.value.errors]

    assert build(message_id=reference) == ["message_id"]
    if reference:
        assert build(in_reply_to=reference) == ["in_reply_to"]
        assert build(references=["<a@b>", reference]) == ["references[1]"]


def test_a_long_thread_keeps_its_first_reference_and_the_newest() -> None:
    given = [f"<{i}@b>" for i in range(200)]
    built = envelope.build(
        a_draft(), sender="support@acme.test", sender_name="", message_id="<a@b>", references=["", *given]
    )
    assert built.references == (given[0], *given[-19:])


def test_limits_are_those_of_the_api() -> None:
    assert errors_of(subject="x" * 999) == {"subject": "too_long"}
    assert errors_of(markdown="x" * 262_145) == {"markdown": "too_long"}
    assert errors_of(html="x" * 262_145) == {"html": "too_long"}
    assert an_envelope(a_draft(subject="x" * 998, markdown="x" * 262_144)).subject == "x" * 998


@pytest.mark.parametrize("body", ["a\0b", "a\x0bb", "\ud800", "a\x1b[2J", "a\x9bb"])
def test_bodies_hold_no_control_characters(body: str) -> None:
    assert errors_of(markdown=body) == {"markdown": "invalid"}
    assert errors_of(html=body) == {"html": "invalid"}


def test_what_is_not_text_is_named_by_its_path() -> None:
    assert errors_of(to=(5,), subject=None, markdown=["x"]) == {
        "to[0]": "invalid",
        "subject": "invalid",
        "markdown": "invalid",
    }


def test_html_alone_brings_its_own_plain_text() -> None:
    built = an_envelope(a_draft(markdown="", html="<h1>Hi</h1><p>a<b>b</b>c</p><script>x</script>"))
    assert built.text == "Hi\n\nabc\n"


def test_html_that_says_nothing_is_refused() -> None:
    assert errors_of(markdown="", html="<script>x</script>") == {"html": "required"}


def test_html_with_a_monstrous_tree_is_refused() -> None:
    bomb = "<p>" + "".join(f"<font color={i}>" for i in range(2000)) + "<p>x" * 10_000
    assert errors_of(html=bomb) == {"html": "invalid"}


def test_plain_markdown_stays_plain_and_marked_up_text_gets_html() -> None:
    assert an_envelope(a_draft(markdown="Dear Bob,\nthanks.\n\nBest,\n-- \nSupport")).html == ""
    assert "<strong>now</strong>" in an_envelope(a_draft(markdown="Do it **now**")).html
    assert "&lt;b&gt;" in an_envelope(a_draft(markdown="*a* <b>c</b>")).html


@settings(deadline=None)
@given(st.builds(Draft, to=st.tuples(st.text()), subject=st.text(), markdown=st.text(), html=st.text()))
def test_any_draft_is_built_or_refused(draft: Draft) -> None:
    try:
        built = an_envelope(draft)
    except InvalidDraft as refused:
        assert all(error.field and error.message.isprintable() for error in refused.errors)  # noqa: PT017
    else:
        assert built.text.endswith("\n")
