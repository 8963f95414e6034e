"""The receiving mail server: 250 means committed, and nothing is kept by halves."""

from __future__ import annotations

import smtplib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from approvals.models import OutboxEntry
from config.receiving.limits import Limits
from config.receiving.server import LmtpSession, MailServer
from mailboxes.models import Mailbox, RawMessage
from tests import factories
from tests.certificates import a_certificate

MESSAGE = b"From: c@far.test\r\nSubject: hello\r\nMessage-ID: <1@far.test>\r\n\r\nHi\r\n"


@pytest.fixture
def client(transactional_db: None) -> Iterator[smtplib.SMTP]:
    for name in ("support", "sales"):
        factories.a_mailbox(f"{name}@acme.test")
    factories.a_mailbox("closed@acme.test", is_active=False)
    with serving() as server, connected(server) as client:
        yield client


@contextmanager
def serving(**options: Any) -> Iterator[MailServer]:
    server = MailServer("127.0.0.1", 0, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def connected(server: MailServer) -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", server.port, local_hostname="far.test")
    client.ehlo()
    return client


def limits(**wanted: Any) -> Limits:
    """For a peer on loopback as for any other."""
    return Limits(**({"per_minute": 0, "octets": 1_000_000, "spares_loopback": False} | wanted))


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


def test_a_tag_on_an_address_is_the_mailboxs_own(client: smtplib.SMTP) -> None:
    client.sendmail("c@far.test", ["Support+orders@acme.test"], MESSAGE)
    assert [box for box, _, _ in stored()] == ["support@acme.test"]
    assert client.docmd("RCPT", "TO:<nobody+support@acme.test>")[0] != 250


@pytest.mark.parametrize(
    "data", [b"", b".", b"..", b".\r\n..\r\n.", b"\r\n.\r\n\r\n", b"x" * 200_000, b"a\rb\n.\n.\rc"]
)
def test_every_octet_between_data_and_its_end_is_kept(client: smtplib.SMTP, data: bytes) -> None:
    """Sent by hand, because smtplib mends line ends."""
    client.mail("c@far.test")
    client.rcpt("support@acme.test")
    client.docmd("DATA")
    stuffed = (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]
    client.send(stuffed + b"\r\n.\r\n")
    assert client.getreply()[0] == 250
    assert stored()[0][2] == data + b"\r\n"


def test_a_message_without_a_line_is_stored_too(client: smtplib.SMTP) -> None:
    client.mail("c@far.test")
    client.rcpt("support@acme.test")
    client.docmd("DATA")
    client.send(b".\r\nNOOP\r\n")
    assert client.getreply()[0] == client.getreply()[0] == 250
    assert stored()[0][2] == b""


def test_a_dot_between_wrong_line_ends_begins_no_second_message(client: smtplib.SMTP) -> None:
    hidden = b"hi\n.\nMAIL FROM:<boss@acme.test>\r.\r\nRCPT TO:<sales@acme.test>\n.\r\n"
    client.sendmail("c@far.test", ["support@acme.test"], b"Subject: x\r\n\r\nhi\r\n")
    client.mail("c@far.test")
    client.rcpt("support@acme.test")
    client.docmd("DATA")
    client.send(hidden + b"\r\n.\r\n")
    assert client.getreply()[0] == 250
    assert [sender for _, sender, _ in stored()] == ["c@far.test"] * 2


def test_what_is_too_large_is_refused_before_and_after_it_came(
    transactional_db: None, settings: Settings
) -> None:
    settings.MAX_MESSAGE_BYTES = 50_000
    factories.a_mailbox("support@acme.test")
    with serving() as server, connected(server) as client:
        assert client.esmtp_features["size"] == "50000"
        assert client.docmd("MAIL FROM:<c@far.test> SIZE=50001")[0] == 552
        client.mail("c@far.test")
        client.rcpt("support@acme.test")
        assert client.data(b"x" * 60_000)[0] == 552
        client.sendmail("c@far.test", ["support@acme.test"], MESSAGE)
    assert len(stored()) == 1


def for_ever(client: smtplib.SMTP) -> None:
    for _ in range(10_000):
        client.send(b"\r\n" * 10_000)


def test_one_that_goes_on_and_on_is_cut_off(transactional_db: None, settings: Settings) -> None:
    settings.MAX_MESSAGE_BYTES = 50_000
    factories.a_mailbox("support@acme.test")
    with serving() as server:
        client = connected(server)
        client.mail("c@far.test")
        client.rcpt("support@acme.test")
        client.docmd("DATA")
        with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
            for_ever(client)
        client.close()


def test_more_at_once_than_there_is_room_for_comes_again_later(transactional_db: None) -> None:
    factories.a_mailbox("support@acme.test")
    with serving(limits=limits(octets=10_000)) as server, connected(server) as client:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("c@far.test", ["support@acme.test"], b"x" * 20_000)
        assert refused.value.smtp_code == 452
        for _ in range(3):
            client.sendmail("c@far.test", ["support@acme.test"], b"x" * 9_000)
    assert len(stored()) == 3


def test_a_peer_that_sends_too_much_in_a_minute_comes_again_later(transactional_db: None) -> None:
    factories.a_mailbox("support@acme.test")
    with serving(limits=limits(per_minute=3)) as server, connected(server) as client:
        for _ in range(3):
            client.sendmail("c@far.test", ["support@acme.test"], MESSAGE)
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail("c@far.test", ["support@acme.test"], MESSAGE)
    assert refused.value.smtp_code == 450
    assert len(stored()) == 3


def test_a_peer_has_so_many_connections_and_then_421(transactional_db: None) -> None:
    with serving(limits=limits(connections_per_peer=2)) as server:
        first, second = connected(server), connected(server)
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            connected(server)
        assert refused.value.smtp_code == 421
        first.quit()
        second.noop()
        connected(server).quit()
        second.quit()


def test_tls_is_offered_with_a_certificate_and_only_then(
    transactional_db: None, settings: Settings, tmp_path: Path
) -> None:
    factories.a_mailbox("support@acme.test")
    with serving() as server, connected(server) as client:
        assert not client.has_extn("starttls")
    chain, key = a_certificate(tmp_path)
    settings.SMTP_CERTIFICATE = f"{chain}, {key}"
    with serving() as server, connected(server) as client:
        client.starttls(context=ssl.create_default_context(cafile=str(chain)))
        client.sendmail("c@far.test", ["support@acme.test"], MESSAGE)
    assert len(stored()) == 1


def test_by_lmtp_each_recipient_has_its_own_answer(transactional_db: None) -> None:
    for name in ("support", "sales"):
        factories.a_mailbox(f"{name}@acme.test")
    with serving(session=LmtpSession) as server:
        client = smtplib.LMTP("127.0.0.1", server.port, local_hostname="far.test")
        client.ehlo()
        client.mail("c@far.test")
        client.rcpt("support@acme.test")
        client.rcpt("sales@acme.test")
        Mailbox.objects.filter(address="sales@acme.test").update(is_active=False)
        client.docmd("DATA")
        client.send(MESSAGE + b".\r\n")
        assert [client.getreply()[0], client.getreply()[0]] == [250, 451]
        client.quit()
    assert stored() == [("support@acme.test", "c@far.test", MESSAGE)]
    assert RawMessage.objects.get().source == RawMessage.Source.LMTP


def test_many_at_once_share_commits_and_none_is_lost_or_doubled(transactional_db: None) -> None:
    factories.a_mailbox("support@acme.test")
    barrier = threading.Barrier(8)

    def send(sender: int) -> None:
        with connected(server) as client:
            barrier.wait()
            for number in range(25):
                text = f"Subject: {sender}-{number}\r\n\r\nhi\r\n"
                client.sendmail(f"c{sender}@far.test", ["support@acme.test"], text)

    with serving() as server, ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))
    assert sorted(data for _, _, data in stored()) == sorted(
        f"Subject: {sender}-{number}\r\n\r\nhi\r\n".encode() for sender in range(8) for number in range(25)
    )
    assert OutboxEntry.objects.filter(kind=OutboxEntry.Kind.RECEIVE_EMAIL).count() == 200
