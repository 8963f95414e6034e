from __future__ import annotations

from celery import shared_task

from assistants.server import actions, engine, streams


@shared_task
def advance_runs() -> int:
    return engine.drain()


@shared_task
def tidy() -> int:
    return actions.expire_runs() + streams.sweep()
