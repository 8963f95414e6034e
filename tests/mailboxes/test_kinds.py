"""Mail that no person wrote is known as such, and for which reason."""

from __future__ import annotations

import pytest

from mailboxes.inbound import parse
from mailboxes.kinds import Kind, classify


def judged(head: str, sender: str | None = "a@far.test", own: str = "") -> tuple[Kind, str]:
    parsed = parse(f"From: a@far.test\r\n{head}\r\nhi\r\n".encode())
    return classify(parsed.marks, sender, parsed.from_address, own=own)


@pytest.mark.parametrize(
    ("head", "kind", "reason"),
    [
        ("", Kind.NORMAL, ""),
        ("Auto-Submitted: no\r\n", Kind.NORMAL, ""),
        ("Precedence: first-class\r\n", Kind.NORMAL, ""),
        ("X-Auto-Response-Suppress: None\r\n", Kind.NORMAL, ""),
        ("Content-Type: multipart/mixed; boundary=b\r\n", Kind.NORMAL, ""),
        ("Auto-Submitted: auto-replied\r\n", Kind.AUTO_REPLY, "auto-replied"),
        ("auto-SUBMITTED: Auto-Generated (vacation); x=y\r\n", Kind.AUTO_REPLY, "auto-generated"),
        ("Precedence: bulk\r\n", Kind.AUTO_REPLY, "bulk"),
        ("Precedence: LIST\r\n", Kind.AUTO_REPLY, "list"),
        ("List-Id: <x.far.test>\r\n", Kind.AUTO_REPLY, "mailing list"),
        ("List-Unsubscribe: <https://far.test/u>\r\n", Kind.AUTO_REPLY, "mailing list"),
        ("X-Auto-Response-Suppress: DR, OOF\r\n", Kind.AUTO_REPLY, "no automatic answer"),
        ("X-Autoreply: yes\r\n", Kind.AUTO_REPLY, "automatic reply"),
        (
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n",
            Kind.AUTO_REPLY,
            "receipt",
        ),
        (
            'Content-Type: multipart/report; boundary=b;\r\n\treport-type="delivery-status"\r\n',
            Kind.BOUNCE,
            "report",
        ),
        (
            "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n",
            Kind.BOUNCE,
            "complaint",
        ),
        ("X-Failed-Recipients: b@far.test\r\n", Kind.BOUNCE, "could not be reached"),
    ],
)
def test_the_header_says_what_it_is(head: str, kind: Kind, reason: str) -> None:
    found, why = judged(head)
    assert found == kind
    assert reason in why
    assert bool(why) == (kind != Kind.NORMAL)


def test_the_null_sender_is_a_bounce_and_an_unknown_one_is_not() -> None:
    assert judged("", sender="")[0] == Kind.BOUNCE
    assert judged("", sender=None)[0] == Kind.NORMAL
    assert judged("Return-Path: <>\r\n", sender=None)[0] == Kind.BOUNCE
    assert judged("Return-Path: <a@far.test>\r\n", sender=None)[0] == Kind.NORMAL


def test_an_absence_notice_with_the_null_sender_is_an_automatic_reply() -> None:
    assert judged("Auto-Submitted: auto-replied\r\n", sender="")[0] == Kind.AUTO_REPLY


def test_our_own_mail_is_ours_whatever_else_it_says() -> None:
    assert judged("Precedence: bulk\r\n", own="It left here.") == (Kind.OWN, "It left here.")


def test_a_report_is_a_report_even_if_it_repeats_our_header() -> None:
    head = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n"
    assert judged(head, own="It left here.")[0] == Kind.BOUNCE
