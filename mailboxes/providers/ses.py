"""Amazon SES, version 2: POST /v2/email/outbound-emails with the raw message, signed (Signature Version 4).

Amazon puts a Message-ID and a Date of its own in place of ours; body and other headers stay.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone

from mailboxes.providers.shape import Account, Post, Unclear

WANTS = "ses://access-key:secret-key@email.eu-west-1.amazonaws.com"
_PATH = "/v2/email/outbound-emails"
_SIGNED = "content-type;host;x-amz-date"


def lacks(account: Account) -> bool:
    return not (account.user and account.secret and _region(account))


def post(account: Account, sender: str, recipients: Sequence[str], data: bytes) -> Post:
    sent = {
        "FromEmailAddress": sender,
        "Destination": {"ToAddresses": list(recipients)},
        "Content": {"Raw": {"Data": base64.b64encode(data).decode()}},
    }
    body = json.dumps(sent).encode()
    return Post(f"{account.base}{_PATH}", signed(account, body, timezone.now()), body=body)


def taken(answer: dict[str, Any], recipients: Sequence[str]) -> str:
    if not answer.get("MessageId"):
        raise Unclear("Amazon's answer names no message.")
    return str(answer["MessageId"])


def signed(account: Account, body: bytes, now: datetime) -> dict[str, str]:
    """The headers that prove who posts `body`."""
    at, host, region = f"{now:%Y%m%dT%H%M%SZ}", urlsplit(account.base).netloc, _region(account)
    headers = f"content-type:application/json\nhost:{host}\nx-amz-date:{at}\n"
    canonical = "\n".join(("POST", _PATH, "", headers, _SIGNED, hashlib.sha256(body).hexdigest()))
    scope = f"{at[:8]}/{region}/ses/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{account.secret}".encode()
    for part in (at[:8], region, "ses", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={account.user}/{scope}"
    return {
        "Content-Type": "application/json",
        "X-Amz-Date": at,
        "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={_SIGNED}, Signature={signature}",
    }


def _region(account: Account) -> str:
    """Of email.eu-west-1.amazonaws.com; elsewhere, of what stands after the host."""
    found = re.fullmatch(
        r"email(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?", urlsplit(account.base).netloc
    )
    return found[1] if found else account.path
