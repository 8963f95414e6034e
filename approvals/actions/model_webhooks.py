"""A webhook that a run server sends: kept and promised to be read, in one transaction and without network."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from approvals import outbox
from approvals.errors import DomainError, Invalid, NotFound
from approvals.models import OutboxEntry
from assistants import webhooks
from assistants.models import Connection


class Forged(DomainError):
    status = 401
    code = "bad_signature"


class TooLarge(DomainError):
    status = 413
    code = "too_large"


def receive_webhook(connection_id: str, headers: Mapping[str, str], body: bytes) -> None:
    """A repeat is as good as the first, and does nothing."""
    if len(body) > webhooks.LARGEST:
        raise TooLarge(f"A webhook has at most {webhooks.LARGEST} bytes.")
    try:
        connection = Connection.objects.foreign().get(pk=connection_id)
        webhook = webhooks.verified(connection, headers, body)
    except (Connection.DoesNotExist, webhooks.Unexpected) as error:
        sentence = "No webhooks are expected here: no such connection, or it has no webhook secret."
        raise NotFound(sentence) from error
    except webhooks.Forged as error:
        raise Forged(str(error)) from error
    except webhooks.Malformed as error:
        raise Invalid([{"field": "body", "code": "malformed", "message": str(error)}]) from error
    with transaction.atomic():
        kept = webhooks.keep(webhook)
        if kept:
            outbox.enqueue(OutboxEntry.Kind.READ_WEBHOOK, str(kept.pk))
