"""What the built-in catcher received."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from django.db import models
from django.utils import timezone

from audit.ids import new_id
from mailboxes.models.mailboxes import Mailbox


class CaughtMessageQuerySet(models.QuerySet["CaughtMessage"]):
    def visible_to(self, actor: Any) -> Self:
        return self.filter(envelope_from__in=Mailbox.objects.visible_to(actor).values("address"))


class CaughtMessage(models.Model):
    """What the built-in catcher received in place of a mail server."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "cau"))
    envelope_from = models.CharField(max_length=320)
    recipients = models.JSONField()
    subject = models.TextField(blank=True)
    data = models.BinaryField()
    caught_at = models.DateTimeField(default=timezone.now)

    objects = CaughtMessageQuerySet.as_manager()

    def __str__(self) -> str:
        return self.id
