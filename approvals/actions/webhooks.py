"""Endpoints for webhooks: made, changed, stopped; deliveries asked for again."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from approvals import outbox, webhooks
from approvals.actions.announcing import announce_test
from approvals.errors import Conflict, Invalid
from approvals.models import OutboxEntry, User, WebhookDelivery, WebhookEndpoint
from approvals.permissions import check_administer, check_scope
from approvals.safe_http import Forbidden, check_url
from assistants.models import ApiKey, Scope
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from audit.secrets import decrypt, encrypt
from mailboxes.models import Mailbox

# in which both secrets sign, so that a receiver can change over
OLD_SECRET_FOR = timedelta(days=1)
MOST_ENDPOINTS = 200
SHORTEST_SECRET = 16  # characters


def create_endpoint(
    url: str,
    events: Sequence[str],
    mailbox: Mailbox | None,
    *,
    secret: str = "",
    key: ApiKey | None = None,
    by: User | ApiKey,
) -> tuple[WebhookEndpoint, str]:
    """The endpoint and its secret, which is shown this once. Without a mailbox: for all that its key reaches.

    `key`: for whom a person makes it, if somebody asked.
    """
    with transaction.atomic():
        endpoint, secret, entry = make_endpoint(url, events, mailbox, secret=secret, key=key, by=by)
        log.record(entry, by=by.actor)
    return endpoint, secret


def make_endpoint(
    url: str,
    events: Sequence[str],
    mailbox: Mailbox | None,
    *,
    secret: str = "",
    key: ApiKey | None = None,
    by: User | ApiKey,
) -> tuple[WebhookEndpoint, str, Entry]:
    """The same without its record, for a caller that has more to do in the transaction."""
    _check(by, mailbox)
    url, events = checked(url, events)
    secret = _checked_secret(secret)
    if WebhookEndpoint.objects.count() >= MOST_ENDPOINTS:
        raise Conflict(f"There are {MOST_ENDPOINTS} webhooks already; delete one first.")
    endpoint = WebhookEndpoint.objects.create(
        url=url,
        events=events,
        mailbox=mailbox,
        key=by if isinstance(by, ApiKey) else key,
        secret_encrypted=encrypt(secret),
    )
    return endpoint, secret, _entry(Event.Action.WEBHOOK_CREATED, endpoint, events=events)


def change_endpoint(
    endpoint: WebhookEndpoint,
    *,
    events: Sequence[str] | None = None,
    is_active: bool | None = None,
    by: User | ApiKey,
) -> None:
    """What is None stays. Turning it on forgets that it failed."""
    _check(by, endpoint.mailbox)
    if events is not None:
        _, endpoint.events = checked(endpoint.url, events)
    if is_active is not None:
        endpoint.is_active = is_active
        endpoint.disabled_reason = "" if is_active else "Turned off by hand."
        endpoint.failing_since = endpoint.paused_until = None
    with transaction.atomic():
        endpoint.save()
        _record(
            Event.Action.WEBHOOK_CHANGED, endpoint, by, events=endpoint.events, is_active=endpoint.is_active
        )


def rotate_secret(endpoint: WebhookEndpoint, *, by: User | ApiKey) -> str:
    """A new secret, shown this once; the one before signs too for a day."""
    _check(by, endpoint.mailbox)
    secret = _new_secret()
    endpoint.old_secret_encrypted = endpoint.secret_encrypted
    endpoint.old_secret_until = timezone.now() + OLD_SECRET_FOR
    endpoint.secret_encrypted = encrypt(secret)
    with transaction.atomic():
        endpoint.save()
        _record(Event.Action.WEBHOOK_CHANGED, endpoint, by, secret="new")  # noqa: S106 - says that it is
    return secret


def delete_endpoint(endpoint: WebhookEndpoint, *, by: User | ApiKey) -> None:
    _check(by, endpoint.mailbox)
    with transaction.atomic():
        gone = endpoint.pk
        if WebhookEndpoint.objects.filter(pk=gone).delete()[0]:
            endpoint.pk = gone
            _record(Event.Action.WEBHOOK_DELETED, endpoint, by)


def deleted_entry(endpoint: WebhookEndpoint) -> Entry:
    return _entry(Event.Action.WEBHOOK_DELETED, endpoint)


def test_endpoint(endpoint: WebhookEndpoint, *, by: User | ApiKey) -> WebhookDelivery:
    _check(by, endpoint.mailbox)
    if not endpoint.is_active:
        raise Conflict("This webhook is turned off; turn it on first.")
    with transaction.atomic():
        return announce_test(endpoint)


def redeliver(delivery: WebhookDelivery, *, by: User | ApiKey) -> None:
    """The same bytes under the same id, once more for a day."""
    _check(by, delivery.endpoint.mailbox)
    if not delivery.endpoint.is_active:
        raise Conflict("This webhook is turned off; turn it on first.")
    with transaction.atomic():
        asked = {"status": WebhookDelivery.Status.PENDING, "asked_at": timezone.now()}
        WebhookDelivery.objects.filter(pk=delivery.pk).update(**asked)
        outbox.enqueue(OutboxEntry.Kind.POST_WEBHOOK, delivery.pk)


def stop_endpoint(endpoint: WebhookEndpoint, why: str) -> None:
    """Nothing got through for long: it is turned off, on record, and whoever oversees is told."""
    with transaction.atomic():
        active = WebhookEndpoint.objects.filter(pk=endpoint.pk, is_active=True)
        if active.update(is_active=False, disabled_reason=why[:500]):
            outbox.enqueue(OutboxEntry.Kind.MAIL_STOPPED, endpoint.pk)
            _record(Event.Action.WEBHOOK_STOPPED, endpoint, None, why=why[:500])


def secrets_of(endpoint: WebhookEndpoint) -> list[str]:
    """The one in force first."""
    found = [decrypt(endpoint.secret_encrypted)]
    if endpoint.old_secret_until and endpoint.old_secret_until > timezone.now():
        found.append(decrypt(endpoint.old_secret_encrypted))
    return found


def checked(url: str, events: Sequence[str], *, field: str = "url") -> tuple[str, list[str]]:
    try:
        check_url(url)
    except Forbidden as error:
        raise Invalid([{"field": field, "code": "bad_url", "message": str(error)}]) from None
    if not events:
        raise Invalid([{"field": "events", "code": "required", "message": "Name at least one event."}])
    try:
        return url, webhooks.known(events)
    except ValueError as error:
        raise Invalid([{"field": "events", "code": "unknown_event", "message": str(error)}]) from None


def _checked_secret(secret: str) -> str:
    if secret and len(secret) < SHORTEST_SECRET:
        message = f"A secret of your own has at least {SHORTEST_SECRET} characters."
        raise Invalid([{"field": "secret", "code": "too_short", "message": message}])
    return secret or _new_secret()


def _new_secret() -> str:
    return webhooks.SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def _check(by: User | ApiKey, mailbox: Mailbox | None) -> None:
    """A key's endpoint for no mailbox in particular gets what the key reaches, which needs no more right."""
    if isinstance(by, ApiKey) and mailbox is None and not by.all_mailboxes:
        return check_scope(by, Scope.ADMIN)
    check_administer(by, mailbox)


def _record(
    action: Event.Action, endpoint: WebhookEndpoint, by: User | ApiKey | None, **details: object
) -> None:
    log.record(_entry(action, endpoint, **details), by=by.actor if by else "system:webhooks")


def _entry(action: Event.Action, endpoint: WebhookEndpoint, **details: object) -> Entry:
    subject = Subject(mailbox_id=endpoint.mailbox_id or "")
    return Entry(action, subject, {"webhook": endpoint.pk, "url": endpoint.url, **details})
