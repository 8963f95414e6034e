"""Postal, which one hosts oneself: POST /api/v1/send/raw with sender, recipients and the message."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from mailboxes.providers.shape import Account, Post, Refused, Unclear

WANTS = "postal://:key@postal.example.com"


def lacks(account: Account) -> bool:
    return not account.secret


def post(account: Account, sender: str, recipients: Sequence[str], data: bytes) -> Post:
    sent = {"mail_from": sender, "rcpt_to": list(recipients), "data": base64.b64encode(data).decode()}
    headers = {"X-Server-API-Key": account.secret, "Content-Type": "application/json"}
    return Post(f"{account.base}/api/v1/send/raw", headers, body=json.dumps(sent).encode())


def taken(answer: dict[str, Any], recipients: Sequence[str]) -> str:
    """It answers 200 whatever became of it, and tells in `status`."""
    told = answer.get("data")
    data = told if isinstance(told, dict) else {}
    if answer.get("status") in ("error", "parameter-error"):
        raise Refused(f"Postal refused it: {data.get('message') or data.get('code') or 'no reason given'}")
    messages = data.get("messages")
    if answer.get("status") != "success" or not isinstance(messages, dict):
        raise Unclear("Postal's answer does not say what became of it.")
    missing = {one.lower() for one in recipients} - {str(one).lower() for one in messages}
    if missing:
        raise Unclear(f"Postal did not take it for {', '.join(sorted(missing))}.")
    return str(data.get("message_id", ""))
