"""The fake model server is what the official client takes it for, in its strict mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.programs.models import FakeModels
from tests.servers import AsgiServer

TOOL: Any = {"name": "send_email", "description": "Send.", "parameters": {"type": "object", "properties": {}}}
ON_CHAT: Any = [{"type": "function", "function": TOOL}]
ON_RESPONSES: Any = [{"type": "function", "strict": False, **TOOL}]


@pytest.fixture
def models() -> FakeModels:
    models = FakeModels()
    models.plan = [[("send_email", {"to": "anna@example.com"})]]
    return models


@pytest.fixture
def client(models: FakeModels) -> Iterator[openai.OpenAI]:
    with (
        AsgiServer.running(models) as server,
        openai.OpenAI(
            base_url=f"{server.url}/v1", api_key="sk-any", max_retries=0, _strict_response_validation=True
        ) as client,
    ):
        yield client


def test_a_completion_calls_and_then_repeats_what_it_was_told(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Write to Anna."}]
    first = client.chat.completions.create(model="any", messages=messages, tools=ON_CHAT)
    said = first.choices[0].message
    assert said.tool_calls
    assert said.tool_calls[0].type == "function"
    assert json.loads(said.tool_calls[0].function.arguments) == {"to": "anna@example.com"}
    messages += [said, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": '{"status": 1}'}]
    last = client.chat.completions.create(model="any", messages=messages, tools=ON_CHAT)
    assert last.choices[0].message.content == '[{"status": 1}]'


def test_a_completion_is_refused_while_a_call_lacks_its_output(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Write to Anna."}]
    first = client.chat.completions.create(model="any", messages=messages, tools=ON_CHAT)
    messages += [first.choices[0].message, {"role": "user", "content": "Well?"}]
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        client.chat.completions.create(model="any", messages=messages, tools=ON_CHAT)


def test_a_response_is_kept_calls_and_then_repeats_what_it_was_told(client: openai.OpenAI) -> None:
    first = client.responses.create(model="any", input="Write to Anna.", tools=ON_RESPONSES)
    assert client.responses.retrieve(first.id) == first
    (call,) = first.output
    assert call.type == "function_call"
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": '{"status": 1}'}
    last = client.responses.create(
        model="any", input=[output], previous_response_id=first.id, tools=ON_RESPONSES
    )
    assert last.output_text == '[{"status": 1}]'


def test_a_response_is_refused_while_a_call_lacks_its_output(client: openai.OpenAI) -> None:
    first = client.responses.create(model="any", input="Write to Anna.", tools=ON_RESPONSES)
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        client.responses.create(model="any", input=[], previous_response_id=first.id, tools=ON_RESPONSES)
