"""Webhooks out: posted until the receiver takes them, for a day, and never at another receiver's cost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
from django.db import transaction
from django.utils import timezone

from approvals import safe_http, webhooks
from approvals.actions.webhooks import secrets_of, stop_endpoint
from approvals.models import OutboxEntry, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from approvals.outbox import TryAgain
from approvals.safe_http import Answer, Forbidden

TIMEOUT = 10.0  # seconds, for each step of the exchange
GIVE_UP_AFTER = timedelta(hours=24)
LONGEST_PAUSE = timedelta(hours=4)
# of the threads that post; what is more waits, so that a receiver that hangs leaves some to the others
AT_ONCE = 2
# all receivers that are failing have as many together
FAILING = "failing"
BUSY, BUSY_FAILING = timedelta(seconds=1), timedelta(seconds=10)

Status = WebhookDelivery.Status
_at_work: Counter[str] = Counter()
_lock = threading.Lock()


def post_webhook(promise: OutboxEntry) -> None:
    delivery = WebhookDelivery.objects.select_related("endpoint").filter(pk=promise.ref).first()
    if delivery is None or delivery.status != Status.PENDING:
        return  # its endpoint was deleted, or it has been settled
    endpoint = delivery.endpoint
    if not endpoint.is_active:
        return _end(delivery, Status.FAILED)
    if endpoint.paused_until and endpoint.paused_until > timezone.now():
        raise TryAgain("Its receiver is down.", endpoint.paused_until - timezone.now() + _jitter(BUSY))
    with _place(endpoint, promise.attempts):
        attempt = _try(delivery, endpoint)
    _keep(delivery, endpoint, attempt)


@contextmanager
def _place(endpoint: WebhookEndpoint, asked: int) -> Iterator[None]:
    """`asked`: how often. What waits behind others asks less and less, because each look is a write."""
    failing = endpoint.failing_since is not None
    counted = [endpoint.pk, FAILING] if failing else [endpoint.pk]
    with _lock:
        if any(_at_work[one] >= AT_ONCE for one in counted):
            pause = BUSY_FAILING if failing else min(BUSY * 2 ** min(asked - 1, 4), BUSY_FAILING)
            raise TryAgain("Its receiver is busy with others.", _jitter(pause))
        _at_work.update(counted)
    try:
        yield
    finally:
        with _lock:
            _at_work.subtract(counted)


def _try(delivery: WebhookDelivery, endpoint: WebhookEndpoint) -> WebhookAttempt:
    at, began = timezone.now(), time.monotonic()
    body = delivery.body.encode()
    headers = webhooks.headers(secrets_of(endpoint), delivery.pk, at, body)
    answer, error = None, ""
    try:
        answer = safe_http.post(endpoint.url, body, headers, timeout=TIMEOUT)
    except Forbidden as refusal:
        error = str(refusal)
    except (httpx.HTTPError, OSError) as failure:
        error = f"{type(failure).__name__}: {failure}".replace("\0", "")[:500]
    took = int((time.monotonic() - began) * 1000)
    return WebhookAttempt(
        delivery=delivery,
        at=at,
        milliseconds=took,
        response_status=answer.status if answer else None,
        response_body=answer.body if answer else "",
        error=error or _complaint(answer),
    )


def _complaint(answer: Answer | None) -> str:
    if answer is None or 200 <= answer.status < 300:
        return ""
    if 300 <= answer.status < 400:
        return f"It answered {answer.status}: redirects are not followed."
    return f"It answered {answer.status}."


def _keep(delivery: WebhookDelivery, endpoint: WebhookEndpoint, attempt: WebhookAttempt) -> None:
    """The attempt, and what follows from it."""
    delivery.attempts += 1
    tried = {"response_status": attempt.response_status, "last_attempt_at": attempt.at}
    with transaction.atomic():
        if not WebhookDelivery.objects.filter(pk=delivery.pk).update(attempts=delivery.attempts, **tried):
            return  # its endpoint was deleted meanwhile
        attempt.save()
    if not attempt.error:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).exclude(failing_since=None).update(
            failing_since=None, paused_until=None
        )
        return _end(delivery, Status.DELIVERED)
    pause = _pause(delivery.attempts)
    _note_failure(endpoint, attempt)
    if timezone.now() + pause - delivery.asked_at > GIVE_UP_AFTER:
        _end(delivery, Status.FAILED)
        return _stop_if_dead(endpoint, attempt.error)
    raise TryAgain(attempt.error, pause)


def _note_failure(endpoint: WebhookEndpoint, attempt: WebhookAttempt) -> None:
    """A receiver that is down for a while is asked less: everything for it waits as long as it has been."""
    now = timezone.now()
    WebhookEndpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=attempt.at)
    since = endpoint.failing_since or attempt.at
    if (down := now - since) > timedelta(minutes=1):
        paused = now + min(down / 4, timedelta(minutes=15))
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(paused_until=paused)


def _stop_if_dead(endpoint: WebhookEndpoint, error: str) -> None:
    endpoint.refresh_from_db()
    since = endpoint.failing_since
    if since and timezone.now() - since > GIVE_UP_AFTER / 2:
        stop_endpoint(endpoint, f"Nothing got through since {since:%Y-%m-%d %H:%M} UTC: {error}")


def _end(delivery: WebhookDelivery, status: Status) -> None:
    WebhookDelivery.objects.filter(pk=delivery.pk, status=Status.PENDING).update(status=status)


def _pause(attempts: int) -> timedelta:
    """5 s, 10 s, 20 s … four hours, each up to a quarter longer by chance."""
    return _jitter(min(timedelta(seconds=5 * 2 ** min(attempts - 1, 14)), LONGEST_PAUSE))


def _jitter(pause: timedelta) -> timedelta:
    return pause * (1 + random.random() / 4)  # noqa: S311 - spreads, and keeps no secret
