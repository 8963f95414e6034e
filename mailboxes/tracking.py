"""What mail providers post about mail that they carry: checked, and read into reports by anymail.

anymail's views are used for what they know of each provider's events. Their own checks are not: they
take their secrets from other settings, and some need libraries that only these checks would use.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from importlib import import_module
from io import BytesIO
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from audit.log import storable
from mailboxes import receipts
from mailboxes.models import MailHook
from mailboxes.receipts import Report

LARGEST = 2_000_000  # bytes; some providers post a thousand events at once
FRESH = timedelta(minutes=5)
VIEWS = {
    "brevo": "brevo.BrevoTrackingWebhookView",
    "mailersend": "mailersend.MailerSendTrackingWebhookView",
    "mailgun": "mailgun.MailgunTrackingWebhookView",
    "mailjet": "mailjet.MailjetTrackingWebhookView",
    "mailtrap": "mailtrap.MailtrapTrackingWebhookView",
    "postmark": "postmark.PostmarkTrackingWebhookView",
    "resend": "resend.ResendTrackingWebhookView",
    "sendgrid": "sendgrid.SendGridTrackingWebhookView",
    "ses": "amazon_ses.AmazonSESTrackingWebhookView",
    "sparkpost": "sparkpost.SparkPostTrackingWebhookView",
}
KINDS = {
    "delivered": receipts.DELIVERED,
    "deferred": receipts.DELAYED,
    "bounced": receipts.BOUNCED,
    "rejected": receipts.BOUNCED,
    "failed": receipts.BOUNCED,
    "complained": receipts.COMPLAINED,
}
# what a provider calls a bounce that is not the address's fault, wherever in its event it says so
_SOFT = ("softbounce", "soft_bounce", "soft bounce", "transient", "undetermined", "blocked", "temporary")


class Unexpected(Exception):
    """Nothing is expected from this provider: MAIL_HOOKS does not name it."""


class Forged(Exception):
    """Not with the secret that MAIL_HOOKS has for the provider."""


class Malformed(Exception):
    """No event of this provider, whoever sent it."""


def check(provider: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raises Unexpected, or Forged unless the post carries the provider's secret or is signed with it."""
    secret = settings.MAIL_HOOKS.get(provider, "")
    if not secret or provider not in VIEWS:
        raise Unexpected("Nothing is expected from this provider.")
    if ":" in secret:
        return check_password(secret, headers)
    try:
        genuine = SIGNED[provider](secret, headers, body)
    except (KeyError, ValueError, TypeError, AttributeError, UnicodeError, RecursionError):
        genuine = False
    if not genuine:
        raise Forged("The signature is missing or wrong.")


def check_password(secret: str, headers: Mapping[str, str]) -> None:
    """`secret`: user:password, as it is sent along."""
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    wanted = base64.b64encode(secret.encode()).decode()
    if scheme.lower() != "basic" or not constant_time_compare(given.strip(), wanted):
        raise Forged("The user or password is missing or wrong.")


def _mailgun(key: str, _headers: Mapping[str, str], body: bytes) -> bool:
    signed = json.loads(body)["signature"]
    made = hmac.new(key.encode(), f"{signed['timestamp']}{signed['token']}".encode(), hashlib.sha256)
    return is_fresh(signed["timestamp"]) and constant_time_compare(signed["signature"], made.hexdigest())


def _sendgrid(key: str, headers: Mapping[str, str], body: bytes) -> bool:
    public = load_der_public_key(base64.b64decode(key))
    at = headers["X-Twilio-Email-Event-Webhook-Timestamp"]
    signature = base64.b64decode(headers["X-Twilio-Email-Event-Webhook-Signature"])
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    try:
        public.verify(signature, at.encode() + body, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return is_fresh(at)


def _resend(key: str, headers: Mapping[str, str], body: bytes) -> bool:
    at = headers["svix-timestamp"]
    signed = f"{headers['svix-id']}.{at}.".encode() + body
    made = hmac.new(base64.b64decode(key.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(made).decode()
    given = headers["svix-signature"].split()
    return is_fresh(at) and any(constant_time_compare(one, wanted) for one in given)


# providers that sign; a secret without a colon is their key
SIGNED: dict[str, Callable[[str, Mapping[str, str], bytes], bool]] = {
    "mailgun": _mailgun,
    "resend": _resend,
    "sendgrid": _sendgrid,
}


def is_fresh(timestamp: Any) -> bool:
    return abs(timezone.now().timestamp() - float(timestamp)) <= FRESH.total_seconds()


def hook(provider: str, headers: Mapping[str, str], body: bytes) -> MailHook:
    """The post as it would be kept, or Malformed."""
    reference = headers.get("svix-id", "")[:200]
    made = MailHook(
        provider=provider,
        content_type=storable(headers.get("Content-Type", ""))[:200],
        reference=storable(reference),
        body=body,
        digest=hashlib.sha256(reference.encode() + b"\n" + body).hexdigest(),
    )
    _events(made)
    return made


def subscription(kept: MailHook) -> str:
    """The address to visit so that Amazon SNS begins to post; "" unless that is what it asks for."""
    if kept.provider != "ses":
        return ""
    told = json.loads(bytes(kept.body))
    return str(told.get("SubscribeURL", "")) if told.get("Type") == "SubscriptionConfirmation" else ""


def reports(kept: MailHook) -> list[Report]:
    """What it says of the fate of mail; opens, clicks and the like are left out."""
    return [_report(event, kept) for event in _events(kept) if event.event_type in KINDS]


def _events(kept: MailHook) -> list[Any]:
    module, name = VIEWS[kept.provider].split(".")
    # made without its __init__, which looks for secrets and libraries that reading does not need
    view_class = getattr(import_module(f"anymail.webhooks.{module}"), name)
    view = view_class.__new__(view_class)
    try:
        if kept.provider != "ses":
            return list(view.parse_events(_request(kept)))
        told = json.loads(bytes(kept.body))
        if told["Type"] != "Notification" or "{" not in told["Message"]:
            return []  # a subscription, or the word that it works
        return list(view.esp_to_anymail_events(json.loads(told["Message"]), told))
    except Exception as error:
        # each provider's reader fails in its own ways on what that provider would not send
        raise Malformed(f"This is no event of {kept.provider} ({type(error).__name__}).") from error


def _request(kept: MailHook) -> WSGIRequest:
    body = bytes(kept.body)
    return WSGIRequest(
        {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": kept.content_type,
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_SVIX_ID": kept.reference,
            "wsgi.input": BytesIO(body),
        }
    )


def _report(event: Any, kept: MailHook) -> Report:
    detail = storable(" ".join(str(event.mta_response or event.description or "").split()))[:1000]
    raw = event.esp_event if isinstance(event.esp_event, Mapping) else {}
    kind, status = KINDS[event.event_type], receipts.status_in(f"{raw.get('status', '')} {detail}")
    return Report(
        kind=kind,
        recipient=storable(event.recipient or "")[:320].lower(),
        bounce_type=_bounce_type(event, raw, status, detail) if kind == receipts.BOUNCED else "",
        status=status,
        detail=detail or storable(event.reject_reason or ""),
        at=event.timestamp,
        reference=storable(event.event_id or f"{event.message_id} {event.timestamp}")[:200],
        message_ids=tuple(_message_ids(event, raw)),
        handles=tuple(_handles(event, raw)),
    )


def _bounce_type(event: Any, raw: Mapping[str, Any], status: str, detail: str) -> str:
    """Hard only where the provider means the address, because a hard bounce stops all mail to it."""
    if event.event_type != "bounced" and event.reject_reason not in ("bounced", "invalid"):
        return receipts.SOFT
    if event.reject_reason in ("timed_out", "blocked", "spam", "other", "unsubscribed"):
        return receipts.SOFT
    if any(str(word).lower() in _SOFT for word in _words(raw)) or raw.get("hard_bounce") is False:
        return receipts.SOFT
    # 20 to 25 and 70: SparkPost's classes of what passes
    if str(_inner(raw).get("bounce_class", "")) in ("20", "21", "22", "23", "24", "25", "70"):
        return receipts.SOFT
    return receipts.bounce_type(status, detail)


def _inner(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """SparkPost wraps an event twice."""
    wrapped = raw.get("msys")
    inner: Any = next(iter(wrapped.values()), {}) if isinstance(wrapped, Mapping) else {}
    return inner if isinstance(inner, Mapping) else {}


def _words(raw: Mapping[str, Any]) -> Iterator[Any]:
    for source in (raw, raw.get("bounce"), raw.get("data"), _bounce_of(raw.get("data"))):
        if isinstance(source, Mapping):
            yield from (source.get(name) for name in ("Type", "type", "event", "bounceType", "subType"))


def _bounce_of(data: Any) -> Any:
    return data.get("bounce") if isinstance(data, Mapping) else None


def _message_ids(event: Any, raw: Mapping[str, Any]) -> Iterator[str]:
    """Our own Message-ID, where the provider's event has it."""
    mail = raw.get("mail") if isinstance(raw.get("mail"), Mapping) else {}
    common = mail.get("commonHeaders") if mail else {}
    given = [event.message_id, raw.get("smtp-id"), raw.get("message-id")]
    if isinstance(common, Mapping):
        given.append(common.get("messageId"))
    for header in (mail.get("headers") or []) if mail else []:
        if isinstance(header, Mapping) and str(header.get("name", "")).lower() == "message-id":
            given.append(header.get("value"))
    for one in given:
        bare = str(one or "").strip().strip("<>")
        if re.fullmatch(r"[!-;=?-~]{3,900}", bare) and "@" in bare:
            yield f"<{bare}>"


def _handles(event: Any, raw: Mapping[str, Any]) -> Iterator[str]:
    """The provider's own names for the mail, one of which its server gave when it took it."""
    named = [event.message_id, str(raw.get("sg_message_id") or "").partition(".")[0]]
    for one in named:
        if one and re.fullmatch(r"[\w.@:<>+=/-]{10,200}", str(one)):
            yield str(one).strip("<>")
