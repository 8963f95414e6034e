"""Files that go with a message: frozen with it, read back as they were, and refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes import attachments, envelope, mime
from mailboxes.attachments import Attachment
from mailboxes.envelope import Draft, InvalidDraft

PDF = Attachment("offer.pdf", "application/pdf", b"%PDF-1.7 and so on")


def frozen(*files: Attachment) -> mime.Frozen:
    draft = Draft(to=("a@b.test",), subject="x", markdown="See it.", attachments=files)
    built = envelope.build(draft, sender="s@acme.test", sender_name="", message_id="<1@acme.test>")
    return mime.freeze(built)


NAMES = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters="/\\"),
    min_size=1,
    max_size=100,
).filter(lambda name: not list(attachments.problems([Attachment(name, "a/b", b"")])))


@given(name=NAMES, data=st.binary(max_size=400))
def test_what_goes_in_comes_out(name: str, data: bytes) -> None:
    file = Attachment(name, "application/octet-stream", data)
    assert (
        mime.files(frozen(file, PDF if name.lower() != "offer.pdf" else file).data)[0] == file
        if (name.lower() != "offer.pdf")
        else True
    )


@given(data=st.binary(max_size=2000))
def test_the_letter_reads_the_same_beside_any_file(data: bytes) -> None:
    shown = mime.render(frozen(Attachment("a.bin", "application/octet-stream", data)).data)
    assert shown.text == "See it.\n"


def test_a_file_is_part_of_the_digest() -> None:
    other = Attachment("offer.pdf", "application/pdf", b"%PDF-1.7 and other things")
    assert len({frozen().digest, frozen(PDF).digest, frozen(other).digest}) == 3


def test_frozen_bytes_with_files_can_go_over_the_wire() -> None:
    data = frozen(
        PDF, Attachment("ein langer Name mit Ümläuten " * 4 + ".txt", "text/plain", bytes(range(256)) * 50)
    ).data
    mime.check_wire(data)


@pytest.mark.parametrize(
    ("file", "path", "code"),
    [
        (Attachment("", "a/b", b""), "attachments[0].name", "bad_name"),
        (Attachment("../x", "a/b", b""), "attachments[0].name", "bad_name"),
        (Attachment("a\\b", "a/b", b""), "attachments[0].name", "bad_name"),
        (Attachment("a\r\nBcc: x@y.test", "a/b", b""), "attachments[0].name", "bad_name"),
        (Attachment("cod\u202efdp.txt", "a/b", b""), "attachments[0].name", "bad_name"),
        (Attachment("x" * 200, "a/b", b""), "attachments[0].name", "bad_name"),
        (Attachment("invoice.pdf.exe", "a/b", b""), "attachments[0].name", "bad_name"),
        (Attachment("invoice.JS", "a/b", b""), "attachments[0].name", "bad_name"),
        (Attachment("a.txt", "text", b""), "attachments[0].content_type", "bad_type"),
        (Attachment("a.txt", "text/plain\r\nX: y", b""), "attachments[0].content_type", "bad_type"),
        (Attachment("a.eml", "message/rfc822", b""), "attachments[0].content_type", "bad_type"),
        (Attachment("a.bin", "a/b", b"x" * (attachments.MAX_OCTETS + 1)), "attachments", "too_large"),
    ],
)
def test_what_may_not_go_is_refused_by_name(file: Attachment, path: str, code: str) -> None:
    with pytest.raises(InvalidDraft) as caught:
        frozen(file)
    assert (caught.value.errors[0].field, caught.value.errors[0].code) == (path, code)


def test_too_many_and_twice_the_same_name_are_refused() -> None:
    with pytest.raises(InvalidDraft, match="more than"):
        frozen(*(Attachment(f"{n}.txt", "text/plain", b"") for n in range(attachments.MAX_FILES + 1)))
    with pytest.raises(InvalidDraft, match="Two attachments"):
        frozen(PDF, Attachment("OFFER.pdf", "application/pdf", b""))


@pytest.mark.parametrize(
    ("file", "severity"),
    [
        (Attachment("offer.pdf", "application/pdf", b"MZ\x90\x00"), "high"),
        (Attachment("offer.pdf", "application/pdf", b"<html>"), "high"),
        (Attachment("photo.png", "image/png", b"#!/bin/sh"), "high"),
        (Attachment("notes.txt", "application/pdf", b"hello"), "warn"),
        (PDF, ""),
        (Attachment("notes.txt", "text/plain", b"hello"), ""),
        (Attachment("data", "application/octet-stream", b"\0\1"), ""),
    ],
)
def test_a_file_that_is_not_what_it_says_is_a_fact(file: Attachment, severity: str) -> None:
    found = [fact for fact in frozen(file).facts if fact.code == "attachment_type"]
    assert [fact.severity for fact in found] == ([severity] if severity else [])
