from __future__ import annotations

from typing import Any

from assistants.server import bodies, objects
from assistants.server.endpoint import Asked, endpoint
from assistants.server.fields import clean
from assistants.server.models import Assistant
from assistants.server.paging import page
from assistants.server.views import find

Json = dict[str, Any]


def _sampling(given: Json) -> Json:
    return {name: given.pop(name) for name in bodies.SAMPLING if name in given}


def create_assistant(asked: Asked) -> Json:
    given = clean(asked.body, bodies.ASSISTANT, required=["model"])
    options = {name: value for name, value in _sampling(given).items() if value is not None}
    given["tools"] = given.get("tools") or []
    return objects.assistant(Assistant.objects.create(owner=asked.caller.assistant, options=options, **given))


def list_assistants(asked: Asked) -> Json:
    return page(find.assistants(asked), asked.query, objects.assistant)


def get_assistant(asked: Asked, assistant_id: str) -> Json:
    return objects.assistant(find.assistant(asked, assistant_id))


def update_assistant(asked: Asked, assistant_id: str) -> Json:
    assistant = find.assistant(asked, assistant_id)
    given = clean(asked.body, bodies.ASSISTANT)
    options = assistant.options | _sampling(given)
    assistant.options = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        setattr(assistant, name, [] if name == "tools" and value is None else value)
    assistant.save()
    return objects.assistant(assistant)


def delete_assistant(asked: Asked, assistant_id: str) -> Json:
    find.assistant(asked, assistant_id).delete()
    return objects.deleted("assistant", assistant_id)


assistants = endpoint(POST=create_assistant, GET=list_assistants)
assistant = endpoint(GET=get_assistant, POST=update_assistant, DELETE=delete_assistant)
