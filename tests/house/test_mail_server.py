"""The receiving mail server: 250 means committed, and nothing is kept by halves."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest
from django.db import connection

from approvals.models import OutboxEntry
from config.embedded.mail import MailServer
from mailboxes.models import Mailbox, RawMessage
from tests import factories

MESSAGE = b"From: c@far.test\r\nSubject: hello\r\nMessage-ID: <1@far.test>\r\n\r\nHi\r\n"


@pytest.fixture
def client(transactional_db: None) -> Iterator[smtplib.SMTP]:
    for name in ("support", "sales"):
        factories.a_mailbox(f"{name}@acme.test")
    factories.a_mailbox("closed@acme.test", is_active=False)
    server = MailServer("127.0.0.1", 0)
    server.start()
    with smtplib.SMTP("127.0.0.1", server.port, local_hostname="far.test") as client:
        client.ehlo()
        yield client
    server.stop()


def stored() -> list[tuple[str, str, bytes]]:
    rows = RawMessage.objects.order_by("mailbox__address")
    return [(row.mailbox.address, row.envelope_from, bytes(row.data)) for row in rows]


def test_a_message_to_two_mailboxes_is_stored_for_each(client: smtplib.SMTP) -> None:
    client.sendmail("c@far.test", ["support@acme.test", "sales@acme.test"], MESSAGE)
    assert stored() == [(f"{name}@acme.test", "c@far.test", MESSAGE) for name in ("sales", "support")]
    assert OutboxEntry.objects.filter(kind=OutboxEntry.Kind.RECEIVE_EMAIL).count() == 2


def test_a_mailbox_that_closes_after_its_rcpt_has_nothing_called_stored(client: smtplib.SMTP) -> None:
    client.mail("c@far.test")
    assert client.rcpt("support@acme.test")[0] == client.rcpt("sales@acme.test")[0] == 250
    Mailbox.objects.filter(address="sales@acme.test").update(is_active=False)
    assert client.data(MESSAGE)[0] == 451
    assert not stored()


def test_a_mailbox_named_twice_gets_it_once(client: smtplib.SMTP) -> None:
    client.sendmail("c@far.test", ["support@acme.test", "Support@ACME.test"], MESSAGE)
    assert len(stored()) == 1


def test_a_bounce_has_no_sender(client: smtplib.SMTP) -> None:
    client.sendmail("", ["support@acme.test"], MESSAGE)
    assert stored() == [("support@acme.test", "", MESSAGE)]


@pytest.mark.parametrize("address", ["nobody@acme.test", "closed@acme.test", "support@far.test", "support"])
def test_an_unknown_recipient_is_refused_at_once(client: smtplib.SMTP, address: str) -> None:
    client.mail("c@far.test")
    assert client.rcpt(address)[0] == 550


def test_the_bytes_are_kept_as_they_came(client: smtplib.SMTP) -> None:
    data = b"Subject: =?x?=\r\nX: \xff\xfe\r\n\r\n..dots\r\n.one\r\n\x00\x80\r\n"
    client.sendmail("c@far.test", ["support@acme.test"], data)
    assert stored() == [("support@acme.test", "c@far.test", data)]


def test_trouble_with_the_database_is_a_451_and_keeps_nothing(client: smtplib.SMTP) -> None:
    """The second mailbox's row is refused by the database itself, and the first one's goes with it."""
    if connection.vendor != "sqlite":
        pytest.skip("no SQLite: the trouble is made by a trigger of SQLite's")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER full BEFORE INSERT ON mailboxes_rawmessage"
            " WHEN (SELECT count(*) FROM mailboxes_rawmessage) > 0"
            " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    try:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("c@far.test", ["support@acme.test", "sales@acme.test"], MESSAGE)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER full")
    assert refused.value.smtp_code == 451
    assert stored() == []
    assert not OutboxEntry.objects.exists()
    client.sendmail("c@far.test", ["support@acme.test"], MESSAGE)
    assert len(stored()) == 1
