"""The address book."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from django.db import models
from django.utils import timezone

from audit.ids import new_id


class ContactQuerySet(models.QuerySet["Contact"]):
    def visible_to(self, actor: Any) -> Self:
        return self.filter(actor.contact_reach())


class Contact(models.Model):
    """Somebody to write to. `owner` is the id of the assistant or integration whose address book it is in."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "con"))
    owner = models.CharField(max_length=40)
    # bare, as it goes on the wire
    email = models.CharField(max_length=320)
    name = models.CharField(max_length=200, blank=True)
    tags = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)

    objects = ContactQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["owner", "id"])]
        constraints = [models.UniqueConstraint(fields=["owner", "email"], name="contact_once")]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email
