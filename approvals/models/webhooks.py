"""Where events are sent, and each attempt to send one."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from assistants.models import ApiKey
from audit.ids import new_id
from mailboxes.models import Mailbox


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def visible_to(self, actor: Any) -> Self:
        """Whoever reaches all mailboxes sees all; others those of their mailboxes."""
        if actor.all_mailboxes:
            return self
        made = Q(key=actor) if isinstance(actor, ApiKey) else Q()
        return self.filter(made | (Q(mailbox__isnull=False) & actor.mailbox_reach("mailbox")))


class WebhookEndpoint(models.Model):
    """A receiver. Without a mailbox it gets the events of all that its key reaches, or of all there are."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "whk"))
    url = models.CharField(max_length=2000)
    events = models.JSONField()
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, null=True, related_name="webhooks")
    # who asked for it; null for what a person made
    key = models.ForeignKey(ApiKey, models.CASCADE, null=True, related_name="webhooks")
    secret_encrypted = models.TextField()
    # the one before, which signs too until it ends
    old_secret_encrypted = models.TextField(blank=True)
    old_secret_until = models.DateTimeField(null=True)
    is_active = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=500, blank=True)
    # since when nothing has got through; and until when nothing is tried
    failing_since = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = WebhookEndpointQuerySet.as_manager()

    def __str__(self) -> str:
        return self.url


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def visible_to(self, actor: Any) -> Self:
        return self.filter(endpoint__in=WebhookEndpoint.objects.visible_to(actor))


class WebhookDelivery(models.Model):
    """One event for one endpoint. `body` is what is posted, frozen in the transaction of its cause."""

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "whd"))
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries")
    event_type = models.CharField(max_length=40)
    body = models.TextField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    response_status = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    # anew with each redelivery: for a day from here it is tried again
    asked_at = models.DateTimeField(default=timezone.now)
    last_attempt_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["endpoint", "id"])]

    def __str__(self) -> str:
        return f"{self.event_type} {self.id}"


class WebhookAttempt(models.Model):
    delivery = models.ForeignKey(WebhookDelivery, models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField()
    # null when there was no answer; then `error` says why
    response_status = models.PositiveIntegerField(null=True)
    response_body = models.CharField(max_length=1000, blank=True)
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.response_status or self.error}"
