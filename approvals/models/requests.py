"""What keys asked for: repeats, and what needs a person's word."""

from __future__ import annotations

from functools import partial

from django.db import models
from django.utils import timezone

from assistants.models import ApiKey
from audit.ids import new_id
from mailboxes.models import Email


class IdempotencyKey(models.Model):
    """What a key asked before: a named request (24 h) or the same content (60 s)."""

    class Kind(models.TextChoices):
        NAMED = "named"
        CONTENT = "content"

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="idempotency_keys")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    value = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)
    email = models.ForeignKey(Email, models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "kind", "value"], name="idempotency_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class OperatorRequest(models.Model):
    """Something a key asked for that a person must let happen, by relaying a one-time code."""

    class Action(models.TextChoices):
        CREATE_MAILBOX = "create_mailbox"
        CHANGE_COPIES = "change_copies"
        UPGRADE_MODE = "upgrade_mode"
        ADD_TO_ALLOWLIST = "add_to_allowlist"
        CUT_ALLOWLIST = "cut_allowlist"
        CREATE_KEY = "create_key"
        WIDEN_KEY = "widen_key"
        REVOKE_KEY = "revoke_key"
        CREATE_WEBHOOK = "create_webhook"
        CHANGE_ACCOUNT = "change_account"
        DELETE_ACCOUNT = "delete_account"

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "opr"))
    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="operator_requests")
    action = models.CharField(max_length=20, choices=Action.choices)
    params = models.JSONField()
    code_encrypted = models.TextField()
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.action} {self.id}"
