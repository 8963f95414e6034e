"""Mail that a provider received and hands over by a post, back to the bytes of a message.

Where the provider posts the whole message, its bytes are taken as they stand and nothing looks into them.
Where it posts only what it made of it, anymail builds a message of that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.generator import BytesGenerator
from email.policy import SMTP
from importlib import import_module
from io import BytesIO
from urllib.parse import parse_qsl, unquote

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.utils.crypto import constant_time_compare

from mailboxes.tracking import Forged, Malformed, Unexpected, check_password, is_fresh

MOST_FIELDS = 200
_NAME = re.compile(rb'(?i)content-disposition:[^\r\n]*?\bname="?([^";\r\n]{1,200})')
_FILE = re.compile(rb"(?i)content-disposition:[^\r\n]*?\bfilename")
_BOUNDARY = re.compile(r'boundary="?([^";]{1,200})')

Fields = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Handed:
    """`sender`: of the envelope, "" for the null sender; None where the provider does not tell."""

    sender: str | None
    recipients: tuple[str, ...]
    data: bytes


def largest() -> int:
    """Of a post: a message in base64, and what stands around it."""
    return settings.MAX_MESSAGE_BYTES * 3 // 2 + 1_000_000


def check(provider: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raises Unexpected, or Forged unless the post carries the provider's secret or is signed with it."""
    secret = settings.MAIL_HOOKS.get(provider, "")
    if not secret or provider not in READERS:
        raise Unexpected("Nothing is expected from this provider.")
    if ":" in secret:
        return check_password(secret, headers)
    if provider != "mailgun" or not _is_signed(secret, fields_of(headers.get("Content-Type", ""), body)):
        raise Forged("The signature is missing or wrong.")


def _is_signed(key: str, fields: Fields) -> bool:
    at, token = fields.get("timestamp", b""), fields.get("token", b"")
    made = hmac.new(key.encode(), at + token, hashlib.sha256).hexdigest()
    try:
        return is_fresh(at.decode()) and constant_time_compare(fields["signature"].decode(), made)
    except (KeyError, ValueError):
        return False


def read(provider: str, content_type: str, body: bytes) -> Handed:
    """Raises Malformed where it does not even say whom it is for."""
    try:
        handed = READERS[provider](content_type, body)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise Malformed(f"This is no mail from {provider} ({type(error).__name__}).") from error
    if not handed.recipients:
        raise Malformed("It does not say whom it is for.")
    return handed


def fields_of(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a form, byte for byte; not its files."""
    if not content_type.lower().startswith("multipart/form-data"):
        pairs = parse_qsl(body.decode("latin-1"), True, encoding="latin-1", max_num_fields=MOST_FIELDS)
        return {name: value.encode("latin-1") for name, value in pairs}
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return {}
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode("latin-1"), MOST_FIELDS + 1)
    split = (part.partition(b"\r\n\r\n") for part in parts)
    named = ((_NAME.search(head), head, value) for head, _, value in split)
    return {
        name[1].decode("latin-1"): value for name, head, value in named if name and not _FILE.search(head)
    }


def _mailgun(content_type: str, body: bytes) -> Handed:
    fields = fields_of(content_type, body)
    data = fields.get("body-mime") or _built("mailgun.MailgunInboundWebhookView", content_type, body)
    return Handed(_text(fields["sender"]), (_text(fields["recipient"]),), data)


def _sendgrid(content_type: str, body: bytes) -> Handed:
    fields = fields_of(content_type, body)
    envelope = json.loads(fields["envelope"])
    data = fields.get("email") or _built("sendgrid.SendGridInboundWebhookView", content_type, body)
    return Handed(str(envelope["from"]), tuple(map(str, envelope["to"])), data)


def _postmark(content_type: str, body: bytes) -> Handed:
    told = json.loads(body)
    paths = [one["Value"] for one in told.get("Headers", []) if one["Name"].lower() == "return-path"]
    sender = unquote(str(paths[0])).strip("<> ") if paths else None
    raw = told.get("RawEmail")
    data = _octets(raw) if raw else _built("postmark.PostmarkInboundWebhookView", content_type, body)
    return Handed(sender, (str(told["OriginalRecipient"]),), data)


def _sparkpost(_content_type: str, body: bytes) -> Handed:
    (one,) = json.loads(body)
    told = one["msys"]["relay_message"]
    content = told["content"]
    raw = str(content["email_rfc822"])
    data = base64.b64decode(raw) if content.get("email_rfc822_is_base64") else _octets(raw)
    return Handed(str(told["msg_from"]), (str(told["rcpt_to"]),), data)


READERS: dict[str, Callable[[str, bytes], Handed]] = {
    "mailgun": _mailgun,
    "postmark": _postmark,
    "sendgrid": _sendgrid,
    "sparkpost": _sparkpost,
}


def _built(name: str, content_type: str, body: bytes) -> bytes:
    """A message of what the provider made of one; or, if that fails, one that has the post as a file."""
    module, view_name = name.split(".")
    view_class = getattr(import_module(f"anymail.webhooks.{module}"), view_name)
    # made without its __init__, which looks for secrets that reading does not need
    view = view_class.__new__(view_class)
    try:
        (event,) = view.parse_events(_request(content_type, body))
        written = BytesIO()
        BytesGenerator(written, mangle_from_=False, policy=SMTP).flatten(event.message)
        return written.getvalue()
    except Exception:
        # a stranger's mail decides how this fails; it is kept and shown all the same
        return _unread(body)


def _unread(body: bytes) -> bytes:
    head = (
        "Subject: A mail that could not be put together\r\nMIME-Version: 1.0\r\n"
        'Content-Type: application/octet-stream; name="post.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    )
    return head.encode() + base64.encodebytes(body).replace(b"\n", b"\r\n")


def _request(content_type: str, body: bytes) -> WSGIRequest:
    return WSGIRequest(
        {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
        }
    )


def _octets(text: str) -> bytes:
    return str(text).encode("utf-8", "surrogateescape")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace").strip()
