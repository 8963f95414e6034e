"""Mail that reports on mail is read, by whoever's standard or words, and nothing else is."""

from __future__ import annotations

import pytest

from mailboxes import inbound, receipts
from mailboxes.receipts import Report
from tests.mailboxes import reports
from tests.mailboxes.reports import dsn


def only(data: bytes) -> Report:
    [report] = inbound.reports("", data)
    return report


def test_a_bounce_says_who_why_when_and_about_what() -> None:
    report = only(dsn())
    assert (report.kind, report.recipient, report.status) == ("bounced", "anna@example.com", "5.1.1")
    assert report.detail == "550 5.1.1 <anna@example.com>: no such user"
    assert report.bounce_type == "hard"
    assert report.message_ids == ("<1@acme.test>",)
    assert report.at is not None
    assert report.at.isoformat() == "2026-11-28T10:01:02+00:00"


@pytest.mark.parametrize(
    "returned",
    [
        ("Content-Type: message/rfc822", "", "From: a@acme.test", "Message-ID: <2@acme.test>", "", "Hello"),
        ("Content-Type: text/rfc822-headers", "", "Message-ID:", " <2@acme.test>"),
    ],
)
def test_the_mail_that_is_given_back_names_itself(returned: tuple[str, ...]) -> None:
    assert only(dsn(returned=returned)).message_ids == ("<2@acme.test>",)


def test_the_report_itself_may_name_the_mail() -> None:
    data = dsn(
        returned=("Content-Type: text/plain", "", "nothing"),
        fields="Original-Envelope-Id: em_1\r\nOriginal-Message-ID: <3@acme.test>",
    )
    report = only(data)
    assert (report.message_ids, report.envelope_id) == (("<3@acme.test>",), "em_1")


def test_the_recipient_is_the_one_that_was_written_to() -> None:
    data = dsn().replace(
        b"Final-Recipient:", b"Original-Recipient: rfc822;Anna@Example.com\r\nFinal-Recipient:"
    )
    assert only(data.replace(b"rfc822; anna@", b"rfc822; forwarded@")).recipient == "anna@example.com"


def test_delays_and_deliveries_are_no_bounces() -> None:
    assert only(dsn(action="delayed", status="4.4.1", diagnostic="connection timed out")).kind == "delayed"
    assert only(dsn(action="delivered", status="2.0.0", diagnostic="250 ok")).kind == "delivered"
    assert inbound.reports("", dsn(action="relayed")) == []


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        ("5.1.1", "", "hard"),
        ("5.0.0", "550 unknown user", "hard"),
        ("", "550 no such user", "hard"),
        ("5.4.4", "host not found", "hard"),
        ("5.2.2", "mailbox full", "soft"),
        ("5.7.1", "blocked by policy", "soft"),
        ("5.3.4", "message too big", "soft"),
        ("5.1.8", "your domain does not exist", "soft"),
        ("4.4.7", "expired", "soft"),
        ("", "450 try again", "soft"),
        ("", "552 5.2.2 over quota", "soft"),
    ],
)
def test_a_bounce_is_hard_when_the_address_is_at_fault(status: str, words: str, expected: str) -> None:
    assert receipts.bounce_type(status, words) == expected


def test_a_complaint_is_read() -> None:
    report = only(reports.complaint())
    assert (report.kind, report.recipient) == ("complained", "anna@example.com")
    assert report.message_ids == ("<1@acme.test>",)


def test_a_bounce_in_a_servers_own_words_is_read() -> None:
    report = only(reports.QMAIL)
    assert (report.kind, report.recipient, report.bounce_type) == ("bounced", "anna@example.com", "hard")
    assert "<1@acme.test>" in report.message_ids


def test_mail_from_somebody_is_looked_at_only_if_it_is_a_report() -> None:
    assert inbound.reports("eve@example.com", reports.QMAIL) == []
    assert inbound.reports("postmaster@mx.test", reports.QMAIL) != []
    assert inbound.reports("relay@mx.test", dsn()) != []
    assert inbound.reports("", b"From: a@b.test\r\nSubject: Hello\r\n\r\nno report\r\n") == []


@pytest.mark.parametrize(
    "data",
    [
        dsn(recipient="\x00\udcff"[0] + "@"),
        dsn(recipient="no address"),
        dsn(fields="Original-Message-ID: " + "<" * 5000),
        dsn().replace(b"Final-Recipient", b"Other"),
        dsn().replace(b"Last-Attempt-Date: Sat, 28 Nov 2026", b"Last-Attempt-Date: Sat, 99 Nov 99999"),
        dsn()[:700],
        b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n" * 3000,
    ],
)
def test_a_broken_report_stops_nothing(data: bytes) -> None:
    assert all(isinstance(report, Report) for report in inbound.reports("", data))


def test_a_report_on_very_many_is_cut() -> None:
    block = b"Final-Recipient: rfc822; x%d@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
    many = b"".join(block % number for number in range(300))
    data = dsn().replace(b"Final-Recipient: rfc822; anna", many + b"Final-Recipient: rfc822; anna")
    assert len(inbound.reports("", data)) == 100
