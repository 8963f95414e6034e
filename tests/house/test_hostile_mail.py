"""Broken, hostile and gigantic mail by SMTP: what is accepted is an email, and the server goes on."""

from __future__ import annotations

import resource
import smtplib

import pytest

from approvals import tasks
from config.receiving.limits import Limits
from config.receiving.server import MailServer
from mailboxes.models import Email, Mailbox, RawMessage
from tests.mailboxes.test_inbound import HOSTILE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(300)]

MORE = {
    "no boundary": b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
    "boundary that never ends": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
    + b"x\r\n" * 1_000,
    "mixed line ends": b"Subject: a\nFrom: b@c.test\r\rTo: d@e.test\n\r\r\n\nx\ry\nz\r\n" * 1_000,
    "nothing but line ends": b"\r\n" * 10_000_000,
    "dots": b"..\r\n" * 2_000_000,
    "25 MB in one part": b"Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 19 * 340_000,
    "nul in a header": b"Subject: a\0b\r\nFrom: \0@\0\r\n\r\n\0",
    "ordinary": b"From: a@b.test\r\nSubject: ordinary\r\n\r\nhi\r\n",
}
# what a process may grow by, with a few messages of 25 MB under way
MOST_KIB = 600_000


def stuffed(data: bytes) -> bytes:
    return (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b"\r\n.\r\n"


def send(server: MailServer, data: bytes) -> int:
    """As a stranger would: the bytes as they stand. The code of the answer."""
    with smtplib.SMTP("127.0.0.1", server.port, local_hostname="far.test", timeout=60) as client:
        client.ehlo()
        client.mail("a@b.test")
        client.rcpt("support@acme.test")
        client.docmd("DATA")
        client.send(stuffed(data))
        return client.getreply()[0]


def test_each_message_that_is_accepted_is_an_email_and_nothing_stalls(mailbox: Mailbox) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    server = MailServer("127.0.0.1", 0, limits=Limits(per_minute=0, octets=110_000_000))
    server.start()
    try:
        answers = {name: send(server, data) for name, data in (HOSTILE | MORE).items()}
    finally:
        server.stop()
    assert set(answers.values()) <= {250, 552}
    accepted = [name for name, answer in answers.items() if answer == 250]
    assert len(accepted) > len(answers) - 3
    assert tasks.receive() == len(accepted)
    assert Email.objects.count() == RawMessage.objects.count() == len(accepted)
    assert Email.objects.exclude(parse_error="").exists()
    assert Email.objects.get(subject="ordinary").parse_error == ""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KIB
