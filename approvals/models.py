"""People, and the messages that wait for them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from approvals.states import Status
from assistants.models import ApiKey, Assistant, Connection, Integration, Run
from audit.ids import new_id
from mailboxes.models import Conversation, Email, Mailbox


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person, who signs in by email. Without memberships the roles hold for every mailbox."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "usr"))
    email = models.EmailField(max_length=320, unique=True)
    is_reviewer = models.BooleanField(default=False)
    is_administrator = models.BooleanField(default=False)
    is_auditor = models.BooleanField(default=False)
    all_mailboxes = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    sees_held_inbound = True

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(is_reviewer=True) | Q(is_administrator=True) | Q(is_auditor=True),
                name="person_has_a_role",
            )
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def actor(self) -> str:
        return f"person:{self.pk}"

    @property
    def roles(self) -> list[str]:
        return [r for r in ("reviewer", "administrator", "auditor") if getattr(self, f"is_{r}")]

    def mailbox_reach(self, field: str) -> Q:
        return Q() if self.all_mailboxes else Q(**{f"{field}__in": self.memberships.values("mailbox")})

    def run_reach(self) -> Q:
        """Runs about a mailbox within reach or about none, of assistants that work within it."""
        if self.all_mailboxes:
            return Q()
        working = MailboxAssistant.objects.filter(self.mailbox_reach("mailbox")).values("assistant")
        return Q(assistant__in=working) & (Q(mailbox_id="") | self.mailbox_reach("mailbox_id"))

    if TYPE_CHECKING:
        memberships: Any


class Membership(models.Model):
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="memberships")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "mailbox"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.mailbox_id}"


class SignInLink(models.Model):
    """A one-time way in. The page behind it shows on GET and acts on POST."""

    user = models.ForeignKey(User, models.CASCADE, related_name="sign_in_links")
    hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"for {self.user_id}"


class KeyMailbox(models.Model):
    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="mailbox_links")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="key_links")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "mailbox"], name="key_mailbox_once")]

    def __str__(self) -> str:
        return f"{self.key_id} in {self.mailbox_id}"


class MailboxAssistant(models.Model):
    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="mailbox_links")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="assistant_links")
    # the one whose run an inbound message starts, if the mailbox says so
    answers_inbound = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["assistant", "mailbox"], name="mailbox_assistant_once"),
            models.UniqueConstraint(
                fields=["mailbox"], condition=Q(answers_inbound=True), name="one_assistant_answers_inbound"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.assistant_id} in {self.mailbox_id}"


class ConversationThread(models.Model):
    """The assistant's thread in which an email conversation goes on."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="threads")
    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="conversation_threads")
    # a thread is known at one far side only; an assistant that moves to another begins anew there
    connection = models.ForeignKey(Connection, models.CASCADE, null=True, related_name="+")
    thread_id = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "assistant", "connection"], name="conversation_thread_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.thread_id}"


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


class OutboxEntry(models.Model):
    """A promised effect, written in the transaction of its cause. The row is the truth."""

    class Kind(models.TextChoices):
        DELIVER_EMAIL = "deliver_email"
        RESUME_RUN = "resume_run"
        START_RUN = "start_run"
        RECEIVE_EMAIL = "receive_email"
        SEND_COPY = "send_copy"
        READ_WEBHOOK = "read_webhook"

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
