from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from assistants.models import ApiKey
from assistants.server.tasks import advance_runs
from tests.assistants.server.conformance.official import Official
from tests.servers import AsgiServer


@pytest.fixture(params=["sync", "async"])
def official(
    request: pytest.FixtureRequest, live_server_asgi: AsgiServer, api_key: ApiKey
) -> Iterator[Official]:
    secret = api_key.secret  # type: ignore[attr-defined]
    client = Official(f"{live_server_asgi.url}/openai/v1", secret, is_async=request.param == "async")
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def worker(live_server_asgi: AsgiServer) -> Iterator[None]:
    """The engine at work beside the test, as `up` has it."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.wait(0.02):
                advance_runs()
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert failures == []


@pytest.fixture
def agent(official: Official, follows: Callable[[list[dict[str, Any]]], None]) -> Any:
    """An assistant at the server that writes an email, and says so once it is sent."""
    sends = {"name": "send_email", "arguments": {"to": "anna@far.test", "body": "Hi"}}
    follows([{"when": {"turn": 1}, "calls": [sends]}, {"say": "It is done."}])
    function: Any = {"name": "send_email", "parameters": {"type": "object", "properties": {}}}
    tools: Any = [{"type": "function", "function": function}]
    return official(lambda c: c.beta.assistants.create(model="m", instructions="Be brief.", tools=tools))


@pytest.fixture
def talker(official: Official, follows: Callable[[list[dict[str, Any]]], None]) -> Any:
    """An assistant at the server that only talks."""
    follows([{"say": "Hello, my friend."}])
    return official(lambda c: c.beta.assistants.create(model="m"))
