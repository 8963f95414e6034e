"""A mail leaves for a real IMAP mailbox, is answered there, and the answer comes back: one conversation."""

from __future__ import annotations

import base64
import json
import smtplib
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.test import Client

from approvals import actions, gate, tasks
from approvals.effects import fetching
from approvals.models import User
from assistants.models import ApiKey
from config.receiving.server import MailServer
from mailboxes import proof
from mailboxes.envelope import Draft
from mailboxes.models import Email, ImapSource, Mailbox
from tests.imap_server import ImapServer
from tests.servers import RecordingServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def imap_server() -> Iterator[ImapServer]:
    with ImapServer.running() as server, server.client() as client:
        client.create("Customer")
        yield server


@pytest.fixture
def arrived(
    smtp_server: RecordingServer, imap_server: ImapServer, mailbox: Mailbox, api_key: ApiKey, reviewer: User
) -> bytes:
    """What the customer's IMAP mailbox holds after an assistant's mail was approved and sent."""
    draft = Draft(to=("anna@customer.test",), subject="Your order", markdown="It has **shipped**.")
    message = gate.send(draft, mailbox, by=api_key).message
    actions.approve(message, by=reviewer, digest=message.digest)
    tasks.deliver()
    ((_, recipients, data),) = smtp_server.messages
    assert recipients == ["anna@customer.test"]
    imap_server.deliver(b"Received: from relay.test by mx.customer.test\r\n" + data, "Customer")
    ((_, found),) = imap_server.messages("Customer")
    return found


def answer_to(data: bytes) -> bytes:
    """As a mail program answers."""
    original = message_from_bytes(data)
    answer = EmailMessage()
    answer["From"], answer["To"] = "Anna <anna@customer.test>", original["From"]
    answer["Subject"], answer["Message-ID"] = "Re: Your order", "<answer-1@customer.test>"
    answer["In-Reply-To"] = answer["References"] = original["Message-ID"]
    answer.set_content("Thank you!\n\n> It has shipped.\n")
    return answer.as_bytes().replace(b"\n", b"\r\n")


def story() -> list[tuple[str, str]]:
    assert Email.objects.values("conversation").distinct().count() == 1
    return list(Email.objects.order_by("pk").values_list("direction", "subject"))


ROUND = [("outbound", "Your order"), ("inbound", "Re: Your order")]


def test_the_answer_by_smtp_joins_the_conversation(arrived: bytes, mailbox: Mailbox) -> None:
    server = MailServer("127.0.0.1", 0)
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", server.port, local_hostname="customer.test") as client:
            client.sendmail("anna@customer.test", [mailbox.address], answer_to(arrived))
    finally:
        server.stop()
    tasks.receive()
    assert story() == ROUND
    assert Email.objects.inbound().get().kind == "normal"


def test_the_answer_by_imap_joins_the_conversation(
    arrived: bytes, mailbox: Mailbox, imap_server: ImapServer, administrator: User
) -> None:
    actions.set_imap(mailbox, imap_server.url, by=administrator)

    def fetch() -> int:
        return fetching.fetch(ImapSource.objects.select_related("mailbox").get())

    fetch()
    imap_server.deliver(b"Return-Path: <anna@customer.test>\r\n" + answer_to(arrived))
    assert fetch() == 1
    tasks.receive()
    assert story() == ROUND
    assert Email.objects.inbound().get().kind == "normal"


def test_the_same_mail_that_comes_back_is_known_as_our_own(
    arrived: bytes, mailbox: Mailbox, imap_server: ImapServer, administrator: User
) -> None:
    actions.set_imap(mailbox, imap_server.url, takes_existing=True, by=administrator)
    imap_server.deliver(arrived)
    fetching.fetch(ImapSource.objects.select_related("mailbox").get())
    tasks.receive()
    assert Email.objects.inbound().get().kind == "own"


def claims_of(data: bytes, key: bytes) -> dict[str, object]:
    """The few lines that a recipient writes."""
    header = "".join(message_from_bytes(data)["X-MultiMail-Identity"].split())
    payload, signature = header.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = load_pem_public_key(key)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(der, payload.encode(), ec.ECDSA(SHA256()))
    return dict(json.loads(base64.urlsafe_b64decode(payload + "==")))


def test_what_arrived_proves_where_it_came_from_and_another_message_does_not(
    arrived: bytes, client: Client
) -> None:
    key = client.get("/.well-known/multimail-signing-key").json()["public_key"].encode()
    claims = claims_of(arrived, key)
    assert claims["message_id"] == message_from_bytes(arrived)["Message-ID"]
    assert claims["approved"] is True
    assert proof.examine(arrived).is_proved
    assert not proof.examine(arrived.replace(b"shipped", b"been lost")).is_proved
    header = next(line for line in arrived.split(b"\r\n") if line.startswith(b"X-MultiMail-Identity"))
    with pytest.raises((InvalidSignature, ValueError)):
        claims_of(arrived.replace(header, header[:40] + bytes([header[40] ^ 1]) + header[41:]), key)
