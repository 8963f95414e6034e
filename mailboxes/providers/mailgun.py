"""Mailgun: POST /v3/<domain>/messages.mime. `to` is the envelope; its links and its opens stay untouched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailboxes.providers.shape import Account, Post, Unclear

WANTS = "mailgun://:key@api.mailgun.net/your.domain"


def lacks(account: Account) -> bool:
    return not (account.secret and account.path)


def post(account: Account, sender: str, recipients: Sequence[str], data: bytes) -> Post:
    return Post(
        f"{account.base}/v3/{account.path}/messages.mime",
        auth=("api", account.secret),
        form={"to": list(recipients), "o:tracking": "no"},
        files={"message": ("message.mime", data, "message/rfc822")},
    )


def taken(answer: dict[str, Any], recipients: Sequence[str]) -> str:
    if not answer.get("id"):
        raise Unclear("Mailgun's answer names no message.")
    return str(answer["id"])
