from __future__ import annotations

from celery import shared_task

from assistants.server import engine


@shared_task
def advance_runs() -> int:
    return engine.drain()
