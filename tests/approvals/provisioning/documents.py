"""A good document, and ways to spoil it."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

Json = dict[str, Any]

GONE = object()

GOOD: Json = {
    "account": {"oversight_email": "boss@acme.test"},
    "connections": [
        {
            "name": "demo",
            "protocol": "scripted",
            "script": [
                {"when": {"contains": "order"}, "say": "On its way."},
                {"say": "Hello", "delay_ms": 5},
            ],
        },
        {
            "name": "model",
            "protocol": "chat_completions",
            "base_url": "http://127.0.0.1:9000/v1",
            "api_key": "sk-secret-of-the-model",
            "model": "small",
            "models": {"gpt-4o": "small"},
            "timeout": 45.5,
            "retries": 2,
            "hold_policy": None,
        },
        {
            "name": "far",
            "protocol": "responses",
            "base_url": "https://models.example/v1",
            "api_version": "2026-05-01-preview",
            "api_key": "sk-secret-of-the-far-side",
            "webhook_secret": "whsec_c2VjcmV0IG9mIHRoZSBob29r",
            "model": "large",
            "timeout": None,
            "retries": None,
            "hold_policy": "pending_now",
            "polls_per_minute": 6,
        },
    ],
    "mailboxes": [
        {
            "address": "support@acme.test",
            "oversight_mode": "gated_send",
            "display_name": "Acme Support",
            "assistant": "Support Agent",
            "on_inbound": "run",
            "allowlist": ["*@partner.test", "ann@customer.test"],
        },
        {
            "address": "sales@acme.test",
            "oversight_mode": "monitored",
            "on_inbound": "notify",
            "delivery": "smtp://sales:secret-of-the-relay@mail.acme.test:587",
        },
        {"address": "board@acme.test", "oversight_mode": "gated_all", "approvals_needed": 2},
    ],
    "assistants": [
        {
            "name": "Support Agent",
            "mailboxes": ["support@acme.test", "sales@acme.test"],
            "scopes": ["read", "send"],
            "connection": "demo",
            "instructions": "Be kind.\nBe brief.",
        },
        {"name": "Board Agent", "mailboxes": ["board@acme.test"], "scopes": ["read"]},
    ],
    "integrations": [
        {"name": "Review desk", "scopes": ["oversight", "read"], "mailboxes": ["*"]},
        {"name": "Shop", "scopes": ["send"], "mailboxes": ["sales@acme.test"]},
    ],
    "people": [
        {
            "email": "rita@acme.test",
            "password": "correct horse battery",
            "roles": ["reviewer", "auditor"],
            "mailboxes": ["support@acme.test"],
        },
        {"email": "ada@acme.test", "password": "staple of a good door", "roles": ["administrator"]},
    ],
}

SECRETS = (
    "sk-secret-of-the-model",
    "sk-secret-of-the-far-side",
    "secret-of-the-relay",
    "whsec_c2VjcmV0IG9mIHRoZSBob29r",
    "correct horse battery",
    "staple of a good door",
)


def changed(changes: dict[str, Any]) -> Json:
    """GOOD with the value at each path, such as `mailboxes[1].address`, replaced; GONE removes it."""
    document = deepcopy(GOOD)
    for path, value in changes.items():
        *way, last = [int(step) if step.isdigit() else step for step in re.findall(r"[\w*]+", path)]
        place: Any = document
        for step in way:
            place = place[step]
        if value is GONE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return document
