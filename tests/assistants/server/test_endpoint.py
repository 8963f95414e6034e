"""What holds for every path: errors of our own, and as many queries for three rows as for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.http import JsonResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from assistants.models import ApiKey, Assistant
from assistants.server import engine
from assistants.server.actions import add_message, create_run, create_thread, submit
from assistants.server.auth import Caller
from assistants.server.bodies import content
from assistants.server.endpoint import Asked, endpoint
from assistants.server.errors import ApiError
from assistants.server.models import Assistant as Configured
from assistants.server.models import Run, Step, Thread
from tests import factories
from tests.assistants.server.conftest import TOOLS

pytestmark = pytest.mark.django_db


def get(api_key: ApiKey, path: str) -> Any:
    headers = {"authorization": f"Bearer {api_key.secret}"}  # type: ignore[attr-defined]
    response = Client(headers=headers).get(f"/openai/v1/{path}")
    assert response.status_code == 200
    return response.json()


def test_an_error_of_our_own_has_the_shape_of_any_other_and_tells_nothing(api_key: ApiKey) -> None:
    def broken(_asked: Asked) -> dict[str, Any]:
        raise ZeroDivisionError("a secret")

    headers = {"authorization": f"Bearer {api_key.secret}"}  # type: ignore[attr-defined]
    response = endpoint(GET=broken)(RequestFactory(headers=headers).get("/"))
    assert isinstance(response, JsonResponse)
    assert response.status_code == 500
    error = json.loads(response.content)["error"]
    assert error["type"] == "server_error"
    assert "secret" not in error["message"]


@pytest.fixture
def grown(assistant: Assistant) -> Thread:
    """A thread with as many messages, runs and steps as it was grown by."""
    assistant.connection = factories.a_connection(
        [{"when": {"turn": 1}, "calls": [{"name": "check_inbox"}]}, {"say": "Done."}]
    )
    assistant.save()
    return create_thread(Caller(assistant, "caller"), {})


def grow(thread: Thread) -> None:
    caller = Caller(thread.owner, "caller")
    configured = Configured.objects.create(owner=thread.owner, model="m", tools=TOOLS)
    add_message(thread, {"role": "user", "content": content("Hi", "content")})
    run = create_run(caller, thread, configured, {})
    engine.drain()
    call = Step.objects.get(run=run).calls[0]
    submit(caller, run, [{"tool_call_id": call["id"], "output": "x"}])
    engine.drain()


@pytest.mark.parametrize("kind", ["assistants", "threads/{}/messages", "threads/{}/runs"])
def test_a_list_takes_as_many_queries_for_three_as_for_one(api_key: ApiKey, grown: Thread, kind: str) -> None:
    path = kind.format(grown.id)
    counts, sizes = [], []
    for more in (1, 2):
        for _ in range(more):
            grow(grown)
        get(api_key, path)  # notes the use of the key
        with CaptureQueriesContext(connection) as queries:
            sizes.append(len(get(api_key, path)["data"]))
        counts.append(len(queries))
    assert sizes[0] < sizes[1]
    assert counts[0] == counts[1] <= 4


def test_the_steps_of_a_run_take_four_queries(
    api_key: ApiKey, grown: Thread, django_assert_num_queries: Any
) -> None:
    grow(grown)
    path = f"threads/{grown.id}/runs/{Run.objects.get().id}/steps"
    get(api_key, path)
    with django_assert_num_queries(4):  # key, thread, run, steps
        assert len(get(api_key, path)["data"]) == 2


def test_a_thread_that_was_deleted_meanwhile_is_not_found(grown: Thread) -> None:
    Thread.objects.all().delete()
    with pytest.raises(ApiError, match="No thread found"):
        add_message(grown, {"role": "user", "content": content("Hi", "content")})


def test_a_run_that_was_deleted_meanwhile_is_not_found(grown: Thread) -> None:
    grow(grown)
    run = Run.objects.get()
    Thread.objects.all().delete()
    with pytest.raises(ApiError, match="No run found"):
        submit(Caller(grown.owner, "caller"), run, [])
