"""What is to leave, and what was decided about it."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from approvals.models.people import User
from approvals.states import Status
from assistants.models import ApiKey, Assistant, Integration, Run
from audit.ids import new_id
from mailboxes.models import Email


class OutboundMessageQuerySet(models.QuerySet["OutboundMessage"]):
    def visible_to(self, actor: Any) -> Self:
        return self.filter(actor.mailbox_reach("email__mailbox"))

    def pending(self) -> Self:
        return self.filter(status=Status.PENDING)

    def overdue(self, now: Any) -> Self:
        return self.pending().filter(deadline_at__lte=now)


class OutboundMessage(models.Model):
    """What is to leave, one to one with its Email. Every change of `status` is in actions.py."""

    email = models.OneToOneField(Email, models.PROTECT, primary_key=True, related_name="outbound")
    status = models.CharField(max_length=16, choices=Status.choices)
    revision = models.PositiveIntegerField(default=1)
    digest = models.CharField(max_length=64)
    approved_digest = models.CharField(max_length=64, blank=True)
    approvals_given = models.PositiveSmallIntegerField(default=0)
    approvals_needed = models.PositiveSmallIntegerField(default=1)
    # why the policy held or released it; the mode is empty unless the policy released it
    reasons = models.JSONField(default=list)
    released_mode = models.CharField(max_length=12, blank=True)
    deadline_at = models.DateTimeField(null=True)
    send_at = models.DateTimeField(null=True)
    # who asked, and for which call; all empty for mail with no run behind it
    key = models.ForeignKey(ApiKey, models.PROTECT, null=True, related_name="messages")
    assistant = models.ForeignKey(Assistant, models.PROTECT, null=True, related_name="messages")
    integration = models.ForeignKey(Integration, models.PROTECT, null=True, related_name="messages")
    run = models.ForeignKey(Run, models.PROTECT, null=True, related_name="messages")
    # "" unless a call is named; then unique: a second send for the same call returns the first
    call_key = models.CharField(max_length=700, blank=True)
    content_hash = models.CharField(max_length=64)
    copy_of = models.OneToOneField("self", models.PROTECT, null=True, related_name="copy")
    in_reply_to = models.ForeignKey(Email, models.PROTECT, null=True, related_name="replies")
    # evidence of the delivery: {"steps": [[command, reply]…], "reply", "error", "at"}
    delivery = models.JSONField(default=dict)
    status_changed_at = models.DateTimeField(default=timezone.now)

    objects = OutboundMessageQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["email"], condition=Q(status="pending"), name="message_pending"),
            models.Index(fields=["status", "email"], name="message_status"),
            models.Index(fields=["deadline_at"], condition=Q(status="pending"), name="message_deadline"),
            models.Index(fields=["status_changed_at"], condition=Q(status="sent"), name="message_sent_at"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="message_status_known"),
            models.CheckConstraint(
                condition=~Q(status__in=("sending", "sent", "needs_attention"))
                | Q(approved_digest=F("digest")),
                name="message_leaves_as_approved",
            ),
            models.UniqueConstraint(
                fields=["call_key"], condition=~Q(call_key=""), name="message_once_per_call"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email_id} {self.status}"

    @property
    def is_later(self) -> bool:
        return self.send_at is not None and self.send_at > timezone.now()


class DecisionQuerySet(models.QuerySet["Decision"]):
    def standing(self) -> Self:
        """Not voided, oldest first, each with whoever decided."""
        told = self.filter(voided_at=None).select_related("by", "by_key__integration")
        return told.order_by("at", "pk")


class Decision(models.Model):
    """Approve, reject and the rest: by a person, a deciding key, or the policy (nobody)."""

    class Verdict(models.TextChoices):
        RELEASE = "release"  # by the policy
        APPROVE = "approve"
        REJECT = "reject"
        REQUEST_CHANGES = "request_changes"
        CANCEL = "cancel"
        MARK_SENT = "mark_sent"
        SEND_AGAIN = "send_again"
        GIVE_UP = "give_up"
        RETRY = "retry"

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "dec"))
    message = models.ForeignKey(OutboundMessage, models.PROTECT, null=True, related_name="decisions")
    # set instead of `message` for a decision about held inbound mail
    inbound = models.ForeignKey(Email, models.PROTECT, null=True, related_name="decisions")
    verdict = models.CharField(max_length=16, choices=Verdict.choices)
    revision = models.PositiveIntegerField(default=1)
    digest = models.CharField(max_length=64)
    reason = models.TextField(blank=True)
    reasons = models.JSONField(default=list)
    by = models.ForeignKey(User, models.PROTECT, null=True, related_name="decisions")
    by_key = models.ForeignKey(ApiKey, models.PROTECT, null=True, related_name="decisions")
    at = models.DateTimeField(default=timezone.now)
    voided_at = models.DateTimeField(null=True)

    objects = DecisionQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["message", "at"])]
        constraints = [
            models.UniqueConstraint(
                fields=["message", "revision", who],
                condition=Q(verdict="approve", voided_at__isnull=True, **{f"{who}__isnull": False}),
                name=f"approved_once_{who}",
            )
            for who in ("by", "by_key")
        ] + [
            models.CheckConstraint(
                condition=Q(message__isnull=False, inbound__isnull=True)
                | Q(message__isnull=True, inbound__isnull=False),
                name="decision_is_about_one_email",
            )
        ]

    def __str__(self) -> str:
        return f"{self.verdict} {self.message_id or self.inbound_id}"

    @property
    def decider(self) -> str:
        """As shown to people and callers."""
        if self.by:
            return self.by.email
        # a key that decides belongs to an integration
        return f"{self.by_key.integration} (key {self.by_key.name})" if self.by_key else "policy"
