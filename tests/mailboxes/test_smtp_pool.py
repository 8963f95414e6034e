"""Connections that wait for the next message: used again, given up in time, and never at the mail's cost."""

from __future__ import annotations

import os
import time

import pytest
from pytest_django import Settings

from mailboxes import delivery
from mailboxes.delivery import DeliveryError, Receipt
from mailboxes.smtp import MOST_MESSAGES
from mailboxes.smtp_pool import REST, pool
from tests.mailboxes.broken_server import DROP, BrokenServer
from tests.servers import RecordingServer

DATA = b"Subject: x\r\n\r\nHello\r\n"


def send(to: str = "a@x.test") -> Receipt:
    with delivery.offer("support@acme.test", [to], timeout=5) as handover:
        return handover.data(DATA)


def test_the_next_message_takes_the_same_connection(smtp_server: RecordingServer) -> None:
    send("a@x.test")
    receipt = send("b@x.test")
    assert [to for _, to, _ in smtp_server.messages] == [["a@x.test"], ["b@x.test"]]
    assert smtp_server.connections == 1
    assert receipt.steps[0] == [f"connect 127.0.0.1:{smtp_server.port}", "still open"]


def test_a_connection_that_rested_long_enough_is_closed(smtp_server: RecordingServer) -> None:
    send()
    pool.close(time.monotonic() + REST)
    send()
    assert smtp_server.connections == 2


def test_after_many_messages_it_is_a_new_one(smtp_server: RecordingServer) -> None:
    for _ in range(MOST_MESSAGES + 1):
        send()
    assert smtp_server.connections == 2


def test_an_offer_that_was_taken_back_leaves_nothing_behind(smtp_server: RecordingServer) -> None:
    with delivery.offer("support@acme.test", ["a@x.test"]):
        pass
    send()
    assert smtp_server.connections == 2
    assert len(smtp_server.messages) == 1


def test_a_refusal_on_an_open_connection_is_a_refusal(smtp_server: RecordingServer) -> None:
    send()
    smtp_server.refuse["b@x.test"] = "550 no such person"
    with pytest.raises(DeliveryError) as caught:
        send("b@x.test")
    assert caught.value.refused == {"b@x.test": "550 no such person"}
    assert smtp_server.connections == 1
    assert send("c@x.test").reply.startswith("250")


@pytest.mark.parametrize("answer", [DROP, "421 too long", "451 not now"])
def test_a_server_that_had_enough_gets_the_mail_on_a_new_connection(settings: Settings, answer: str) -> None:
    with BrokenServer.running(MAIL=["250 ok", answer, "250 ok"]) as server:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{server.port}"
        send()
        send("b@x.test")
    assert len(server.kept) == 2


def test_a_server_that_closed_meanwhile_gets_the_mail_on_a_new_connection(settings: Settings) -> None:
    with BrokenServer.running(**{"dot": ["250 kept\r\n421 idle", "250 kept"]}) as server:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{server.port}"
        send()
        send("b@x.test")
    assert len(server.kept) == 2
    assert server.commands.count("EHLO 127.0.0.1") + server.commands.count("EHLO [127.0.0.1]") == 2


def test_a_child_uses_none_of_its_parents_connections(smtp_server: RecordingServer) -> None:
    send()
    child = os.fork()
    if not child:
        os._exit(0 if not any(pool._resting.values()) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    send()
    assert smtp_server.connections == 1
