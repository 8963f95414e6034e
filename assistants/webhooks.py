"""Webhooks from run servers (Standard Webhooks): verified, kept once each, and read later by a worker.

They carry ids only. All they are good for is to ask the far side sooner than a poll would.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography.fernet import InvalidToken
from django.db.models import Q
from django.utils import timezone
from openai import InvalidWebhookSignatureError, OpenAI

from assistants import polling
from assistants.models import Connection, ModelWebhook, Run, RunQuerySet
from audit.log import no_constant, storable

LARGEST = 65_536  # bytes; real ones have a few hundred
LONGEST_ID = 200
# longer than any sender repeats one
KEPT_FOR = timedelta(days=7)

FREE = "agent.session.idle"
# by the start of an event's type: where we keep the id of the object that it is about
ABOUT = {"response.": ("run_id", "latest_id"), "agent.session.": ("thread_id",)}


class Unexpected(Exception):
    """The connection has no secret that could have signed one. An empty one would be known to everybody."""


class Malformed(Exception):
    """No webhook, whoever sent it."""


class Forged(Exception):
    """Not signed with the connection's secret, or too long ago."""


def verified(connection: Connection, headers: Mapping[str, str], body: bytes) -> ModelWebhook:
    """The webhook as it would be kept, or Unexpected, Malformed or Forged."""
    secret = _secret_of(connection)
    try:
        _client().webhooks.verify_signature(body, headers, secret=secret)
    except InvalidWebhookSignatureError as error:
        raise Forged(f"{error}.") from error
    except (ValueError, TypeError) as error:
        # a header is missing, or a text that can't be a signature or a secret
        raise Malformed(f"The signature cannot be checked: {error}") from error
    webhook_id = headers["webhook-id"]
    if len(webhook_id) > LONGEST_ID:
        raise Malformed(f"webhook-id has more than {LONGEST_ID} characters.")
    return ModelWebhook(connection=connection, webhook_id=webhook_id, payload=_payload(body))


@cache
def _client() -> OpenAI:
    """It asks nobody for anything, so it has no need of a connection's key, which may be unreadable."""
    return OpenAI(api_key="none")


def _secret_of(connection: Connection) -> str:
    try:
        secret = connection.webhook_secret
    except InvalidToken:
        secret = ""  # SECRET_KEY has changed since it was entered
    if not secret:
        raise Unexpected("This connection has no webhook secret.")
    return secret


def _payload(body: bytes) -> dict[str, Any]:
    try:
        payload = storable(json.loads(body, parse_constant=no_constant))
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise Malformed("The body is not a JSON object.")
    return payload


def keep(webhook: ModelWebhook) -> ModelWebhook | None:
    """None if it was here before: senders repeat what they hear no answer to."""
    kept, is_new = ModelWebhook.objects.get_or_create(
        connection=webhook.connection, webhook_id=webhook.webhook_id, defaults={"payload": webhook.payload}
    )
    return kept if is_new else None


def read(webhook: ModelWebhook) -> Run | None:
    """Ask again for the runs that it is about. Returns the plan that waits for a thread it says is free."""
    runs = _runs_about(webhook)
    polling.ask_again(*runs.exclude(run_id=""))
    ModelWebhook.objects.filter(pk=webhook.pk).update(done_at=timezone.now())
    is_free = webhook.payload.get("type") == FREE
    return runs.filter(run_id="").order_by("created_at", "pk").first() if is_free else None


def _runs_about(webhook: ModelWebhook) -> RunQuerySet:
    """None for what we don't know, and for events of no meaning to us: runs are read by and by anyway."""
    kind, about = webhook.payload.get("type"), webhook.payload.get("data")
    named = about.get("id") if isinstance(about, dict) else None
    matches = Q(pk__in=())
    if isinstance(kind, str) and isinstance(named, str) and named:
        for start, fields in ABOUT.items():
            for field in fields if kind.startswith(start) else ():
                matches |= Q(**{field: named})
    return Run.objects.driven().filter(matches, connection=webhook.connection, ended_at=None)


def sweep(now: datetime) -> int:
    """Forget the old ones."""
    return ModelWebhook.objects.filter(received_at__lt=now - KEPT_FOR).delete()[0]
