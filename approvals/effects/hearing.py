"""What run servers tell by themselves, worked off."""

from __future__ import annotations

from django.db import transaction

from approvals import outbox
from approvals.models import OutboxEntry
from assistants import webhooks
from assistants.models import ModelWebhook


def read_webhook(promise: OutboxEntry) -> None:
    """`ref` is a webhook. What it is about is asked for again, and who waits for it tries now."""
    webhook = ModelWebhook.objects.select_related("connection").filter(pk=promise.ref).first()
    if webhook is None:
        return  # the sweep was faster
    with transaction.atomic():
        plan = webhooks.read(webhook)
        if plan:
            outbox.enqueue(OutboxEntry.Kind.START_RUN, plan.pk)
