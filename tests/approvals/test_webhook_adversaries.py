"""Receivers that mean harm, or are gone: nothing is posted where it must not be, and others don't wait."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from approvals import actions, tasks, webhooks
from approvals.effects import posting
from approvals.models import OutboxEntry, User, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from approvals.safe_http import Forbidden, check_url
from approvals.safe_http import post as safe_post
from mailboxes.models import Mailbox
from tests.approvals.api.caller import arrived
from tests.receiver import FLOOD, STALL, Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _loopback(settings: Settings) -> None:
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver.running() as running:
        yield running


def an_endpoint(receiver: Receiver, by: User, *, url: str = "") -> WebhookEndpoint:
    return actions.create_endpoint(url or receiver.url, [webhooks.RECEIVED], None, by=by)[0]


def again() -> None:
    """As if its time had come."""
    OutboxEntry.objects.filter(kind="post_webhook").update(due_at=timezone.now())
    tasks.post()


def names(monkeypatch: pytest.MonkeyPatch, **addresses: list[str]) -> list[str]:
    """A resolver that answers each look at a name with the next of its addresses. Returns the looks."""
    real, looks = socket.getaddrinfo, []

    def look(host: Any, *args: Any, **options: Any) -> Any:
        if host not in addresses:
            return real(host, *args, **options)
        looks.append(host)
        return real(addresses[host].pop(0), *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return looks


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0",
        "017700000001",
        "127.0.1",
        "127。0。0。1",
        "[::127.0.0.1]",
        "[::ffff:0:7f00:1]",
        "[64:ff9b::a00:1]",
        "[64:ff9b:1::1]",
        "[2001:0:a00:1::1]",
        "[fec0::1]",
        "[fd00::1]",
        "[ff02::1]",
        "192.0.0.8",
        "198.18.0.1",
    ],
)
def test_however_a_private_address_is_written_it_is_none_to_post_to(settings: Settings, host: str) -> None:
    settings.WEBHOOK_NETWORKS = []
    with pytest.raises(Forbidden, match="not a public address"):
        safe_post(f"http://{host}/", b"{}", {}, timeout=2)


@pytest.mark.parametrize(
    "url",
    [
        "http://0177.0.0.1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://[::1/",
        "http://127.0.0.1:80:80/",
        "http://evil.example\\@127.0.0.1/",
        "http://127.0.0.1%2f@a.example/",
        "https://\u200ba.example/",
        "http:127.0.0.1",
    ],
)
def test_what_two_readers_could_read_differently_is_no_address(url: str) -> None:
    with pytest.raises(Forbidden):
        check_url(url)


def test_a_name_in_any_script_is_looked_up_and_named_in_ascii(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = names(monkeypatch, **{"xn--bcher-kva.example": ["127.0.0.1"]})
    safe_post(f"http://bücher.example:{receiver.port}/", b"{}", {}, timeout=2)
    assert looks == ["xn--bcher-kva.example"]
    assert receiver.posts[0].headers["Host"] == f"xn--bcher-kva.example:{receiver.port}"


def test_a_receiver_may_be_reached_by_ipv6(settings: Settings) -> None:
    settings.WEBHOOK_NETWORKS = ["::1/128"]
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        port = listening.getsockname()[1]
        answering = threading.Thread(target=_answer_once, args=(listening,))
        answering.start()
        assert safe_post(f"http://[::1]:{port}/", b"{}", {}, timeout=2).status == 200
        answering.join()


def _answer_once(listening: socket.socket) -> None:
    taken, _ = listening.accept()
    with taken:
        asked = b""
        while b"{}" not in asked:
            asked += taken.recv(4096)
        assert f"Host: [::1]:{listening.getsockname()[1]}".encode() in asked
        taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_a_name_that_turns_to_a_private_address_is_refused_at_its_next_look(
    receiver: Receiver, administrator: User, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers = [500, 200]
    looks = names(monkeypatch, **{"turns.example": ["127.0.0.1", "10.0.0.1", "127.0.0.1"]})
    an_endpoint(receiver, administrator, url=f"http://turns.example:{receiver.port}/")
    arrived(mailbox)
    for _ in range(3):
        again()
    assert len(looks) == 3
    assert [one.error for one in WebhookAttempt.objects.order_by("pk")] == [
        "It answered 500.",
        "turns.example is 10.0.0.1, which is not a public address.",
        "",
    ]
    assert len(receiver.posts) == 2
    assert WebhookDelivery.objects.get().status == "delivered"


def test_a_redirect_leads_nowhere(receiver: Receiver, administrator: User, mailbox: Mailbox) -> None:
    with Receiver.running() as inside:
        receiver.answers = [inside.url, 200]
        an_endpoint(receiver, administrator)
        arrived(mailbox)
        tasks.post()
        assert inside.posts == []
    assert WebhookDelivery.objects.get().status == "pending"
    again()
    assert WebhookDelivery.objects.get().status == "delivered"


def test_an_answer_without_end_is_an_answer(
    receiver: Receiver, administrator: User, mailbox: Mailbox
) -> None:
    receiver.answers = [FLOOD]
    an_endpoint(receiver, administrator)
    arrived(mailbox)
    tasks.post()
    attempt = WebhookAttempt.objects.get()
    assert (attempt.response_status, len(attempt.response_body)) == (200, 1000)


def test_what_waits_for_an_endpoint_that_was_deleted_ends(
    receiver: Receiver, administrator: User, mailbox: Mailbox
) -> None:
    endpoint = an_endpoint(receiver, administrator)
    arrived(mailbox)
    actions.delete_endpoint(endpoint, by=administrator)
    assert tasks.post() == 1
    assert receiver.posts == []
    assert not OutboxEntry.objects.filter(kind="post_webhook", done_at=None).exists()


def _work() -> None:
    tasks.post()
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_may_be_deleted_while_it_is_posted_to(
    receiver: Receiver, administrator: User, mailbox: Mailbox
) -> None:
    receiver.answers = [STALL]
    endpoint = an_endpoint(receiver, administrator)
    arrived(mailbox)
    worker = threading.Thread(target=_work)
    worker.start()
    assert receiver.arrived.wait(10)
    actions.delete_endpoint(endpoint, by=administrator)
    receiver.over.set()
    worker.join()
    assert OutboxEntry.objects.get(kind="post_webhook").last_error == ""
    assert not WebhookAttempt.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_receivers_that_are_failing_hold_no_more_together_than_one_of_them(
    receiver: Receiver, administrator: User, mailbox: Mailbox
) -> None:
    with ExitStack() as running:
        hanging = [running.enter_context(Receiver.running(STALL)) for _ in range(3)]
        for one in hanging:
            an_endpoint(one, administrator)
        for number in range(3):
            arrived(mailbox, str(number))
        WebhookEndpoint.objects.update(failing_since=timezone.now())
        an_endpoint(receiver, administrator)
        arrived(mailbox, "for all")
        threads = [threading.Thread(target=_work) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert receiver.arrived.wait(10)
        assert sum(len(one.posts) for one in hanging) <= posting.AT_ONCE
        for one in hanging:
            one.over.set()
        for thread in threads:
            thread.join()


@pytest.mark.django_db(transaction=True)
def test_what_waits_behind_a_receiver_that_hangs_asks_less_and_less(
    receiver: Receiver, administrator: User, mailbox: Mailbox
) -> None:
    receiver.answers = [STALL]
    an_endpoint(receiver, administrator)
    for number in range(3):
        arrived(mailbox, str(number))
    threads = [threading.Thread(target=_work) for _ in range(posting.AT_ONCE)]
    for thread in threads:
        thread.start()
    while len(receiver.posts) < posting.AT_ONCE:
        assert receiver.arrived.wait(10)
    waiting = OutboxEntry.objects.filter(kind="post_webhook", done_at=None).order_by("-pk")[0]
    pauses = []
    for _ in range(3):
        OutboxEntry.objects.filter(pk=waiting.pk).update(due_at=timezone.now())
        tasks.post()
        pauses.append((OutboxEntry.objects.get(pk=waiting.pk).due_at - timezone.now()).total_seconds())
    receiver.over.set()
    for thread in threads:
        thread.join()
    assert 0 < pauses[0] < pauses[1] < pauses[2] < 10
