from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.utils import timezone

from assistants.server import actions, bodies, objects, tail
from assistants.server.endpoint import Asked, endpoint
from assistants.server.fields import clean
from assistants.server.models import Run
from assistants.server.paging import page
from assistants.server.views import find

Json = dict[str, Any]


POLL_WORKING = 200  # milliseconds between two polls of a run whose model is at work
POLL_WAITING = (1000, 10_000)  # of one that waits for a person, at first and at most


def _polled(run: Run) -> HttpResponse:
    response = JsonResponse(objects.run(run))
    response["openai-poll-after-ms"] = str(_poll_after(run))
    return response


def _poll_after(run: Run) -> int:
    """Whoever has been thinking for a while will be thinking for a while longer."""
    if run.status != Run.Status.REQUIRES_ACTION:
        return POLL_WORKING
    thinking = timezone.now() - run.open_step.created_at
    shortest, longest = POLL_WAITING
    return max(shortest, min(longest, int(thinking.total_seconds() * 100)))


def _moved(asked: Asked, given: Json, act: Callable[[], Run]) -> HttpResponseBase:
    """The run after a call that moved it, or what happens to it from then on."""
    return tail.stream(asked.caller, act) if given.get("stream") else _polled(act())


def create_thread_and_run(asked: Asked) -> HttpResponseBase:
    given = clean(asked.body, bodies.THREAD_AND_RUN, required=["assistant_id"])
    resources = {"tool_resources": given["tool_resources"]} if given.get("tool_resources") else {}
    given["thread"] = resources | clean(given.get("thread") or {}, bodies.THREAD)
    assistant = find.assistant(asked, given["assistant_id"])
    return _moved(asked, given, lambda: actions.create_run(asked.caller, None, assistant, given))


def create_run(asked: Asked, thread_id: str) -> HttpResponseBase:
    thread = find.thread(asked, thread_id)
    given = clean(asked.body, bodies.RUN, required=["assistant_id"])
    assistant = find.assistant(asked, given["assistant_id"])
    return _moved(asked, given, lambda: actions.create_run(asked.caller, thread, assistant, given))


def list_runs(asked: Asked, thread_id: str) -> Json:
    return page(find.runs(find.thread(asked, thread_id)), asked.query, objects.run)


def get_run(asked: Asked, thread_id: str, run_id: str) -> HttpResponse:
    return _polled(find.run(asked, thread_id, run_id))


def update_run(asked: Asked, thread_id: str, run_id: str) -> HttpResponse:
    run = find.run(asked, thread_id, run_id)
    run.metadata = clean(asked.body, bodies.METADATA).get("metadata", run.metadata)
    run.save(update_fields=["metadata"])
    return _polled(run)


def cancel_run(asked: Asked, thread_id: str, run_id: str) -> HttpResponse:
    return _polled(actions.cancel(asked.caller, find.run(asked, thread_id, run_id)))


def submit_tool_outputs(asked: Asked, thread_id: str, run_id: str) -> HttpResponseBase:
    run = find.run(asked, thread_id, run_id)
    given = clean(asked.body, bodies.OUTPUTS, required=["tool_outputs"])
    outputs, stream = given["tool_outputs"], bool(given.get("stream"))
    return _moved(asked, given, lambda: actions.submit(asked.caller, run, outputs, stream=stream))


def list_steps(asked: Asked, thread_id: str, run_id: str) -> Json:
    return page(find.steps(find.run(asked, thread_id, run_id)), asked.query, objects.step)


def get_step(asked: Asked, thread_id: str, run_id: str, step_id: str) -> Json:
    return objects.step(find.one(find.steps(find.run(asked, thread_id, run_id)), "run step", step_id))


thread_and_run = endpoint(POST=create_thread_and_run)
runs = endpoint(POST=create_run, GET=list_runs)
run = endpoint(GET=get_run, POST=update_run)
cancelled = endpoint(POST=cancel_run)
submitted = endpoint(POST=submit_tool_outputs)
steps = endpoint(GET=list_steps)
step = endpoint(GET=get_step)
