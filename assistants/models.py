"""Agents, their keys, and their runs as last seen by us."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from audit.ids import new_id
from audit.secrets import decrypt, encrypt


class Scope(models.TextChoices):
    READ = "read"
    SEND = "send"
    ADMIN = "admin"
    OVERSIGHT = "oversight"
    OVERSIGHT_READ = "oversight_read"


def implied(scopes: list[str]) -> frozenset[str]:
    """`admin` implies read and send, never deciding."""
    return frozenset(scopes) | ({Scope.READ, Scope.SEND} if Scope.ADMIN in scopes else frozenset())


class ConnectionQuerySet(models.QuerySet["Connection"]):
    def foreign(self) -> Self:
        """Those to run servers that are not ours."""
        return self.exclude(protocol__in=Connection.EMBEDDED)


class Connection(models.Model):
    """Where runs are served: a model behind our own Assistants server, or a foreign run server."""

    class Protocol(models.TextChoices):
        CHAT_COMPLETIONS = "chat_completions"
        SCRIPTED = "scripted"
        ASSISTANTS = "assistants"
        RESPONSES = "responses"
        AGENTS = "agents"

    # behind our own Assistants server
    EMBEDDED = (Protocol.CHAT_COMPLETIONS, Protocol.SCRIPTED)

    class HoldPolicy(models.TextChoices):
        """What a run hears of a call that no person has decided yet."""

        HOLD = "hold"  # nothing: it waits
        HOLD_WITH_DEADLINE = "hold_with_deadline"  # shortly before the run expires: still undecided
        PENDING_NOW = "pending_now"  # at once: undecided, and what is decided comes later

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "con"))
    name = models.CharField(max_length=200, unique=True)
    protocol = models.CharField(max_length=20, choices=Protocol.choices)
    base_url = models.CharField(max_length=500, blank=True)
    # sent as ?api-version=…, which Azure wants with every request
    api_version = models.CharField(max_length=40, blank=True)
    api_key_encrypted = models.TextField(blank=True)
    # with which the far side signs its webhooks
    webhook_secret_encrypted = models.TextField(blank=True)
    model = models.CharField(max_length=200, blank=True)
    models_served = models.JSONField(default=dict)
    script = models.JSONField(default=list)
    timeout = models.FloatField(null=True)  # seconds for one request; null: the protocol's default
    retries = models.PositiveSmallIntegerField(null=True)  # of a model's turn; null: the default
    # empty: hold_with_deadline where runs report when they expire, else hold
    hold_policy = models.CharField(max_length=20, choices=HoldPolicy.choices, blank=True)
    # how often at most the far side is asked for news, all runs together
    polls_per_minute = models.PositiveIntegerField(default=60)
    # when that budget will be whole again, in seconds since 1970
    polls_whole_at = models.FloatField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    objects = ConnectionQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @property
    def api_key(self) -> str:
        return decrypt(self.api_key_encrypted) if self.api_key_encrypted else ""

    @api_key.setter
    def api_key(self, value: str) -> None:
        self.api_key_encrypted = encrypt(value) if value else ""

    @property
    def webhook_secret(self) -> str:
        return decrypt(self.webhook_secret_encrypted) if self.webhook_secret_encrypted else ""

    @webhook_secret.setter
    def webhook_secret(self, value: str) -> None:
        self.webhook_secret_encrypted = encrypt(value) if value else ""

    @property
    def is_embedded(self) -> bool:
        """Served by our own Assistants server, with this connection as the model behind it."""
        return self.protocol in self.EMBEDDED


class AssistantQuerySet(models.QuerySet["Assistant"]):
    def visible_to(self, person: Any) -> Self:
        """Those that work in a mailbox within the person's reach."""
        return self.filter(person.mailbox_reach("mailbox_links__mailbox")).distinct()


class Assistant(models.Model):
    """The agent that owns keys and runs. Its mailboxes and scopes are its rights."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "agt"))
    name = models.CharField(max_length=200, unique=True)
    instructions = models.TextField(blank=True)
    scopes = models.JSONField(default=list)
    connection = models.ForeignKey(Connection, models.PROTECT, null=True, related_name="assistants")
    # the assistant's id in the protocol, once a run of it was started by us
    remote_id = models.CharField(max_length=80, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = AssistantQuerySet.as_manager()

    sees_held_inbound = False

    def __str__(self) -> str:
        return self.name

    @property
    def actor(self) -> str:
        return f"assistant:{self.pk}"

    def has_scope(self, scope: str) -> bool:
        return scope in implied(self.scopes)

    def mailbox_reach(self, field: str) -> Q:
        """A filter for rows whose `field` names a mailbox within reach."""
        return Q(**{f"{field}__in": self.mailbox_links.values("mailbox")})

    def run_reach(self) -> Q:
        return Q(assistant=self)

    if TYPE_CHECKING:
        mailbox_links: Any


class Integration(models.Model):
    """A program that is no assistant and holds keys."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "itg"))
    name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self, now: Any) -> Self:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)

    def visible_to(self, person: Any) -> Self:
        """All for who reaches every mailbox; for others those that work in one within reach."""
        if person.all_mailboxes:
            return self
        within = ApiKey.objects.filter(person.mailbox_reach("mailbox_links__mailbox"))
        return self.filter(pk__in=within.values("pk"))


class ApiKey(models.Model):
    """A bearer key, stored as a hash. It belongs to one assistant or to one integration."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "key"))
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=16)
    hash = models.CharField(max_length=64, unique=True)
    assistant = models.ForeignKey(Assistant, models.CASCADE, null=True, related_name="keys")
    integration = models.ForeignKey(Integration, models.CASCADE, null=True, related_name="keys")
    # columns, not a list, so that the database itself refuses a key that both sends and decides
    may_read = models.BooleanField(default=False)
    may_send = models.BooleanField(default=False)
    may_admin = models.BooleanField(default=False)
    may_oversight = models.BooleanField(default=False)
    may_oversight_read = models.BooleanField(default=False)
    all_mailboxes = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    # the write limit's token bucket: when it will be full again, in seconds since 1970
    bucket_full_at = models.FloatField(default=0)
    # the first mailbox that a key creates needs no operator's approval
    made_mailbox = models.BooleanField(default=False)

    objects = ApiKeyQuerySet.as_manager()

    is_authenticated = True
    is_anonymous = False
    is_active = True
    # of a call that brings the cookie of a person's one-time code
    in_operator_session = False

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(assistant__isnull=True, integration__isnull=False)
                | Q(assistant__isnull=False, integration__isnull=True),
                name="key_has_one_owner",
            ),
            models.CheckConstraint(
                condition=Q(may_oversight=False) | Q(may_send=False, may_admin=False, assistant__isnull=True),
                name="key_never_sends_and_decides",
            ),
            models.CheckConstraint(
                condition=Q(all_mailboxes=False) | Q(assistant__isnull=True),
                name="key_of_assistant_lists_mailboxes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def actor(self) -> str:
        return f"key:{self.pk}"

    @property
    def scopes(self) -> list[str]:
        return [scope.value for scope in Scope if getattr(self, f"may_{scope.value}")]

    def has_scope(self, scope: str) -> bool:
        """An assistant's scopes are the ceiling of its keys, read anew each time."""
        return scope in implied(self.scopes) and (self.assistant is None or self.assistant.has_scope(scope))

    @property
    def sees_held_inbound(self) -> bool:
        return self.has_scope(Scope.OVERSIGHT) or self.has_scope(Scope.OVERSIGHT_READ)

    def mailbox_reach(self, field: str) -> Q:
        if self.all_mailboxes:
            return Q()
        reach = Q(**{f"{field}__in": self.mailbox_links.values("mailbox")})
        return reach & self.assistant.mailbox_reach(field) if self.assistant else reach

    def run_reach(self) -> Q:
        """A key sees its assistant's runs about its own mailboxes or none; an integration's has none."""
        about = Q(mailbox_id="") | self.mailbox_reach("mailbox_id")
        return Q(assistant=self.assistant) & about if self.assistant else Q(pk__in=())

    @property
    def owner(self) -> Assistant | Integration:
        owner = self.assistant or self.integration
        if owner is None:
            raise TypeError("key_has_one_owner")
        return owner

    @property
    def owner_id(self) -> str:
        """Of the assistant or integration whose key it is."""
        return self.assistant_id or self.integration_id or ""

    def contact_reach(self) -> Q:
        return Q() if self.all_mailboxes else Q(owner=self.owner_id)

    if TYPE_CHECKING:
        mailbox_links: Any


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, actor: Any) -> Self:
        return self.filter(actor.run_reach())

    def driven(self) -> Self:
        return self.filter(driver=Run.Driver.COUNTERSEAL)

    def waiting(self) -> Self:
        return self.filter(status=Run.Status.REQUIRES_ACTION)

    def due(self, now: Any) -> Self:
        """To be read again; a plan has nothing to read yet."""
        return self.filter(sync_due_at__lte=now).exclude(run_id="")


class Run(models.Model):
    """A run as last seen by us. Ids are the protocol's own."""

    class Driver(models.TextChoices):
        """Only the driver submits outputs."""

        CALLER = "caller"
        COUNTERSEAL = "counterseal"

    class Status(models.TextChoices):
        STARTING = "starting"  # ours: recorded, not yet created at the far side
        QUEUED = "queued"
        IN_PROGRESS = "in_progress"
        REQUIRES_ACTION = "requires_action"
        CANCELLING = "cancelling"
        CANCELLED = "cancelled"
        FAILED = "failed"
        COMPLETED = "completed"
        INCOMPLETE = "incomplete"
        EXPIRED = "expired"
        GONE = "gone"  # ours: the far side knows no such run any more

    class Cause(models.TextChoices):
        CALLER = "caller"  # made by whoever drives it
        PERSON = "person"
        INBOUND = "inbound"
        FOLLOW_UP = "follow_up"  # tells what was decided after `follows` could no longer be told
        ADOPTED = "adopted"

    # in which it can take no output any more
    CUT_OFF = (Status.CANCELLED, Status.FAILED, Status.INCOMPLETE, Status.EXPIRED, Status.GONE)
    ENDED = (*CUT_OFF, Status.COMPLETED)
    # before its end: time enough to answer it, also through a few failures
    HOLD_MARGIN = timedelta(seconds=90)

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "rn"))
    connection = models.ForeignKey(Connection, models.PROTECT, null=True, related_name="runs")
    assistant = models.ForeignKey(Assistant, models.PROTECT, related_name="runs")
    driver = models.CharField(max_length=12, choices=Driver.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.STARTING)
    # empty until the far side has answered
    run_id = models.CharField(max_length=200, blank=True)
    thread_id = models.CharField(max_length=200, blank=True)
    remote_assistant_id = models.CharField(max_length=200, blank=True)
    # what the run is about, and what fills {mailbox_id} and {email_id}; sent as the run's metadata
    mailbox_id = models.CharField(max_length=40, blank=True)
    email_id = models.CharField(max_length=40, blank=True)
    prompt = models.TextField(blank=True)
    cause = models.CharField(max_length=12, choices=Cause.choices, default=Cause.CALLER)
    # the email conversation whose thread it continues; "" without one
    conversation_id = models.CharField(max_length=40, blank=True)
    follows = models.ForeignKey("self", models.PROTECT, null=True, related_name="follow_ups")
    # one start per cause, e.g. the email that started it
    start_key = models.CharField(max_length=80, unique=True, null=True)
    # set before the far side is asked for it the first time; from then on its prompt is fixed
    start_tried_at = models.DateTimeField(null=True)
    # Responses: the newest response of the run; `run_id` is the first.
    # Agents: the newest turn that its session had before it
    latest_id = models.CharField(max_length=200, blank=True)
    # as the far side reports it; null where runs don't expire
    expires_at = models.DateTimeField(null=True)
    transcript = models.JSONField(default=list)  # [{"role", "text", "at"}], oldest first
    last_error = models.CharField(max_length=1000, blank=True)
    # what a person should look at: a resume that fails, outputs that somebody else submitted
    alert = models.CharField(max_length=1000, blank=True)
    noted = models.CharField(max_length=40, blank=True)  # what of it the log has last
    sync_due_at = models.DateTimeField(null=True)
    sync_attempts = models.PositiveIntegerField(default=0)  # the fence of the lease
    sync_failures = models.PositiveIntegerField(default=0)  # in a row
    quiet_looks = models.PositiveIntegerField(default=0)  # in a row that found nothing new
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["sync_due_at"], condition=Q(sync_due_at__isnull=False), name="run_sync_due"),
            models.Index(fields=["status", "id"]),
            models.Index(fields=["assistant", "id"]),
            models.Index(fields=["assistant", "thread_id"], name="run_thread"),
            models.Index(fields=["id"], condition=~Q(alert=""), name="run_alert"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["assistant", "run_id"], condition=~Q(run_id=""), name="run_seen_once"
            )
        ]

    def __str__(self) -> str:
        return self.run_id or self.id

    @property
    def has_ended(self) -> bool:
        return self.status in self.ENDED

    @property
    def hold_until(self) -> datetime | None:
        """When a call that nobody has decided gets a provisional answer; None: it waits as long as it takes.

        Derived from what the run reports, because servers differ in how long their runs live.
        """
        policy = self.connection.hold_policy if self.connection else ""
        if policy == Connection.HoldPolicy.PENDING_NOW:
            return self.created_at
        if policy == Connection.HoldPolicy.HOLD or self.expires_at is None:
            return None
        return self.expires_at - self.HOLD_MARGIN


class ToolCall(models.Model):
    """A function call of a run, and the output that we owe it."""

    class Settled(models.TextChoices):
        """What became of the output, once we know."""

        SUBMITTED = "submitted"  # the far side said yes
        CONFIRMED = "confirmed"  # no yes was heard, and the far side shows our output
        UNVERIFIED = "unverified"  # no yes was heard; the run went on and shows nothing of the call
        ELSEWHERE = "answered_elsewhere"  # somebody else's output is there
        GONE = "gone"  # the run can't take it any more: a follow-up tells it

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "tc"))
    run = models.ForeignKey(Run, models.CASCADE, related_name="calls")
    call_id = models.CharField(max_length=200)
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=200)
    arguments = models.TextField()  # JSON text, as the model wrote it
    output = models.TextField(null=True)  # JSON text; null while the call is open
    # it only says that nobody has decided yet: what is decided is told by a follow-up
    is_provisional = models.BooleanField(default=False)
    answered_at = models.DateTimeField(null=True)
    settled = models.CharField(max_length=20, choices=Settled.choices, blank=True)
    submitted_at = models.DateTimeField(null=True)
    # the run that tells what this one could not be told
    follow_up = models.ForeignKey(Run, models.SET_NULL, null=True, related_name="tells")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "call_id"], name="call_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.call_id}"


class ModelWebhook(models.Model):
    """A webhook that a run server sent: kept before it is read, once per id that its sender gave it."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="webhooks")
    webhook_id = models.CharField(max_length=200)
    payload = models.JSONField()
    received_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "webhook_id"], name="webhook_received_once")
        ]

    def __str__(self) -> str:
        return self.webhook_id
