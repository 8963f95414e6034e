"""What mail providers post is let in by their secret only, kept once, and read into receipts."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from approvals import tasks
from approvals.actions.transitions import current
from approvals.effects import reporting
from approvals.models import OutboundMessage, OutboxEntry, User
from assistants.models import ApiKey
from mailboxes.models import DeliveryReceipt, Mailbox, MailHook, Suppression
from tests.approvals import living
from tests.mailboxes import provider_posts as posts
from tests.receiver import Receiver
from tests.servers import RecordingServer

pytestmark = pytest.mark.django_db

BASIC = {"Authorization": "Basic " + base64.b64encode(b"hooks:s3cret").decode()}
BY_PASSWORD = "hooks:s3cret"
KEY = "key-mailgun"


@pytest.fixture
def message(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> OutboundMessage:
    message = living.a_held_message(api_key, mailbox, to=(posts.ANNA,))
    living.approved(message, reviewer)
    tasks.deliver()
    return current(message)


def post(provider: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    address = f"/hooks/mail/{provider}/tracking"
    return Client().post(address, data, content_type="application/json", headers=headers or {})


def only() -> DeliveryReceipt:
    tasks.drain()
    return DeliveryReceipt.objects.get()


def test_a_signed_bounce_becomes_a_receipt(message: OutboundMessage, settings: Settings) -> None:
    settings.MAIL_HOOKS = {"mailgun": KEY}
    body = posts.signed_by_mailgun(posts.mailgun(message_id=message.email.message_id), KEY)
    assert post("mailgun", body).status_code == 200
    receipt = only()
    assert (receipt.email, receipt.kind, receipt.bounce_type) == (message.email, "bounced", "hard")
    assert (receipt.source, receipt.status, receipt.recipient) == ("mailgun", "5.1.1", posts.ANNA)
    assert Suppression.objects.get().address == posts.ANNA


def test_a_repeat_of_a_post_does_nothing(message: OutboundMessage, settings: Settings) -> None:
    settings.MAIL_HOOKS = {"mailgun": KEY}
    body = posts.signed_by_mailgun(posts.mailgun(message_id=message.email.message_id), KEY)
    for _ in range(3):
        assert post("mailgun", body).status_code == 200
    assert only()
    assert MailHook.objects.count() == 1
    assert OutboxEntry.objects.filter(kind="read_mail_hook").count() == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("delivered", ("delivered", "")),
        ("complained", ("complained", "")),
        ("failed", ("bounced", "hard")),
    ],
)
def test_each_kind_of_event_is_kept_as_what_it_is(
    message: OutboundMessage, settings: Settings, kind: str, expected: tuple[str, str]
) -> None:
    settings.MAIL_HOOKS = {"mailgun": BY_PASSWORD}
    post("mailgun", posts.mailgun(kind, message_id=message.email.message_id), BASIC)
    receipt = only()
    assert (receipt.kind, receipt.bounce_type) == expected


def test_what_passes_is_a_delay_and_opens_are_nobodys_business(
    message: OutboundMessage, settings: Settings
) -> None:
    settings.MAIL_HOOKS = {"mailgun": BY_PASSWORD}
    post("mailgun", posts.mailgun("opened", message_id=message.email.message_id), BASIC)
    post("mailgun", posts.mailgun(severity="temporary", message_id=message.email.message_id), BASIC)
    assert only().kind == "delayed"


@pytest.mark.parametrize(
    ("provider", "made"),
    [
        ("sendgrid", posts.sendgrid),
        ("ses", posts.ses),
    ],
)
def test_providers_that_know_our_message_id(
    message: OutboundMessage, settings: Settings, provider: str, made: Any
) -> None:
    settings.MAIL_HOOKS = {provider: BY_PASSWORD}
    assert post(provider, made(message_id=message.email.message_id), BASIC).status_code == 200
    receipt = only()
    assert (receipt.kind, receipt.bounce_type, receipt.email) == ("bounced", "hard", message.email)


@pytest.mark.parametrize(
    ("provider", "made", "handle"),
    [
        ("postmark", posts.postmark(), "883953f4-6105-42a2-a16a-77a8eac79483"),
        ("sparkpost", posts.sparkpost(), "65832150921904138"),
        ("resend", posts.resend(), "56761188-7520-42d8-8898-ff6fc54ce618"),
        ("sendgrid", posts.sendgrid(message_id=""), "14c5d75ce93"),
        ("ses", posts.ses(message_id=""), "0102018d-own-name-of-amazon-000000"),
    ],
)
def test_providers_that_know_only_the_name_that_they_gave_it(
    message: OutboundMessage, settings: Settings, provider: str, made: Any, handle: str
) -> None:
    settings.MAIL_HOOKS = {provider: BY_PASSWORD}
    delivery = message.delivery | {"reply": f"250 Ok: queued as {handle}"}
    OutboundMessage.objects.filter(pk=message.pk).update(delivery=delivery)
    assert post(provider, made, BASIC).status_code == 200
    receipt = only()
    assert (receipt.kind, receipt.bounce_type, receipt.email) == ("bounced", "hard", message.email)


@pytest.mark.parametrize(
    ("provider", "made"),
    [
        ("postmark", posts.postmark(Type="SoftBounce")),
        ("sparkpost", posts.sparkpost(bounce_class="22", raw_reason="552 full")),
        ("sendgrid", posts.sendgrid(type="blocked", message_id="<1@acme.test>")),
        ("ses", posts.ses(bounce={"bounceType": "Transient", "bounceSubType": "General",
                                  "bouncedRecipients": [{"emailAddress": posts.ANNA}]})),
        ("mailgun", posts.mailgun(reason="espblock")),
    ],
)  # fmt: skip
def test_a_bounce_that_is_not_the_address_fault_is_soft(
    message: OutboundMessage, settings: Settings, provider: str, made: Any
) -> None:
    settings.MAIL_HOOKS = {provider: BY_PASSWORD}
    known = "883953f4-6105-42a2-a16a-77a8eac79483 65832150921904138"
    OutboundMessage.objects.filter(pk=message.pk).update(delivery={"reply": known})
    type(message.email).objects.filter(pk=message.pk).update(message_id=posts.ID)
    assert post(provider, made, BASIC).status_code == 200
    assert only().bounce_type == "soft"
    assert not Suppression.objects.exists()


def test_a_provider_without_a_secret_is_not_heard(db: None, settings: Settings) -> None:
    settings.MAIL_HOOKS = {"postmark": BY_PASSWORD, "nobody": BY_PASSWORD}
    assert post("mailgun", posts.mailgun(), BASIC).status_code == 404
    assert post("nobody", posts.mailgun(), BASIC).status_code == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="}])
def test_a_wrong_password_is_refused_and_asked_for(
    db: None, settings: Settings, headers: dict[str, str]
) -> None:
    settings.MAIL_HOOKS = {"ses": BY_PASSWORD}
    answer = post("ses", posts.ses(), headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert not MailHook.objects.exists()


def test_a_wrong_or_old_signature_is_refused(db: None, settings: Settings) -> None:
    settings.MAIL_HOOKS = {"mailgun": KEY}
    old = time.time() - 3600
    for body in (
        posts.signed_by_mailgun(posts.mailgun(), "other"),
        posts.signed_by_mailgun(posts.mailgun(), KEY, at=old),
        json.dumps(posts.mailgun()).encode(),
        b'{"signature": []}',
        b"[" * 5000,
    ):
        assert post("mailgun", body).status_code == 401
    assert not MailHook.objects.exists()


def test_sendgrid_signs_with_a_key_pair(db: None, settings: Settings) -> None:
    key, other = posts.SendGridKey(), posts.SendGridKey()
    settings.MAIL_HOOKS = {"sendgrid": key.setting}
    body = json.dumps(posts.sendgrid()).encode()
    assert post("sendgrid", body, key.headers(body)).status_code == 200
    assert post("sendgrid", body, other.headers(body)).status_code == 401
    assert post("sendgrid", body + b" ", key.headers(body)).status_code == 401
    assert post("sendgrid", body, key.headers(body, at=1)).status_code == 401
    assert post("sendgrid", body).status_code == 401


def test_resend_signs_as_svix_does(db: None, settings: Settings) -> None:
    key = "whsec_" + base64.b64encode(b"k" * 24).decode()
    settings.MAIL_HOOKS = {"resend": key}
    body = json.dumps(posts.resend()).encode()
    headers = posts.svix_headers(key, body)
    assert post("resend", body, headers).status_code == 200
    assert post("resend", body, headers | {"svix-id": "msg_2"}).status_code == 401
    assert post("resend", body, posts.svix_headers(key, body, at=1)).status_code == 401


def test_a_provider_that_does_not_sign_is_not_let_in_by_a_key(db: None, settings: Settings) -> None:
    settings.MAIL_HOOKS = {"postmark": "no-colon"}
    assert post("postmark", posts.postmark()).status_code == 401


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'"x"', b"\xff"])
def test_what_is_no_event_is_refused(db: None, settings: Settings, body: bytes) -> None:
    settings.MAIL_HOOKS = {"mailgun": BY_PASSWORD, "ses": BY_PASSWORD}
    for provider in ("mailgun", "ses"):
        assert post(provider, body, BASIC).status_code == 400


def test_a_post_that_is_too_large_is_refused(db: None, settings: Settings) -> None:
    settings.MAIL_HOOKS = {"mailgun": BY_PASSWORD}
    assert post("mailgun", b" " * 2_000_001, BASIC).status_code == 413


def test_a_subscription_is_confirmed_at_amazons_hosts_only(
    db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAIL_HOOKS = {"ses": BY_PASSWORD}
    with Receiver.running() as receiver:
        asked = {"Type": "SubscriptionConfirmation", "Message": "Visit it", "SubscribeURL": receiver.url}
        assert post("ses", asked, BASIC).status_code == 200
        tasks.drain()
        assert receiver.posts == []
        monkeypatch.setattr(reporting, "SNS", re.compile(r"http://127\.0\.0\.1:\d+"))
        assert post("ses", asked | {"MessageId": "2"}, BASIC).status_code == 200
        tasks.drain()
    assert len(receiver.posts) == 1


def test_old_posts_are_forgotten_and_receipts_stay(message: OutboundMessage, settings: Settings) -> None:
    settings.MAIL_HOOKS = {"mailgun": BY_PASSWORD}
    post("mailgun", posts.mailgun(message_id=message.email.message_id), BASIC)
    assert only()
    MailHook.objects.update(received_at=timezone.now() - timedelta(days=8))
    tasks.forget()
    assert not MailHook.objects.exists()
    assert DeliveryReceipt.objects.exists()
