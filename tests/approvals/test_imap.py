"""Mail of an IMAP server comes in once, whole and in order, and nothing is changed there."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from approvals import actions, outbox, tasks
from approvals.effects import fetching
from approvals.errors import Invalid, NotPermitted
from approvals.models import User
from audit.models import Event
from config.receiving.fetching import Fetchers
from mailboxes.imap import ImapError
from mailboxes.models import Email, ImapSource, Mailbox, RawMessage
from tests.faults.test_kill import until
from tests.imap_server import ImapServer

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def running() -> Iterator[ImapServer]:
    with ImapServer.running() as server:
        yield server


@pytest.fixture
def server(running: ImapServer) -> ImapServer:
    with running.client() as client:
        client.create("Support")
        client.delete("Support")
        client.create("Support")
    return running


def letter(subject: str) -> bytes:
    return (
        f"From: c@far.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@far.test>\r\n\r\nhi\r\n".encode()
    )


def url(server: ImapServer, folder: str = "Support") -> str:
    return server.url.replace("INBOX", folder)


def source(mailbox: Mailbox, server: ImapServer, by: User, **fields: bool) -> ImapSource:
    actions.set_imap(mailbox, url(server), by=by, **fields)
    return now()


def now() -> ImapSource:
    return ImapSource.objects.select_related("mailbox").get()


def taken() -> list[str]:
    rows = RawMessage.objects.order_by("pk").values_list("data", flat=True)
    return [bytes(data).split(b"Subject: ")[1].split(b"\r\n")[0].decode() for data in rows]


def test_what_comes_after_the_start_is_taken_once_and_left_as_it_is(
    mailbox: Mailbox, server: ImapServer, administrator: User
) -> None:
    server.deliver(letter("old"), "Support")
    found = source(mailbox, server, administrator)
    assert fetching.fetch(found) == 0
    server.deliver(letter("one"), "Support")
    server.deliver(letter("two"), "Support")
    before = server.messages("Support")
    assert fetching.fetch(now()) == 2
    assert fetching.fetch(now()) == 0
    assert taken() == ["one", "two"]
    assert server.messages("Support") == before
    assert RawMessage.objects.first().source == RawMessage.Source.IMAP  # type: ignore[union-attr]
    tasks.receive()
    assert [email.kind for email in Email.objects.all()] == ["normal", "normal"]


def test_what_is_there_already_is_taken_if_that_is_wanted(
    mailbox: Mailbox, server: ImapServer, administrator: User
) -> None:
    server.deliver(letter("old"), "Support")
    assert fetching.fetch(source(mailbox, server, administrator, takes_existing=True)) == 1
    assert taken() == ["old"]


def test_a_folder_that_is_numbered_anew_loses_and_doubles_nothing(
    mailbox: Mailbox, server: ImapServer, administrator: User
) -> None:
    found = source(mailbox, server, administrator)
    fetching.fetch(found)
    server.deliver(letter("one"), "Support")
    fetching.fetch(now())
    was = now().uid_validity
    server.deliver(letter("two"), "Support")
    server.start_anew("Support")
    server.deliver(letter("three"), "Support")
    fetching.fetch(now())
    assert now().uid_validity != was
    assert taken() == ["one", "two", "three"]
    assert fetching.fetch(now()) == 0


def test_a_failure_while_storing_keeps_the_place_and_takes_it_again(
    mailbox: Mailbox, server: ImapServer, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching.fetch(source(mailbox, server, administrator))
    server.deliver(letter("one"), "Support")

    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "enqueue_new", full)
        with pytest.raises(OSError, match="no space"):
            fetching.fetch(now())
    assert taken() == []
    assert fetching.fetch(now()) == 1
    assert taken() == ["one"]


def test_of_two_that_read_the_same_folder_one_takes_it(
    mailbox: Mailbox, server: ImapServer, administrator: User
) -> None:
    fetching.fetch(source(mailbox, server, administrator))
    first, second = now(), now()
    server.deliver(letter("one"), "Support")
    assert fetching.fetch(first) == 1
    with pytest.raises(fetching.Overtaken):
        fetching.fetch(second)
    assert taken() == ["one"]


def test_a_message_above_the_limit_is_kept_in_part_and_flagged(
    mailbox: Mailbox, server: ImapServer, administrator: User, settings: Settings
) -> None:
    settings.MAX_MESSAGE_BYTES = 10_000
    fetching.fetch(source(mailbox, server, administrator))
    server.deliver(letter("large") + b"x" * 50_000, "Support")
    assert fetching.fetch(now()) == 1
    tasks.receive()
    email = Email.objects.get()
    assert "larger than 10000 octets" in email.parse_error
    assert email.raw
    assert len(bytes(email.raw.data)) == 10_001


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("w%2Frd", "wrong"), "refused"),
        (("Support", "Nowhere"), "refused"),
        ((r":\d+/", ":1/"), "can't be used"),
    ],
)
def test_a_server_that_refuses_is_told_in_a_sentence_without_the_password(
    mailbox: Mailbox, server: ImapServer, administrator: User, change: tuple[str, str], sentence: str
) -> None:
    actions.set_imap(mailbox, re.sub(*change, url(server)), by=administrator)
    with pytest.raises(ImapError, match=sentence) as refused:
        fetching.fetch(now())
    assert "p@ss" not in str(refused.value)


def test_only_an_administrator_sets_it_and_the_log_never_has_the_password(
    mailbox: Mailbox, server: ImapServer, administrator: User, reviewer: User
) -> None:
    with pytest.raises(NotPermitted):
        actions.set_imap(mailbox, url(server), by=reviewer)
    with pytest.raises(Invalid):
        actions.set_imap(mailbox, "pop3://a:b@c", by=administrator)
    actions.set_imap(mailbox, url(server), by=administrator)
    event = Event.objects.select_related("payload").get(action=Event.Action.MAILBOX_CHANGED)
    assert "Support of support@acme.test at 127.0.0.1" in str(event.payload.body)
    assert "p@ss" not in str(event.payload.body)
    assert "p@ss" not in now().url_encrypted
    actions.set_imap(mailbox, "", by=administrator)
    assert not ImapSource.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_new_mail_is_taken_as_soon_as_the_server_tells_of_it(
    mailbox: Mailbox, server: ImapServer, administrator: User
) -> None:
    source(mailbox, server, administrator)
    fetchers = Fetchers()
    fetchers.start()
    try:
        until(lambda: now().looked_at)
        server.deliver(letter("one"), "Support")
        until(lambda: taken() == ["one"])
    finally:
        fetchers.stop()
        for thread in threading.enumerate():
            if thread.name.startswith("imap"):
                thread.join(20)
