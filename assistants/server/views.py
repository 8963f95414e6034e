"""Views: find the caller's own object, make one call, render it."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpResponse, JsonResponse

from assistants.models import Run as SeenRun
from assistants.server import actions, bodies, objects
from assistants.server.endpoint import Asked, endpoint
from assistants.server.errors import ApiError, not_found
from assistants.server.fields import clean
from assistants.server.models import Assistant, Message, Run, Step, Thread
from assistants.server.paging import page

Row = TypeVar("Row", bound=Model)
Json = dict[str, Any]

# milliseconds between two polls of a run: while it waits, it waits for a person
POLL_WORKING, POLL_WAITING = 200, 1000


def _one(rows: QuerySet[Row], kind: str, id: str) -> Row:
    row = rows.filter(id=id).first()
    if row is None:
        raise not_found(kind, id)
    return row


def _assistants(asked: Asked) -> QuerySet[Assistant]:
    return Assistant.objects.filter(owner=asked.caller.assistant)


def _assistant(asked: Asked, id: str) -> Assistant:
    return _one(_assistants(asked), "assistant", id)


def _threads(asked: Asked) -> QuerySet[Thread]:
    """The assistant's; for a key with fewer mailboxes, without those of runs about the others."""
    caller = asked.caller
    found = Thread.objects.filter(owner=caller.assistant)
    if caller.key is None:
        return found
    seen = SeenRun.objects.filter(assistant=caller.assistant)
    return found.exclude(id__in=seen.exclude(caller.key.run_reach()).values("thread_id"))


def _thread(asked: Asked, id: str) -> Thread:
    return _one(_threads(asked), "thread", id)


def _messages(thread: Thread) -> QuerySet[Message]:
    return thread.messages.select_related("thread", "run")


def _message(asked: Asked, thread_id: str, id: str) -> Message:
    return _one(_messages(_thread(asked, thread_id)), "message", id)


def _runs(thread: Thread) -> QuerySet[Run]:
    return Run.objects.filter(thread=thread).select_related("thread")


def _run(asked: Asked, thread_id: str, id: str) -> Run:
    return _one(_runs(_thread(asked, thread_id)), "run", id)


def _steps(run: Run) -> QuerySet[Step]:
    return run.steps.select_related("run__thread")


# assistants


def _sampling(given: Json) -> Json:
    return {name: given.pop(name) for name in bodies.SAMPLING if name in given}


def create_assistant(asked: Asked) -> Json:
    given = clean(asked.body, bodies.ASSISTANT, required=["model"])
    options = {name: value for name, value in _sampling(given).items() if value is not None}
    given["tools"] = given.get("tools") or []
    return objects.assistant(Assistant.objects.create(owner=asked.caller.assistant, options=options, **given))


def list_assistants(asked: Asked) -> Json:
    return page(_assistants(asked), asked.query, objects.assistant)


def get_assistant(asked: Asked, assistant_id: str) -> Json:
    return objects.assistant(_assistant(asked, assistant_id))


def update_assistant(asked: Asked, assistant_id: str) -> Json:
    assistant = _assistant(asked, assistant_id)
    given = clean(asked.body, bodies.ASSISTANT)
    options = assistant.options | _sampling(given)
    assistant.options = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        setattr(assistant, name, [] if name == "tools" and value is None else value)
    assistant.save()
    return objects.assistant(assistant)


def delete_assistant(asked: Asked, assistant_id: str) -> Json:
    _assistant(asked, assistant_id).delete()
    return objects.deleted("assistant", assistant_id)


# threads


def create_thread(asked: Asked) -> Json:
    return objects.thread(actions.create_thread(asked.caller, clean(asked.body, bodies.THREAD)))


def get_thread(asked: Asked, thread_id: str) -> Json:
    return objects.thread(_thread(asked, thread_id))


def update_thread(asked: Asked, thread_id: str) -> Json:
    thread = _thread(asked, thread_id)
    given = clean(asked.body, {name: bodies.THREAD[name] for name in ("metadata", "tool_resources")})
    for name, value in given.items():
        setattr(thread, name, value)
    thread.save(update_fields=given)
    return objects.thread(thread)


def delete_thread(asked: Asked, thread_id: str) -> Json:
    actions.delete_thread(asked.caller, _thread(asked, thread_id))
    return objects.deleted("thread", thread_id)


# messages


def create_message(asked: Asked, thread_id: str) -> Json:
    thread = _thread(asked, thread_id)
    given = clean(asked.body, bodies.MESSAGE, required=bodies.MESSAGE_NEEDS)
    return objects.message(actions.add_message(thread, given))


def list_messages(asked: Asked, thread_id: str) -> Json:
    messages = _messages(_thread(asked, thread_id))
    if run_id := asked.query.get("run_id"):
        messages = messages.filter(run__id=run_id)
    return page(messages, asked.query, objects.message)


def get_message(asked: Asked, thread_id: str, message_id: str) -> Json:
    return objects.message(_message(asked, thread_id, message_id))


def update_message(asked: Asked, thread_id: str, message_id: str) -> Json:
    message = _message(asked, thread_id, message_id)
    message.metadata = clean(asked.body, bodies.METADATA).get("metadata", message.metadata)
    message.save(update_fields=["metadata"])
    return objects.message(message)


def delete_message(asked: Asked, thread_id: str, message_id: str) -> Json:
    _message(asked, thread_id, message_id).delete()
    return objects.deleted("thread.message", message_id)


# runs


def _polled(run: Run) -> HttpResponse:
    response = JsonResponse(objects.run(run))
    waits = run.status == Run.Status.REQUIRES_ACTION
    response["openai-poll-after-ms"] = str(POLL_WAITING if waits else POLL_WORKING)
    return response


def create_thread_and_run(asked: Asked) -> HttpResponse:
    given = clean(asked.body, bodies.THREAD_AND_RUN, required=["assistant_id"])
    resources = {"tool_resources": given["tool_resources"]} if given.get("tool_resources") else {}
    given["thread"] = resources | clean(given.get("thread") or {}, bodies.THREAD)
    assistant = _assistant(asked, given["assistant_id"])
    return _polled(actions.create_run(asked.caller, None, assistant, given))


def create_run(asked: Asked, thread_id: str) -> HttpResponse:
    thread = _thread(asked, thread_id)
    given = clean(asked.body, bodies.RUN, required=["assistant_id"])
    assistant = _assistant(asked, given["assistant_id"])
    return _polled(actions.create_run(asked.caller, thread, assistant, given))


def list_runs(asked: Asked, thread_id: str) -> Json:
    return page(_runs(_thread(asked, thread_id)), asked.query, objects.run)


def get_run(asked: Asked, thread_id: str, run_id: str) -> HttpResponse:
    return _polled(_run(asked, thread_id, run_id))


def update_run(asked: Asked, thread_id: str, run_id: str) -> HttpResponse:
    run = _run(asked, thread_id, run_id)
    run.metadata = clean(asked.body, bodies.METADATA).get("metadata", run.metadata)
    run.save(update_fields=["metadata"])
    return _polled(run)


def cancel_run(asked: Asked, thread_id: str, run_id: str) -> HttpResponse:
    return _polled(actions.cancel(asked.caller, _run(asked, thread_id, run_id)))


def submit_tool_outputs(asked: Asked, thread_id: str, run_id: str) -> HttpResponse:
    run = _run(asked, thread_id, run_id)
    outputs = clean(asked.body, bodies.OUTPUTS, required=["tool_outputs"])["tool_outputs"]
    return _polled(actions.submit(asked.caller, run, outputs))


# steps


def list_steps(asked: Asked, thread_id: str, run_id: str) -> Json:
    return page(_steps(_run(asked, thread_id, run_id)), asked.query, objects.step)


def get_step(asked: Asked, thread_id: str, run_id: str, step_id: str) -> Json:
    return objects.step(_one(_steps(_run(asked, thread_id, run_id)), "run step", step_id))


def unknown(asked: Asked, path: str) -> Json:
    raise ApiError(f"There is nothing at /openai/v1/{path}.", 404, code="unknown_url")


assistants = endpoint(POST=create_assistant, GET=list_assistants)
assistant = endpoint(GET=get_assistant, POST=update_assistant, DELETE=delete_assistant)
threads = endpoint(POST=create_thread)
thread_and_run = endpoint(POST=create_thread_and_run)
thread = endpoint(GET=get_thread, POST=update_thread, DELETE=delete_thread)
messages = endpoint(POST=create_message, GET=list_messages)
message = endpoint(GET=get_message, POST=update_message, DELETE=delete_message)
runs = endpoint(POST=create_run, GET=list_runs)
run = endpoint(GET=get_run, POST=update_run)
cancelled = endpoint(POST=cancel_run)
submitted = endpoint(POST=submit_tool_outputs)
steps = endpoint(GET=list_steps)
step = endpoint(GET=get_step)
nowhere = endpoint(GET=unknown, POST=unknown, PUT=unknown, PATCH=unknown, DELETE=unknown)
