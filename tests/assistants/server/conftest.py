"""A caller with the official client in strict mode, and the engine driven by the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai.types.beta import Assistant as RemoteAssistant
from openai.types.beta.threads import Run

from assistants import tools
from assistants.models import ApiKey, Assistant
from assistants.server.tasks import advance_runs
from tests import factories
from tests.servers import AsgiServer

Client = openai.OpenAI
Script = list[dict[str, Any]]

TOOLS: Any = tools.schemas("assistants")


def client_of(server: AsgiServer, secret: str) -> Client:
    return openai.OpenAI(
        base_url=f"{server.url}/openai/v1", api_key=secret, max_retries=0, _strict_response_validation=True
    )


@pytest.fixture
def client(live_server_asgi: AsgiServer, api_key: ApiKey) -> Iterator[Client]:
    with client_of(live_server_asgi, api_key.secret) as client:  # type: ignore[attr-defined]
        yield client


@pytest.fixture
def stranger(live_server_asgi: AsgiServer, api_key: ApiKey) -> Iterator[Client]:
    """Another assistant of the same install."""
    key = factories.a_key(factories.an_assistant("Other Agent"))
    with client_of(live_server_asgi, key.secret) as client:  # type: ignore[attr-defined]
        yield client


@pytest.fixture
def follows(assistant: Assistant) -> Callable[[Script], None]:
    """Put this script behind the assistant."""

    def follow(script: Script) -> None:
        assistant.connection = factories.a_connection(script)
        assistant.save()

    return follow


def start(client: Client, text: str = "Hello", **options: Any) -> Run:
    """A run on a thread of its own, with all five tools."""
    made: RemoteAssistant = client.beta.assistants.create(model="any", tools=TOOLS, instructions="Be brief.")
    run: Run = client.beta.threads.create_and_run(
        assistant_id=made.id, thread={"messages": [{"role": "user", "content": text}]}, **options
    )
    return run


def advanced(client: Client, run: Run) -> Run:
    """The run after the engine has done what was due."""
    advance_runs()
    return client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)


def open_calls(run: Run) -> list[tuple[str, str, dict[str, Any]]]:
    assert run.required_action
    return [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in run.required_action.submit_tool_outputs.tool_calls
    ]


def answer(client: Client, run: Run, *outputs: str) -> Run:
    answers: Any = [
        {"tool_call_id": call[0], "output": output}
        for call, output in zip(open_calls(run), outputs, strict=True)
    ]
    return client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=answers)


def said(client: Client, run: Run) -> list[str]:
    """What the run wrote, oldest first."""
    messages = client.beta.threads.messages.list(run.thread_id, order="asc", run_id=run.id)
    return [part.text.value for message in messages for part in message.content if part.type == "text"]
