"""SparkPost: POST /api/v1/transmissions with content.email_rfc822; the recipients stand beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mailboxes.providers.shape import Account, Post, Refused, Unclear

WANTS = "sparkpost://:key@api.sparkpost.com"


def lacks(account: Account) -> bool:
    return not account.secret


def post(account: Account, sender: str, recipients: Sequence[str], data: bytes) -> Post:
    options = {"open_tracking": False, "click_tracking": False, "initial_open": False, "transactional": True}
    sent = {
        "options": options,
        "return_path": sender,
        "recipients": [{"address": {"email": one}} for one in recipients],
        "content": {"email_rfc822": data.decode("ascii")},
    }
    headers = {"Authorization": account.secret, "Content-Type": "application/json"}
    return Post(f"{account.base}/api/v1/transmissions", headers, body=json.dumps(sent).encode())


def taken(answer: dict[str, Any], recipients: Sequence[str]) -> str:
    results = answer.get("results")
    told = results if isinstance(results, dict) else {}
    accepted, rejected = told.get("total_accepted_recipients"), told.get("total_rejected_recipients")
    if accepted == len(recipients) and not rejected:
        return str(told.get("id", ""))
    if accepted == 0:
        raise Refused("SparkPost took it for none of the recipients.")
    raise Unclear(f"SparkPost took it for {accepted} of {len(recipients)} recipients.")
