"""The account, its mailboxes, and who must or may be written to."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from django.db import models
from django.utils import timezone

from audit import secrets
from audit.ids import new_id


class OversightMode(models.TextChoices):
    """From the strictest to the loosest; the order is the ladder."""

    READ_ONLY = "read_only"
    GATED_ALL = "gated_all"
    GATED_SEND = "gated_send"
    MONITORED = "monitored"
    AUTONOMOUS = "autonomous"

    def is_stricter_than(self, other: str) -> bool:
        ladder = list(OversightMode)
        return ladder.index(self) < ladder.index(OversightMode(other))


class GateTiming(models.TextChoices):
    """Of mail with a send time: a person decides now, or when the time has come."""

    GATE_FIRST = "gate_first"
    SCHEDULE_FIRST = "schedule_first"


class Account(models.Model):
    """One install is one account: one row."""

    name = models.CharField(max_length=200, default="Counterseal")
    oversight_email = models.CharField(max_length=320, blank=True)
    physical_address = models.CharField(max_length=2000, blank=True)
    # null: as many as one likes
    monthly_email_quota = models.PositiveIntegerField(null=True)
    max_mailboxes = models.PositiveIntegerField(null=True)
    # a closed account sends nothing and answers no key; its records stay
    closed_at = models.DateTimeField(null=True)
    held_at = models.DateTimeField(null=True)
    held_reason = models.CharField(max_length=500, blank=True)
    # when the whole of it was last asked for
    exported_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class MailboxQuerySet(models.QuerySet["Mailbox"]):
    def visible_to(self, actor: Any) -> Self:
        """`actor`: a person, an API key or an assistant; each model knows its own reach."""
        return self.filter(actor.mailbox_reach("pk"))


class Mailbox(models.Model):
    class OnInbound(models.TextChoices):
        RUN = "run"
        NOTIFY = "notify"

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "mbx"))
    address = models.CharField(max_length=320, unique=True)
    display_name = models.CharField(max_length=200, blank=True)
    oversight_mode = models.CharField(
        max_length=12, choices=OversightMode.choices, default=OversightMode.GATED_SEND
    )
    on_inbound = models.CharField(max_length=8, choices=OnInbound.choices, default=OnInbound.NOTIFY)
    approvals_needed = models.PositiveSmallIntegerField(default=1)
    deadline_hours = models.PositiveIntegerField(default=72)
    is_active = models.BooleanField(default=True)
    held_at = models.DateTimeField(null=True)
    held_reason = models.CharField(max_length=500, blank=True)
    # put into a message when it is frozen, so that the reviewer sees them; a later change is for later mail
    auto_cc = models.CharField(max_length=320, blank=True)
    auto_bcc = models.CharField(max_length=320, blank=True)
    signature_block = models.CharField(max_length=1000, blank=True)
    # says in the text of each message, too, what its headers always say
    ai_disclosure = models.BooleanField(default=False)
    # a newsletter and the like: who gets it may unsubscribe with one click
    is_bulk = models.BooleanField(default=False)
    forward_inbound = models.BooleanField(default=False)
    default_gate_timing = models.CharField(
        max_length=16, choices=GateTiming.choices, default=GateTiming.GATE_FIRST
    )
    scheduling_enabled = models.BooleanField(default=True)
    # the URL by which its mail leaves, encrypted because it signs in; "": EMAIL_URL
    outbound_encrypted = models.TextField(blank=True)
    # a client's own note that it has asked its person for these settings
    mcp_configured = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)

    objects = MailboxQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(oversight_mode__in=OversightMode.values), name="mailbox_mode_known"
            ),
            models.CheckConstraint(
                condition=models.Q(approvals_needed__gte=1), name="mailbox_needs_an_approval"
            ),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def outbound_url(self) -> str:
        """It signs in: for the server that it names only."""
        return secrets.decrypt(self.outbound_encrypted) if self.outbound_encrypted else ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def starts_runs(self) -> bool:
        return self.on_inbound == self.OnInbound.RUN


class AllowlistEntry(models.Model):
    """An address or `*@domain` that skips review, in gated_send only."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "alw"))
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="allowlist")
    pattern = models.CharField(max_length=320)
    note = models.CharField(max_length=200, blank=True)
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "pattern"], name="allowlist_once")]

    def __str__(self) -> str:
        return self.pattern


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def visible_to(self, actor: Any) -> Self:
        """What holds everywhere is everybody's to know: their mail is stopped by it."""
        return self.filter(models.Q(mailbox=None) | actor.mailbox_reach("mailbox"))


class Suppression(models.Model):
    """A lower-case address that must not be written to; looked at again in the last UPDATE before DATA.

    Without a mailbox, from none of them. Who unsubscribes from one still hears from the others.
    """

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "sup"))
    address = models.CharField(max_length=320)
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, null=True, related_name="suppressions")
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["address", "mailbox"], name="suppressed_once_in_a_mailbox"),
            models.UniqueConstraint(
                fields=["address"], condition=models.Q(mailbox=None), name="suppressed_once_everywhere"
            ),
        ]

    def __str__(self) -> str:
        return self.address
