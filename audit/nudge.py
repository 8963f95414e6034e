"""Wake a worker by the name of its task. A lost nudge costs promptness only: the sweep finds all."""

from __future__ import annotations

import logging

from celery import current_app
from django.db import transaction

log = logging.getLogger("counterseal.nudge")


def on_commit(task: str) -> None:
    transaction.on_commit(lambda: now(task))


def is_heard_here(task: str) -> bool:
    """Whether a thread of this very process waits for it (config/celery.py)."""
    return task in getattr(current_app, "wakers", ())


def now(task: str) -> None:
    try:
        current_app.send_task(task, ignore_result=True)
    except Exception:
        # the broker is gone; what the caller committed stands, and the sweep will find it
        log.warning("nudge %s lost", task, exc_info=True)
