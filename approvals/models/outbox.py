"""Promised effects."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class OutboxEntry(models.Model):
    """A promised effect, written in the transaction of its cause. The row is the truth."""

    class Kind(models.TextChoices):
        DELIVER_EMAIL = "deliver_email"
        RESUME_RUN = "resume_run"
        START_RUN = "start_run"
        RECEIVE_EMAIL = "receive_email"
        SEND_COPY = "send_copy"
        READ_WEBHOOK = "read_webhook"
        READ_MAIL_HOOK = "read_mail_hook"
        MAIL_CODE = "mail_code"
        MAIL_STOPPED = "mail_stopped"
        MAIL_SIGN_IN = "mail_sign_in"
        ASK_DEFERRED = "ask_deferred"
        POST_WEBHOOK = "post_webhook"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    ref = models.CharField(max_length=80)
    due_at = models.DateTimeField()
    # attempts is the fence: a worker whose number is no longer this one has lost its lease
    attempts = models.PositiveIntegerField(default=0)
    leased_by = models.CharField(max_length=80, blank=True)
    leased_until = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["kind", "due_at"], condition=Q(done_at__isnull=True), name="outbox_due")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "ref"], condition=Q(done_at__isnull=True), name="outbox_open_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.ref}"
