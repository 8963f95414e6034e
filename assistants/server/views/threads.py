from __future__ import annotations

from typing import Any

from assistants.server import actions, bodies, objects
from assistants.server.endpoint import Asked, endpoint
from assistants.server.fields import clean
from assistants.server.paging import page
from assistants.server.views import find

Json = dict[str, Any]


def create_thread(asked: Asked) -> Json:
    return objects.thread(actions.create_thread(asked.caller, clean(asked.body, bodies.THREAD)))


def get_thread(asked: Asked, thread_id: str) -> Json:
    return objects.thread(find.thread(asked, thread_id))


def update_thread(asked: Asked, thread_id: str) -> Json:
    thread = find.thread(asked, thread_id)
    given = clean(asked.body, {name: bodies.THREAD[name] for name in ("metadata", "tool_resources")})
    for name, value in given.items():
        setattr(thread, name, value)
    thread.save(update_fields=given)
    return objects.thread(thread)


def delete_thread(asked: Asked, thread_id: str) -> Json:
    actions.delete_thread(asked.caller, find.thread(asked, thread_id))
    return objects.deleted("thread", thread_id)


def create_message(asked: Asked, thread_id: str) -> Json:
    thread = find.thread(asked, thread_id)
    return objects.message(actions.add_message(thread, bodies.message(asked.body, "")))


def list_messages(asked: Asked, thread_id: str) -> Json:
    messages = find.messages(find.thread(asked, thread_id))
    if run_id := asked.query.get("run_id"):
        messages = messages.filter(run__id=run_id)
    return page(messages, asked.query, objects.message)


def get_message(asked: Asked, thread_id: str, message_id: str) -> Json:
    return objects.message(find.message(asked, thread_id, message_id))


def update_message(asked: Asked, thread_id: str, message_id: str) -> Json:
    message = find.message(asked, thread_id, message_id)
    message.metadata = clean(asked.body, bodies.METADATA).get("metadata", message.metadata)
    message.save(update_fields=["metadata"])
    return objects.message(message)


def delete_message(asked: Asked, thread_id: str, message_id: str) -> Json:
    actions.delete_message(find.message(asked, thread_id, message_id))
    return objects.deleted("thread.message", message_id)


threads = endpoint(POST=create_thread)
thread = endpoint(GET=get_thread, POST=update_thread, DELETE=delete_thread)
messages = endpoint(POST=create_message, GET=list_messages)
message = endpoint(GET=get_message, POST=update_message, DELETE=delete_message)
