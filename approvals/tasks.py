"""What a worker does. Each works until nothing is due and returns how much it did."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from approvals import actions, effects, outbox, sweep
from assistants import webhooks


@shared_task(name="approvals.tasks.deliver")
def deliver() -> int:
    return outbox.drain(effects.DELIVERY)


@shared_task(name="approvals.tasks.receive")
def receive() -> int:
    return outbox.drain(effects.INBOUND)


@shared_task(name="approvals.tasks.drain")
def drain() -> int:
    return outbox.drain(effects.OTHERS)


@shared_task(name="approvals.tasks.post")
def post() -> int:
    return outbox.drain(effects.POSTS)


@shared_task(name="approvals.tasks.drive")
def drive() -> int:
    return outbox.drain(effects.RUNS)


@shared_task(name="approvals.tasks.sync_runs")
def sync_runs() -> int:
    return sweep.sync_runs()


@shared_task(name="approvals.tasks.sweep")
def sweep_all() -> int:
    return sweep.sweep()


@shared_task(name="approvals.tasks.check_domains")
def check_domains() -> int:
    return effects.verify_domains()


@shared_task(name="approvals.tasks.forget")
def forget() -> int:
    return webhooks.sweep(timezone.now()) + actions.forget_mail_hooks()
