"""The server's own tables. Nobody else reads them: the rest of the project asks over HTTP.

Rows have a number beside their id, because ids made within one millisecond do not sort.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from assistants.models import Assistant as Owner
from audit.ids import new_id
from audit.prepared import Rows, Slot


class Assistant(models.Model):
    """Instructions, model and tools, as a caller configured them. Runs take a copy."""

    seq = models.BigAutoField(primary_key=True)
    id = models.CharField(max_length=40, unique=True, default=partial(new_id, "asst"))
    owner = models.ForeignKey(Owner, models.CASCADE, related_name="+")
    name = models.CharField(max_length=256, null=True)
    description = models.CharField(max_length=512, null=True)
    instructions = models.TextField(null=True)
    model = models.CharField(max_length=256)
    tools = models.JSONField(default=list)
    tool_resources = models.JSONField(null=True)
    options = models.JSONField(
        default=dict
    )  # temperature, top_p, response_format, reasoning_effort: those set
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.id


class Thread(models.Model):
    seq = models.BigAutoField(primary_key=True)
    id = models.CharField(max_length=40, unique=True, default=partial(new_id, "thread"))
    owner = models.ForeignKey(Owner, models.CASCADE, related_name="+")
    tool_resources = models.JSONField(null=True)
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.id


class RunQuerySet(models.QuerySet["Run"]):
    def active(self) -> Self:
        return self.filter(status__in=Run.ACTIVE)

    def due(self, now: Any) -> Self:
        return self.filter(status__in=Run.OURS, due_at__lte=now)

    def overdue(self, now: Any) -> Self:
        return self.filter(status__in=Run.EXPIRING, ended_at=None, expires_at__lte=now)


class Run(models.Model):
    """One run. It is worked on under a lease: `due_at` in the future, fenced by `attempts`."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        IN_PROGRESS = "in_progress"
        REQUIRES_ACTION = "requires_action"
        CANCELLING = "cancelling"
        CANCELLED = "cancelled"
        FAILED = "failed"
        COMPLETED = "completed"
        INCOMPLETE = "incomplete"
        EXPIRED = "expired"

    OURS = (Status.QUEUED, Status.IN_PROGRESS, Status.CANCELLING)
    ACTIVE = (*OURS, Status.REQUIRES_ACTION)
    EXPIRING = (Status.QUEUED, Status.IN_PROGRESS, Status.REQUIRES_ACTION)

    seq = models.BigAutoField(primary_key=True)
    id = models.CharField(max_length=40, unique=True, default=partial(new_id, "run"))
    owner = models.ForeignKey(Owner, models.CASCADE, related_name="+")
    thread = models.ForeignKey(Thread, models.CASCADE, related_name="runs")
    # text: a run outlives its assistant
    assistant_id = models.CharField(max_length=40)
    # who made it; who drives it now is on the run as seen by us (assistants.Run), where adopting changes it
    made_by = models.CharField(max_length=12)
    # our driver's name for this run: asked for twice, because an answer was lost, it is made once
    start_key = models.CharField(max_length=80, null=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    instructions = models.TextField(blank=True)
    model = models.CharField(max_length=256)
    tools = models.JSONField(default=list)
    options = models.JSONField(default=dict)  # as given: see fields.RUN_OPTIONS
    metadata = models.JSONField(default=dict)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    last_error = models.JSONField(null=True)  # {"code", "message"}
    incomplete_reason = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)  # null: it waits as long as its person takes
    # events after this one are the stream that a caller asked for; null: nobody asked for one
    stream_after = models.BigIntegerField(null=True)
    # the lease
    due_at = models.DateTimeField(default=timezone.now)
    leased_by = models.CharField(max_length=80, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    tries = models.PositiveIntegerField(default=0)  # attempts at the present turn

    objects = RunQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(status__in=("queued", "in_progress", "cancelling")),
                name="run_due",
            ),
            models.Index(
                fields=["expires_at"], condition=Q(expires_at__isnull=False, ended_at=None), name="run_expiry"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["thread"],
                condition=Q(status__in=("queued", "in_progress", "requires_action", "cancelling")),
                name="one_active_run_per_thread",
            ),
            models.UniqueConstraint(fields=["owner", "start_key"], name="run_started_once"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def is_overdue(self) -> bool:
        is_up = self.expires_at is not None and self.expires_at <= timezone.now()
        return is_up and self.status in self.EXPIRING

    @property
    def open_step(self) -> Step:
        """That whose calls a waiting run waits for."""
        step = _open_step.get(run=self.pk)
        step.run = self
        return step


class MessageQuerySet(models.QuerySet["Message"]):
    def written(self) -> Self:
        """Those that nobody is still writing."""
        return self.exclude(status=Message.Status.IN_PROGRESS)


class Message(models.Model):
    class Status(models.TextChoices):
        IN_PROGRESS = "in_progress"  # a model is writing it; its content comes at the end
        COMPLETED = "completed"
        INCOMPLETE = "incomplete"

    seq = models.BigAutoField(primary_key=True)
    id = models.CharField(max_length=40, unique=True, default=partial(new_id, "msg"))
    thread = models.ForeignKey(Thread, models.CASCADE, related_name="messages")
    run = models.ForeignKey(Run, models.CASCADE, null=True, related_name="messages")
    role = models.CharField(max_length=10)
    content = models.JSONField()  # content blocks, as they are given out
    attachments = models.JSONField(default=list)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.COMPLETED)
    incomplete_reason = models.CharField(max_length=20, blank=True)
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)  # null: when it was created

    objects = MessageQuerySet.as_manager()

    def __str__(self) -> str:
        return self.id

    @property
    def text(self) -> str:
        return "\n".join(block["text"]["value"] for block in self.content if block["type"] == "text")


class Step(models.Model):
    """A message that a run wrote, or a set of calls that it made in one turn of its model."""

    class Type(models.TextChoices):
        MESSAGE = "message_creation"
        CALLS = "tool_calls"

    class Status(models.TextChoices):
        IN_PROGRESS = "in_progress"
        COMPLETED = "completed"
        CANCELLED = "cancelled"
        FAILED = "failed"
        EXPIRED = "expired"

    seq = models.BigAutoField(primary_key=True)
    id = models.CharField(max_length=40, unique=True, default=partial(new_id, "step"))
    run = models.ForeignKey(Run, models.CASCADE, related_name="steps")
    type = models.CharField(max_length=20, choices=Type.choices)
    status = models.CharField(max_length=12, choices=Status.choices)
    turn = models.PositiveIntegerField()
    message_id = models.CharField(max_length=40, blank=True)
    calls = models.JSONField(default=list)  # [{"id", "name", "arguments", "output"}]
    # the thread's newest message when the calls were made: their place in the conversation
    after = models.BigIntegerField(default=0)
    usage = models.JSONField(null=True)
    last_error = models.JSONField(null=True)  # {"code", "message"}
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.id} {self.status}"


_open_step = Rows(
    lambda: Step.objects.filter(
        run=Slot("run"), type=Step.Type.CALLS, status=Step.Status.IN_PROGRESS
    ).order_by("-seq")[:1]
)


class StreamEvent(models.Model):
    """A server-sent event of a run that somebody streams. Rows, because the engine may be another process
    than the one that holds the connection; they are swept away soon.
    """

    seq = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, models.CASCADE, related_name="events", db_index=False)
    name = models.CharField(max_length=40)
    data = models.TextField()  # JSON in ASCII, one line
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        indexes = [models.Index(fields=["run", "seq"], name="stream_of_run")]

    def __str__(self) -> str:
        return self.name
