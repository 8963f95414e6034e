"""Celery only wakes workers up: what is to be done stands in rows, and a lost task is found by the sweep."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.result import AsyncResult, EagerResult
from celery.states import PENDING
from celery.utils import uuid

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class WakingCelery(Celery):
    """Sends a task past the broker when a worker of this very process waits for it.

    `up` runs web and workers in one process; the memory broker between them would poll once a
    second, and an event wakes them at once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wakers: dict[str, Callable[[], None]] = {}

    def send_task(self, name: str, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        wake = self.wakers.get(name)
        if wake is None:
            return super().send_task(name, *args, **kwargs)
        wake()
        # one that asks no backend, which takes longer to make than to wake a worker
        return EagerResult(uuid(), None, PENDING)


app = WakingCelery("counterseal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
