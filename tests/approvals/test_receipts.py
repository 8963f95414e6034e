"""What became of mail is kept on it once, told, and heeded; and nobody can make it up."""

from __future__ import annotations

import json
import smtplib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from approvals import actions, effects, gate, outbox, tasks, wire
from approvals.actions.receipts import record_report
from approvals.actions.transitions import current
from approvals.models import OutboundMessage, OutboxEntry, User, WebhookDelivery, WebhookEndpoint
from approvals.states import Status
from assistants.models import ApiKey, Assistant
from audit import secrets
from audit.models import Event
from config.receiving.server import MailServer
from mailboxes.models import DeliveryReceipt, Email, Mailbox, Suppression
from mailboxes.receipts import Report
from tests import factories
from tests.approvals import living
from tests.mailboxes import reports
from tests.mailboxes.provider_server import DROP, ProviderServer
from tests.servers import RecordingServer

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ANNA, BEN = "anna@example.com", "ben@example.com"


def sent(api_key: ApiKey, mailbox: Mailbox, reviewer: User, *to: str) -> OutboundMessage:
    message = living.a_held_message(api_key, mailbox, to=to or (ANNA,))
    living.approved(message, reviewer)
    tasks.deliver()
    return current(message)


@pytest.fixture
def message(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> OutboundMessage:
    return sent(api_key, mailbox, reviewer)


@pytest.fixture
def endpoint(db: None) -> WebhookEndpoint:
    events = ["message.sent", "message.delivered", "message.bounced", "message.complained"]
    return WebhookEndpoint.objects.create(
        url="https://hooks.example/", events=events, secret_encrypted=secrets.encrypt("whsec_x")
    )


def bounce(message: OutboundMessage, recipient: str = ANNA, **fields: object) -> Report:
    known = Report(
        "bounced", recipient, "hard", "5.1.1", "550 no such user", reference="1",
        message_ids=(message.email.message_id,),
    )  # fmt: skip
    return replace(known, **fields)  # type: ignore[arg-type]


def arrives(mailbox: Mailbox, data: bytes, envelope_from: str = "") -> Email:
    raw = gate.receive(mailbox, envelope_from, mailbox.address, data)
    outbox.drain({OutboxEntry.Kind.RECEIVE_EMAIL: effects.receive_email})
    return Email.objects.get(raw=raw)


def shown(message: OutboundMessage) -> wire.EmailObject:
    return wire.email_object(wire.with_story(Email.objects.filter(pk=message.pk)).get())


def test_a_bounce_that_comes_as_mail_is_told_at_the_message(
    message: OutboundMessage, endpoint: WebhookEndpoint, mailbox: Mailbox
) -> None:
    arrives(mailbox, reports.dsn(message_id=message.email.message_id))
    [receipt] = DeliveryReceipt.objects.all()
    assert (receipt.email, receipt.recipient, receipt.source) == (message.email, ANNA, "dsn")
    told = shown(message)
    assert (told["bounced_at"], told["bounce_type"]) == ("2026-11-28T10:01:02.000Z", "hard")
    assert told["delivered_at"] is None
    assert told["status"] == "sent"
    posted = json.loads(WebhookDelivery.objects.get(event_type="message.bounced").body)
    assert (posted["email_id"], posted["recipient"], posted["bounce_type"]) == (message.pk, ANNA, "hard")
    event = Event.objects.get(action="message.bounced")
    assert (event.email_id, event.actor) == (message.pk, "system:receipts")


def test_the_bounce_itself_stays_mail(message: OutboundMessage, mailbox: Mailbox) -> None:
    email = arrives(mailbox, reports.dsn(message_id=message.email.message_id))
    assert email.subject == "Undelivered Mail Returned to Sender"


def test_a_report_on_mail_that_we_do_not_know_is_just_mail(
    message: OutboundMessage, mailbox: Mailbox
) -> None:
    assert arrives(mailbox, reports.dsn(message_id="<unknown@acme.test>")).is_inbound
    assert not DeliveryReceipt.objects.exists()
    assert not Suppression.objects.exists()


def test_a_report_is_about_mail_of_the_mailbox_that_it_came_to(message: OutboundMessage) -> None:
    other = factories.a_mailbox("sales@acme.test")
    arrives(other, reports.dsn(message_id=message.email.message_id, to=other.address))
    assert not DeliveryReceipt.objects.exists()


def test_a_report_finds_its_message_by_the_id_of_the_envelope(
    message: OutboundMessage, mailbox: Mailbox
) -> None:
    data = reports.dsn(fields=f"Original-Envelope-Id: {message.pk}", message_id="<other@x.test>")
    arrives(mailbox, data)
    assert DeliveryReceipt.objects.get().email == message.email


def test_the_same_report_twice_is_one_receipt(
    message: OutboundMessage, endpoint: WebhookEndpoint, mailbox: Mailbox
) -> None:
    for _ in range(2):
        arrives(mailbox, reports.dsn(message_id=message.email.message_id))
        record_report(bounce(message), "mailgun")
    assert [one.source for one in DeliveryReceipt.objects.order_by("pk")] == ["dsn", "mailgun"]
    assert WebhookDelivery.objects.filter(event_type="message.bounced").count() == 1
    assert Event.objects.filter(action="suppression.added").count() == 1


def test_a_hard_bounce_and_a_complaint_suppress_the_address(message: OutboundMessage) -> None:
    record_report(bounce(message), "mailgun")
    assert Suppression.objects.get().reason == "bounced: 550 no such user"
    Suppression.objects.all().delete()
    record_report(bounce(message, kind="complained", bounce_type=""), "mailgun")
    assert Suppression.objects.get().address == ANNA


def test_a_suppressed_address_gets_nothing_more(
    message: OutboundMessage, api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    record_report(bounce(message), "mailgun")
    assert sent(api_key, mailbox, reviewer).status == Status.FAILED
    assert len(smtp_server.messages) == 1


@pytest.mark.parametrize("kind", ["delivered", "delayed", "bounced"])
def test_nothing_else_suppresses(message: OutboundMessage, kind: str) -> None:
    soft = "soft" if kind == "bounced" else ""
    assert record_report(bounce(message, kind=kind, bounce_type=soft), "mailgun")
    assert not Suppression.objects.exists()


def test_a_delivery_is_shown_and_told(message: OutboundMessage, endpoint: WebhookEndpoint) -> None:
    at = timezone.now() - timedelta(minutes=5)
    record_report(bounce(message, kind="delivered", bounce_type="", at=at), "mailgun")
    assert shown(message)["delivered_at"] == wire.moment(at)
    assert shown(message)["bounced_at"] is None
    assert WebhookDelivery.objects.filter(event_type="message.delivered").count() == 1


def test_a_clock_that_is_ahead_is_not_believed(message: OutboundMessage) -> None:
    record_report(bounce(message, at=timezone.now() + timedelta(days=900)), "mailgun")
    assert DeliveryReceipt.objects.get().at <= timezone.now()


def test_each_recipient_has_receipts_of_their_own(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    message = sent(api_key, mailbox, reviewer, ANNA, BEN)
    record_report(bounce(message, BEN, bounce_type="soft"), "mailgun")
    record_report(bounce(message, ANNA, kind="delivered", bounce_type=""), "mailgun")
    told = shown(message)
    assert told["bounce_type"] == "soft"
    assert told["delivered_at"]


def test_a_report_on_somebody_who_was_not_written_to_is_not_believed(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    message = sent(api_key, mailbox, reviewer, ANNA, BEN)
    assert record_report(bounce(message, "boss@example.com"), "mailgun") is None
    assert not Suppression.objects.exists()


def test_a_forward_that_bounces_counts_for_the_mail_and_not_against_the_address(
    message: OutboundMessage,
) -> None:
    receipt = record_report(bounce(message, "elsewhere@example.com"), "mailgun")
    assert receipt is not None
    assert receipt.recipient == ANNA
    assert not Suppression.objects.exists()


def test_mail_that_never_left_cannot_bounce(api_key: ApiKey, mailbox: Mailbox, reviewer: User) -> None:
    waiting = living.a_held_message(api_key, mailbox, to=(ANNA,))
    assert record_report(bounce(waiting), "mailgun") is None
    living.approved(waiting, reviewer)
    assert record_report(bounce(waiting), "mailgun") is None


def test_a_report_settles_what_was_in_doubt(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, administrator: User, endpoint: WebhookEndpoint
) -> None:
    with ProviderServer.running() as provider:
        actions.set_delivery(mailbox, provider.url("mailgun"), by=administrator)
        provider.answer = DROP
        message = sent(api_key, mailbox, reviewer)
    assert message.status == Status.NEEDS_ATTENTION
    record_report(bounce(message, kind="delivered", bounce_type=""), "mailgun")
    assert current(message).status == Status.SENT
    told = WebhookDelivery.objects.order_by("pk").values_list("event_type", flat=True)
    assert set(told) == {"message.sent", "message.delivered"}
    assert Event.objects.filter(action="message.settled", actor="system:receipts").exists()


def test_what_was_in_doubt_is_told_to_its_run_once_it_is_settled(
    assistant: Assistant, mailbox: Mailbox, reviewer: User, administrator: User
) -> None:
    call = json.dumps({"to": ANNA, "subject": "Order", "body": "Hello", "mailbox_id": mailbox.pk})
    run = living.a_waiting_run(assistant, mailbox, ("send_email", call))
    gate.dispatch_calls(run)
    message = OutboundMessage.objects.get()
    with ProviderServer.running() as provider:
        actions.set_delivery(mailbox, provider.url("mailgun"), by=administrator)
        provider.answer = DROP
        living.approved(message, reviewer)
        tasks.deliver()
    assert run.calls.get().output is None
    record_report(bounce(current(message), kind="delayed", bounce_type=""), "mailgun")
    assert json.loads(run.calls.get().output or "")["status"] == "sent"


def test_a_bounce_comes_back_over_smtp_from_nobody(
    transactional_db: None, api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    message = sent(api_key, mailbox, reviewer)
    server = MailServer("127.0.0.1", 0)
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", server.port, local_hostname="mx.test") as client:
            bounced = reports.dsn(message_id=message.email.message_id)
            client.sendmail("", [mailbox.address], bounced)
    finally:
        server.stop()
    tasks.receive()
    assert shown(message)["bounce_type"] == "hard"


def test_workers_that_read_the_same_report_at_once_keep_it_once(
    transactional_db: None, api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> None:
    message = sent(api_key, mailbox, reviewer)
    report = bounce(message)

    def read(_: int) -> bool:
        try:
            return record_report(report, "mailgun") is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(read, range(8))) == 1
    assert DeliveryReceipt.objects.count() == Suppression.objects.count() == 1
    assert Event.objects.filter(action="message.bounced").count() == 1
