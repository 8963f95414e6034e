"""Messages, their conversations, and their frozen contents."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.utils import timezone

from audit.ids import new_id
from mailboxes.kinds import Kind
from mailboxes.models.mailboxes import Mailbox


class Conversation(models.Model):
    """An email thread. (`thread` alone means an assistant's.)"""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "thr"))
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="conversations")
    subject = models.CharField(max_length=998, blank=True)
    last_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.subject


class RawMessage(models.Model):
    """Inbound bytes as they came, stored before anything looks at them."""

    class Source(models.TextChoices):
        """The way in. Only SMTP and LMTP bring an envelope sender of their own."""

        SMTP = "smtp"
        LMTP = "lmtp"
        IMAP = "imap"
        WEBHOOK = "webhook"

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "raw"))
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.SMTP)
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="raw_messages")
    envelope_from = models.CharField(max_length=320, blank=True)
    envelope_to = models.CharField(max_length=320)
    data = models.BinaryField()
    digest = models.CharField(max_length=64)
    received_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.id

    @property
    def sender(self) -> str | None:
        """The envelope's: "" for the null sender, None where none came along."""
        if self.source in (self.Source.SMTP, self.Source.LMTP):
            return self.envelope_from
        # the others write the null sender out, because they may not know the sender at all
        return self.envelope_from.strip("<>") if self.envelope_from else None


class EmailQuerySet(models.QuerySet["Email"]):
    def visible_to(self, actor: Any) -> Self:
        """Held inbound mail is invisible to whoever does not oversee."""
        found = self.filter(actor.mailbox_reach("mailbox"))
        return found if actor.sees_held_inbound else found.exclude(inbound_status__in=Email.KEPT_OUT)

    def inbound(self) -> Self:
        return self.filter(direction=Email.Direction.INBOUND)

    def outbound(self) -> Self:
        return self.filter(direction=Email.Direction.OUTBOUND)


class Email(models.Model):
    """A message, in or out, with the run that it came from or led to."""

    class Direction(models.TextChoices):
        INBOUND = "inbound"
        OUTBOUND = "outbound"

    class InboundStatus(models.TextChoices):
        """Empty on outbound mail, whose status is its OutboundMessage's."""

        PENDING = "pending_inbound_approval"
        UNREAD = "unread"
        READ = "read"
        ARCHIVED = "archived"
        DELETED = "deleted"
        REJECTED = "rejected"
        EXPIRED = "expired"
        SPAM_FLAGGED = "spam_flagged"
        SPAM_QUARANTINED = "spam_quarantined"

    # never let in by a person
    KEPT_OUT = (InboundStatus.PENDING, InboundStatus.REJECTED, InboundStatus.EXPIRED)

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "em"))
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, related_name="emails")
    conversation = models.ForeignKey(Conversation, models.PROTECT, related_name="emails")
    direction = models.CharField(max_length=8, choices=Direction.choices)
    inbound_status = models.CharField(max_length=24, choices=InboundStatus.choices, blank=True)
    # addresses are bare (`user@host`); names are kept beside them for display only
    from_address = models.CharField(max_length=320)
    from_name = models.CharField(max_length=320, blank=True)
    reply_to = models.CharField(max_length=320, blank=True)
    to = models.JSONField(default=list)
    cc = models.JSONField(default=list)
    bcc = models.JSONField(default=list)
    subject = models.TextField(blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    attachments = models.JSONField(default=list)
    tags = models.JSONField(default=dict)
    message_id = models.CharField(max_length=998, db_index=True)
    in_reply_to = models.CharField(max_length=998, blank=True)
    references = models.JSONField(default=list)
    raw = models.OneToOneField(RawMessage, models.PROTECT, null=True, related_name="email")
    parse_error = models.CharField(max_length=500, blank=True)
    # of inbound mail: what sort it is, and why it starts no run by itself, if it does not
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.NORMAL)
    quiet_reason = models.CharField(max_length=300, blank=True)
    # what a trusted relay found about its sender (auth_results.py)
    auth_results = models.JSONField(default=list)
    # the run context, in the protocol's own ids; indexed for the auditor
    assistant_id = models.CharField(max_length=80, blank=True)
    thread_id = models.CharField(max_length=200, blank=True)
    run_id = models.CharField(max_length=200, blank=True)
    tool_call_id = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    # of held inbound mail: when it expires, and when it was decided
    deadline_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)

    objects = EmailQuerySet.as_manager()

    if TYPE_CHECKING:
        outbound: Any  # its OutboundMessage, which stands above this app
        receipts: Any

    class Meta:
        indexes = [
            models.Index(fields=["mailbox", "id"]),
            models.Index(fields=["conversation", "id"]),
            models.Index(
                fields=["id"],
                condition=models.Q(inbound_status="pending_inbound_approval"),
                name="email_held_inbound",
            ),
            models.Index(
                fields=["deadline_at"],
                condition=models.Q(inbound_status="pending_inbound_approval"),
                name="email_held_until",
            ),
            *(
                models.Index(
                    fields=[name, "id"], condition=~models.Q(**{name: ""}), name=f"email_{name[:-3]}"
                )
                for name in ("assistant_id", "thread_id", "run_id", "tool_call_id")
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(direction="outbound", inbound_status="")
                | (models.Q(direction="inbound") & ~models.Q(inbound_status="")),
                name="email_inbound_has_status",
            )
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def is_inbound(self) -> bool:
        return self.direction == self.Direction.INBOUND

    @property
    def recipients(self) -> list[str]:
        return [*self.to, *self.cc, *self.bcc]

    @property
    def delivered_at(self) -> datetime | None:
        """When the first recipient had it, as far as anybody said so."""
        return self._first_receipt("delivered")

    @property
    def bounced_at(self) -> datetime | None:
        return self._first_receipt("bounced")

    @property
    def bounce_type(self) -> str | None:
        """The hardest that a recipient's server answered."""
        kinds = {receipt.bounce_type for receipt in self.receipts.all()} - {""}
        return min(kinds, default=None)  # hard before soft

    def _first_receipt(self, kind: str) -> datetime | None:
        return min((receipt.at for receipt in self.receipts.all() if receipt.kind == kind), default=None)


class Correspondent(models.Model):
    """An address on an email, one row each and in lower case, so that mail is found by address."""

    class Role(models.TextChoices):
        FROM = "from"
        TO = "to"
        CC = "cc"
        BCC = "bcc"

    email = models.ForeignKey(Email, models.CASCADE, related_name="correspondents")
    role = models.CharField(max_length=4, choices=Role.choices)
    address = models.CharField(max_length=320)

    class Meta:
        indexes = [models.Index(fields=["address", "email"])]

    def __str__(self) -> str:
        return self.address


class Revision(models.Model):
    """The frozen content of an outbound email. Never changed after it was made, but for `block`.

    `digest` is SHA-256 over envelope sender, sorted envelope recipients and `frozen` (see mime.py).
    `block` (Date, identity header, signature) is computed once, when the revision first leaves, and
    only ever prepended; `sent_digest` covers block and frozen bytes.
    """

    email = models.ForeignKey(Email, models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField(default=1)
    envelope_from = models.CharField(max_length=320)
    recipients = models.JSONField()
    frozen = models.BinaryField()
    digest = models.CharField(max_length=64)
    # recipients that the mailbox's settings added, which the allowlist does not ask about
    added_recipients = models.JSONField(default=list)
    facts = models.JSONField(default=list)
    block = models.BinaryField(null=True)
    sent_digest = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["email", "number"], name="revision_once")]

    def __str__(self) -> str:
        return f"{self.email_id} r{self.number}"
