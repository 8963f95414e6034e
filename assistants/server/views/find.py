"""What a caller may find: the one door to rows."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet

from assistants.models import Run as SeenRun
from assistants.server.endpoint import Asked
from assistants.server.errors import not_found
from assistants.server.models import Assistant, Message, Run, Step, Thread
from audit.prepared import Rows, Slot

Row = TypeVar("Row", bound=Model)


def one(rows: QuerySet[Row], kind: str, id: str) -> Row:
    row = rows.filter(id=id).first()
    if row is None:
        raise not_found(kind, id)
    return row


def assistants(asked: Asked) -> QuerySet[Assistant]:
    return Assistant.objects.filter(owner=asked.caller.assistant)


def assistant(asked: Asked, id: str) -> Assistant:
    return one(assistants(asked), "assistant", id)


def threads(asked: Asked) -> QuerySet[Thread]:
    """The assistant's; for a key with fewer mailboxes, without those of runs about the others."""
    caller = asked.caller
    found = Thread.objects.filter(owner=caller.assistant)
    if caller.key is None:
        return found
    seen = SeenRun.objects.filter(assistant=caller.assistant)
    return found.exclude(id__in=seen.exclude(caller.key.run_reach()).values("thread_id"))


def thread(asked: Asked, id: str) -> Thread:
    return one(threads(asked), "thread", id)


def messages(thread: Thread) -> QuerySet[Message]:
    return thread.messages.select_related("thread", "run")


def message(asked: Asked, thread_id: str, id: str) -> Message:
    return one(messages(thread(asked, thread_id)), "message", id)


def runs(thread: Thread) -> QuerySet[Run]:
    return Run.objects.filter(thread=thread).select_related("thread")


_of_driver = Rows(
    lambda: Run.objects.select_related("thread").filter(
        id=Slot("id"), thread__id=Slot("thread_id"), thread__owner=Slot("owner")
    )
)


def run(asked: Asked, thread_id: str, id: str) -> Run:
    """Our own driver, whose reach is all that its assistant has, finds it at once."""
    owner, key = asked.caller.assistant.pk, asked.caller.key
    if key is None and (found := _of_driver.first(owner=owner, thread_id=thread_id, id=id)):
        return found
    return one(runs(thread(asked, thread_id)), "run", id)


def steps(run: Run) -> QuerySet[Step]:
    return run.steps.select_related("run__thread")
