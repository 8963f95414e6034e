"""Mail that a provider received and posts comes in as by SMTP: whole, once, and by its secret only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from approvals import tasks
from mailboxes.models import Email, Mailbox, RawMessage
from tests import factories

pytestmark = pytest.mark.django_db

# with octets that no decoding would leave as they are
RAW = b"From: anna@far.test\r\nSubject: Hello\r\nMessage-ID: <1@far.test>\r\n\r\nGr\xfc\xdfe \x80\r\n--x\r\n"
TEXT = "From: anna@far.test\r\nSubject: Hello\r\nMessage-ID: <1@far.test>\r\n\r\nGrüße\r\n"
TO = "support@acme.test"
BASIC = {"Authorization": "Basic " + base64.b64encode(b"hook:secret").decode()}
FORM = "multipart/form-data; boundary=edge"


@pytest.fixture(autouse=True)
def _heard(settings: Settings) -> None:
    settings.MAIL_HOOKS = dict.fromkeys(("mailgun", "postmark", "sendgrid", "sparkpost"), "hook:secret")


def post(provider: str, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> Any:
    return Client(headers=BASIC if headers is None else headers).generic(
        "POST", f"/hooks/mail/{provider}/inbound", body, content_type=content_type
    )


def form(**fields: bytes | str) -> bytes:
    parts = (
        b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.replace("_", "-").encode(), value.encode() if isinstance(value, str) else value)
        for name, value in fields.items()
    )
    return b"".join(parts) + b"--edge--\r\n"


def as_json(told: Any) -> tuple[bytes, str]:
    return json.dumps(told).encode(), "application/json"


POSTS = {
    "mailgun": (form(sender="b@far.test", recipient=TO, body_mime=RAW), FORM, RAW),
    "mailgun by urlencoded form": (
        urlencode({"sender": "b@far.test", "recipient": TO, "body-mime": RAW}).encode(),
        "application/x-www-form-urlencoded",
        RAW,
    ),
    "sendgrid": (form(envelope=json.dumps({"from": "b@far.test", "to": [TO]}), email=RAW), FORM, RAW),
    "postmark": (
        *as_json(
            {
                "OriginalRecipient": TO,
                "Headers": [{"Name": "Return-Path", "Value": "<b@far.test>"}],
                "RawEmail": TEXT,
            }
        ),
        TEXT.encode(),
    ),
    "sparkpost": (
        *as_json(
            [
                {
                    "msys": {
                        "relay_message": {
                            "msg_from": "b@far.test",
                            "rcpt_to": TO,
                            "content": {
                                "email_rfc822": base64.b64encode(RAW).decode(),
                                "email_rfc822_is_base64": True,
                            },
                        }
                    }
                }
            ]
        ),
        RAW,
    ),
}


@pytest.mark.parametrize("name", POSTS)
def test_the_bytes_are_kept_before_the_answer_and_once(mailbox: Mailbox, name: str) -> None:
    body, content_type, data = POSTS[name]
    for _ in range(2):
        assert post(name.partition(" ")[0], body, content_type).json() == {"received": True, "mailboxes": 1}
    raw = RawMessage.objects.get()
    assert (bytes(raw.data), raw.envelope_from, raw.mailbox, raw.source) == (
        data,
        "b@far.test",
        mailbox,
        "webhook",
    )
    tasks.receive()
    email = Email.objects.get()
    assert (email.subject, email.from_address, email.kind) == ("Hello", "anna@far.test", "normal")


def test_what_the_provider_took_apart_is_put_together(mailbox: Mailbox) -> None:
    told = {
        "OriginalRecipient": "support+x@acme.test",
        "FromFull": {"Email": "anna@far.test", "Name": "Änna"},
        "ToFull": [{"Email": TO, "Name": ""}],
        "Subject": "Grüße",
        "TextBody": "Hallo",
        "Headers": [
            {"Name": "Message-ID", "Value": "<1@far.test>"},
            {"Name": "Auto-Submitted", "Value": "auto-replied"},
        ],
        "Attachments": [{"Name": "a.txt", "Content": "aGk=", "ContentType": "text/plain"}],
    }
    assert post("postmark", *as_json(told)).status_code == 200
    tasks.receive()
    email = Email.objects.get()
    assert (email.from_name, email.subject, email.text.strip()) == ("Änna", "Grüße", "Hallo")
    assert [one["name"] for one in email.attachments] == ["a.txt"]
    assert email.kind == "auto_reply"


def test_what_cannot_be_put_together_is_kept_as_it_was_posted(mailbox: Mailbox) -> None:
    body, content_type = as_json({"OriginalRecipient": TO, "Headers": [], "Attachments": [{"Name": "x"}]})
    assert post("postmark", body, content_type).status_code == 200
    tasks.receive()
    email = Email.objects.get()
    assert email.subject == "A mail that could not be put together"
    assert email.attachments[0]["size"] == len(body)


def test_the_null_sender_is_a_bounce(mailbox: Mailbox) -> None:
    post("sendgrid", form(envelope=json.dumps({"from": "", "to": [TO]}), email=RAW), FORM)
    tasks.receive()
    assert Email.objects.get().kind == "bounce"


def test_mailgun_may_sign_instead(mailbox: Mailbox, settings: Settings) -> None:
    settings.MAIL_HOOKS = {"mailgun": "key"}
    at = str(int(timezone.now().timestamp()))
    signature = hmac.new(b"key", f"{at}token".encode(), hashlib.sha256).hexdigest()

    def signed(signature: str, at: str = at) -> int:
        fields = {"timestamp": at, "token": "token", "signature": signature}
        body = form(**fields, sender="b@far.test", recipient=TO, body_mime=RAW)
        return int(post("mailgun", body, FORM, {}).status_code)

    assert signed(signature) == 200
    assert signed(signature[::-1]) == 401
    assert signed(signature, "1") == 401


@pytest.mark.parametrize(
    ("provider", "body", "headers", "status"),
    [
        ("mailgun", form(sender="a", recipient=TO, body_mime=RAW), {}, 401),
        ("mailgun", form(sender="a", recipient="nobody@acme.test", body_mime=RAW), BASIC, 404),
        ("mailgun", form(recipient=TO, body_mime=RAW), BASIC, 400),
        ("mailgun", b"\xff\x00--edge", BASIC, 400),
        ("postmark", b"[" * 100_000, BASIC, 400),
        ("sparkpost", b'[{"msys": 5}]', BASIC, 400),
        ("resend", b"{}", BASIC, 404),
        ("pigeon", b"{}", BASIC, 404),
    ],
)
def test_what_is_not_expected_is_refused_and_not_kept(
    mailbox: Mailbox, provider: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert post(provider, body, FORM, headers).status_code == status
    assert not RawMessage.objects.exists()


def test_it_comes_to_each_of_our_mailboxes_that_it_names(mailbox: Mailbox) -> None:
    factories.a_mailbox("sales@acme.test")
    envelope = json.dumps({"from": "b@far.test", "to": [TO, "sales@acme.test", "nobody@acme.test"]})
    assert post("sendgrid", form(envelope=envelope, email=RAW), FORM).json()["mailboxes"] == 2
    assert RawMessage.objects.count() == 2
