"""Providers get exactly the bytes and the recipients that were approved, and each answer means one thing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from audit import secrets
from mailboxes import delivery, mime, routes
from mailboxes.delivery import DeliveryError, Receipt
from mailboxes.envelope import Envelope
from mailboxes.providers import PROVIDERS
from tests.mailboxes.provider_server import DROP, STALL, ProviderServer
from tests.servers import free_port

TO = ("anna@example.com", "ben@example.com", "zoe@hidden.example")
EVERY = pytest.mark.parametrize("provider", sorted(PROVIDERS))


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with ProviderServer.running() as running:
        yield running


def letter() -> bytes:
    envelope = Envelope(
        sender="support@acme.test",
        sender_name="Acmé",
        to=TO[:1],
        cc=TO[1:2],
        bcc=TO[2:],
        subject="Ünïcode",
        text="--boundary\n.\n.. dots\nFrom here\n" + "long " * 300 + "\nfîn\n",
        html="<p>Hello</p>",
        message_id="<1@acme.test>",
    )
    return b"Date: Sat, 28 Nov 2026 10:00:00 +0000\r\n" + mime.freeze(envelope).data


def send(server: ProviderServer, provider: str, *, timeout: float = 5, **url: Any) -> Receipt:
    route = secrets.encrypt(server.url(provider, **url))
    with delivery.offer("support@acme.test", TO, route=route, timeout=timeout) as handover:
        return handover.data(letter())


@EVERY
def test_the_bytes_and_the_recipients_are_the_approved_ones(server: ProviderServer, provider: str) -> None:
    receipt = send(server, provider)
    assert server.messages == [(list(TO), letter())]
    assert receipt.reply.startswith("200 taken as ")
    assert receipt.steps[-1][0].startswith("POST http://127.0.0.1")


@EVERY
def test_a_provider_is_told_to_leave_links_and_opens_alone(server: ProviderServer, provider: str) -> None:
    send(server, provider)
    expected: dict[str, dict[str, Any]] = {
        "mailgun": {"o:tracking": "no"},
        "sparkpost": {"open_tracking": False, "click_tracking": False, "return_path": "support@acme.test"},
        "postal": {"mail_from": "support@acme.test"},
        "ses": {"sender": "support@acme.test"},
    }
    assert expected[provider].items() <= server.options[0].items()


@EVERY
def test_a_wrong_key_is_a_refusal_that_holds_no_key(server: ProviderServer, provider: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        send(server, provider, secret="wr0ng-s3cret")
    assert not caught.value.unknown
    assert "wr0ng" not in f"{caught.value.message} {caught.value.steps}"
    assert not server.messages


@EVERY
@pytest.mark.parametrize(
    "answer", [DROP, STALL, (500, "oops"), (502, ""), (504, "<html>"), (200, "nonsense")]
)
def test_what_was_handed_over_and_not_answered_is_unknown(
    server: ProviderServer, provider: str, answer: Any
) -> None:
    server.answer = answer
    with pytest.raises(DeliveryError) as caught:
        send(server, provider, timeout=0.3)
    assert (caught.value.unknown, caught.value.permanent) == (True, False)


@EVERY
@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        ((400, {"message": "bad"}), True),
        ((413, "too large"), True),
        ((422, "no"), True),
        ((401, "who"), False),
        ((429, "slower"), False),
        ((503, "later"), False),
        ((302, ""), False),
    ],
)
def test_an_answer_that_says_no_is_surely_not_sent(
    server: ProviderServer, provider: str, answer: Any, permanent: bool
) -> None:
    server.answer = answer
    with pytest.raises(DeliveryError) as caught:
        send(server, provider)
    assert (caught.value.unknown, caught.value.permanent) == (False, permanent)
    assert len(server.paths) == 1


@EVERY
def test_a_server_that_is_not_there_gets_it_later(provider: str) -> None:
    gone = ProviderServer(port=free_port())
    with pytest.raises(DeliveryError) as caught:
        send(gone, provider)
    assert (caught.value.unknown, caught.value.permanent) == (False, False)


@pytest.mark.parametrize(
    ("accepted", "rejected", "unknown"), [(0, 3, False), (2, 1, True), (2, 0, True), (None, None, True)]
)
def test_sparkpost_may_take_it_for_some_only(
    server: ProviderServer, accepted: int | None, rejected: int | None, unknown: bool
) -> None:
    counts = {"total_accepted_recipients": accepted, "total_rejected_recipients": rejected, "id": "1"}
    server.answer = (200, {"results": counts})
    with pytest.raises(DeliveryError) as caught:
        send(server, "sparkpost")
    assert (caught.value.unknown, caught.value.permanent) == (unknown, not unknown)


@pytest.mark.parametrize(
    ("answer", "unknown"),
    [
        ({"status": "parameter-error", "data": {"message": "no recipients"}}, False),
        ({"status": "success", "data": {"messages": {TO[0]: {}}}}, True),
        ({"status": "success"}, True),
        ({"status": "?"}, True),
    ],
)
def test_postal_says_in_its_body_what_became_of_it(
    server: ProviderServer, answer: Any, unknown: bool
) -> None:
    server.answer = (200, answer)
    with pytest.raises(DeliveryError) as caught:
        send(server, "postal")
    assert (caught.value.unknown, caught.value.permanent) == (unknown, not unknown)


def test_the_signature_is_amazons_own_example_in_form(server: ProviderServer) -> None:
    assert send(server, "ses").reply == "200 taken as 0102018d-amazon-000000"
    region = routes.parse("ses://a:b@email.us-east-2.amazonaws.com")
    assert region.base == "https://email.us-east-2.amazonaws.com"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "url",
    [
        "mailgun://:key@api.mailgun.net",
        "mailgun://api.mailgun.net/acme.test",
        "sparkpost://api.sparkpost.com",
        "ses://a:b@example.com",
        "ses://:b@email.eu-west-1.amazonaws.com",
        "postal://:k\x00@host",
        "postal://:k@host?other=1",
        "postal://:k@host:99999",
        "postal://:k@[::1",
        "http://:k@host",
        "smtp://",
    ],
)
def test_what_is_no_way_out_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        routes.parse(url)
    assert "must look like" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtp://u%40x:p@mail.test", "SMTP, mail.test:587 as u@x (STARTTLS when offered)"),
        ("smtps://mail.test", "SMTP, mail.test:465 (TLS)"),
        ("smtp://mail.test?tls=required", "SMTP, mail.test:25 (STARTTLS required)"),
        ("mailgun://:s3cret@api.eu.mailgun.net/acme.test", "mailgun, api.eu.mailgun.net/acme.test"),
        ("ses://AKIA:s3cret@email.eu-west-1.amazonaws.com", "ses, email.eu-west-1.amazonaws.com"),
        ("", ""),
    ],
)
def test_a_way_is_shown_without_what_signs_in(url: str, shown: str) -> None:
    assert routes.shown(url) == shown
    assert "s3cret" not in repr(routes.parse(url)) if url else True


def test_a_route_that_nobody_can_read_any_more_is_no_reason_to_give_up(db: None) -> None:
    with (
        pytest.raises(DeliveryError, match="SECRET_KEY") as caught,
        delivery.offer("support@acme.test", TO, route="not encrypted by us"),
    ):
        pass
    assert (caught.value.permanent, caught.value.unknown) == (False, False)
