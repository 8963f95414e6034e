"""Reports as real servers write them."""

from __future__ import annotations

from collections.abc import Sequence


def dsn(
    recipient: str = "anna@example.com",
    *,
    message_id: str = "<1@acme.test>",
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "550 5.1.1 <anna@example.com>: no such user",
    returned: Sequence[str] = (),
    fields: str = "",
    to: str = "support@acme.test",
) -> bytes:
    """As Postfix bounces, with the header of the mail given back unless `returned` says otherwise."""
    given_back = returned or ("Content-Type: text/rfc822-headers", "", f"Message-ID: {message_id}")
    return "\r\n".join(
        [
            "From: MAILER-DAEMON@mx.test (Mail Delivery System)",
            f"To: {to}",
            "Subject: Undelivered Mail Returned to Sender",
            "Auto-Submitted: auto-replied",
            "Message-ID: <bounce1@mx.test>",
            "MIME-Version: 1.0",
            'Content-Type: multipart/report; report-type=delivery-status; boundary="b1"',
            "",
            "--b1",
            "Content-Type: text/plain; charset=us-ascii",
            "",
            "This is the mail system at host mx.test. I'm sorry to have to inform you.",
            "",
            "--b1",
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; mx.test",
            *([fields] if fields else []),
            "Arrival-Date: Sat, 28 Nov 2026 10:00:00 +0000 (UTC)",
            "",
            f"Final-Recipient: rfc822; {recipient}",
            f"Action: {action}",
            f"Status: {status}",
            f"Diagnostic-Code: smtp; {diagnostic}",
            "Last-Attempt-Date: Sat, 28 Nov 2026 10:01:02 +0000",
            "",
            "--b1",
            *given_back,
            "",
            "--b1--",
            "",
        ]
    ).encode()


def complaint(recipient: str = "anna@example.com", message_id: str = "<1@acme.test>") -> bytes:
    """A feedback report (RFC 5965), as large mailbox providers send it."""
    return "\r\n".join(
        [
            "From: fbl@isp.test",
            "To: support@acme.test",
            "Subject: complaint about message from 192.0.2.1",
            "MIME-Version: 1.0",
            'Content-Type: multipart/report; report-type=feedback-report; boundary="b1"',
            "",
            "--b1",
            "Content-Type: text/plain",
            "",
            "This is an email abuse report.",
            "--b1",
            "Content-Type: message/feedback-report",
            "",
            "Feedback-Type: abuse",
            "User-Agent: SomeGenerator/1.0",
            "Version: 1",
            f"Original-Rcpt-To: <{recipient}>",
            "Arrival-Date: Sat, 28 Nov 2026 10:00:00 +0000",
            "",
            "--b1",
            "Content-Type: message/rfc822",
            "",
            "From: support@acme.test",
            f"Message-ID: {message_id}",
            "Subject: Your order",
            "",
            "It has shipped.",
            "--b1--",
            "",
        ]
    ).encode()


QMAIL = b"""From: MAILER-DAEMON@qmail.test\r
To: support@acme.test\r
Subject: failure notice\r
\r
Hi. This is the qmail-send program at qmail.test.\r
I'm afraid I wasn't able to deliver your message to the following addresses.\r
This is a permanent error; I've given up. Sorry it didn't work out.\r
\r
<anna@example.com>:\r
Sorry, no mailbox here by that name. (#5.1.1)\r
\r
--- Below this line is a copy of the message.\r
\r
Return-Path: <support@acme.test>\r
Message-ID: <1@acme.test>\r
Subject: Your order\r
\r
It has shipped.\r
"""
