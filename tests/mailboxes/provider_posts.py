"""What mail providers post, as each documents it; about `message_id` and to `recipient`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ID, ANNA = "<1@acme.test>", "anna@example.com"


def mailgun(
    event: str = "failed", message_id: str = ID, recipient: str = ANNA, **data: Any
) -> dict[str, Any]:
    delivery = {"code": 550, "message": "550 5.1.1 no such user", "description": ""}
    return {
        "event-data": {
            "event": event,
            "id": "G9Bn5sl1TC6nu79C8C0bwg",
            "timestamp": time.time(),
            "severity": "permanent",
            "reason": "bounce",
            "recipient": recipient,
            "message": {"headers": {"message-id": message_id.strip("<>"), "from": "support@acme.test"}},
            "delivery-status": delivery,
            **data,
        }
    }


def signed_by_mailgun(post: dict[str, Any], key: str, token: str = "t" * 50, at: float = 0) -> bytes:
    timestamp = str(int(at or time.time()))
    signature = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    return json.dumps(
        {"signature": {"timestamp": timestamp, "token": token, "signature": signature}, **post}
    ).encode()


def postmark(record: str = "Bounce", handle: str = "", recipient: str = ANNA, **data: Any) -> dict[str, Any]:
    return {
        "RecordType": record,
        "ID": 4323372036854775807,
        "Type": "HardBounce",
        "MessageID": handle or "883953f4-6105-42a2-a16a-77a8eac79483",
        "Details": "smtp;550 5.1.1 The email account that you tried to reach does not exist.",
        "Email": recipient,
        "BouncedAt": "2026-11-27T10:00:00Z",
        **data,
    }


def sendgrid(event: str = "bounce", message_id: str = ID, recipient: str = ANNA, **data: Any) -> list[Any]:
    return [
        {
            "email": recipient,
            "timestamp": int(time.time()),
            "smtp-id": message_id,
            "event": event,
            "type": "bounce",
            "sg_event_id": "ZGVsaXZlcmVkLTAtMTk4NTQxOTUtTVFQbTNPT0xTQ09aVWQ0bkE5OXlWZy0w",
            "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
            "reason": "550 5.1.1 unknown recipient",
            "status": "5.1.1",
            **data,
        }
    ]


def sparkpost(kind: str = "bounce", handle: str = "", recipient: str = ANNA, **data: Any) -> list[Any]:
    event = {
        "type": kind,
        "bounce_class": "10",
        "event_id": "92356927693813856",
        "transmission_id": handle or "65832150921904138",
        "raw_rcpt_to": recipient,
        "rcpt_to": recipient,
        "raw_reason": "550 5.1.1 unknown",
        "reason": "550 5.1.1 unknown",
        "timestamp": str(int(time.time())),
        **data,
    }
    return [{"msys": {"message_event": event}}]


def ses(kind: str = "Bounce", message_id: str = ID, recipient: str = ANNA, **data: Any) -> dict[str, Any]:
    event = {
        "eventType": kind,
        "mail": {
            "messageId": "0102018d-own-name-of-amazon-000000",
            "destination": [recipient],
            "headers": [{"name": "Message-ID", "value": message_id}],
        },
        "bounce": {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [{"emailAddress": recipient, "diagnosticCode": "smtp; 550 5.1.1 unknown"}],
        },
        "complaint": {"complainedRecipients": [{"emailAddress": recipient}]},
        "delivery": {"recipients": [recipient], "smtpResponse": "250 ok"},
    } | data
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic",
        "Timestamp": "2026-11-27T10:00:00.000Z",
        "Message": json.dumps(event),
    }


def resend(kind: str = "email.bounced", recipient: str = ANNA, **data: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "created_at": "2026-11-27T10:00:00.000Z",
        "data": {
            "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
            "to": [recipient],
            "bounce": {"message": "… sent a hard bounce message …", "type": "Permanent"},
            **data,
        },
    }


def svix_headers(key: str, body: bytes, at: float = 0) -> dict[str, str]:
    timestamp = str(int(at or time.time()))
    secret = base64.b64decode(key.removeprefix("whsec_"))
    made = hmac.new(secret, f"msg_1.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1,AAAA v1," + base64.b64encode(made).decode()
    return {"svix-id": "msg_1", "svix-timestamp": timestamp, "svix-signature": signature}


class SendGridKey:
    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        public = self._private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.setting = base64.b64encode(public).decode()

    def headers(self, body: bytes, at: float = 0) -> dict[str, str]:
        timestamp = str(int(at or time.time()))
        signature = self._private.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        }
