"""What became of mail after it left: one row for each thing that its way told of one recipient."""

from __future__ import annotations

from functools import partial

from django.db import models
from django.utils import timezone

from audit.ids import new_id
from mailboxes.models.emails import Email


class DeliveryReceipt(models.Model):
    """Only ever added. `source` is "dsn" or a provider, and `reference` its own name for the event."""

    class Kind(models.TextChoices):
        DELIVERED = "delivered"
        DELAYED = "delayed"
        BOUNCED = "bounced"
        COMPLAINED = "complained"

    class BounceType(models.TextChoices):
        """Hard: the address takes no mail. Soft: it did not take this message."""

        HARD = "hard"
        SOFT = "soft"

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "rcp"))
    email = models.ForeignKey(Email, models.PROTECT, related_name="receipts")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # one of the envelope's; "" where the report names none
    recipient = models.CharField(max_length=320, blank=True)
    bounce_type = models.CharField(max_length=4, choices=BounceType.choices, blank=True)
    # such as 5.1.1, and the words of the server
    status = models.CharField(max_length=20, blank=True)
    detail = models.CharField(max_length=1000, blank=True)
    source = models.CharField(max_length=20)
    reference = models.CharField(max_length=200)
    at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["email", "id"])]
        constraints = [
            models.UniqueConstraint(
                fields=["email", "source", "reference", "kind", "recipient"], name="receipt_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.email_id} {self.recipient}"


class MailHook(models.Model):
    """What a mail provider posted, kept before anything reads it."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "hok"))
    provider = models.CharField(max_length=20)
    content_type = models.CharField(max_length=200, blank=True)
    # the provider's own name for this post, where a header gives one
    reference = models.CharField(max_length=200, blank=True)
    body = models.BinaryField()
    digest = models.CharField(max_length=64)
    received_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "digest"], name="mail_hook_once")]

    def __str__(self) -> str:
        return f"{self.provider} {self.pk}"
