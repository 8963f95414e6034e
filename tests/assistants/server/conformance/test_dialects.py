"""What other clients send: older versions of the protocol, other vendors, generated code. The requests are
raw, because the official client would not make them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from assistants.models import ApiKey, Assistant
from assistants.server.tasks import advance_runs
from tests import factories

pytestmark = pytest.mark.django_db

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(api_key: ApiKey, assistant: Assistant) -> Call:
    """A call that must succeed."""
    assistant.connection = factories.a_connection([{"say": "Hi."}])
    assistant.save()
    headers = {"authorization": f"Bearer {api_key.secret}"}  # type: ignore[attr-defined]

    def ask(method: str, path: str, body: Any = None, **more: str) -> dict[str, Any]:
        client = Client(headers=headers | more)
        response = client.generic(method, f"/openai/v1/{path}", *as_json(body))
        assert response.status_code == 200, response.content
        answer: dict[str, Any] = response.json()
        return answer

    return ask


def as_json(body: Any) -> tuple[str, str]:
    return ("" if body is None else json.dumps(body)), "application/json"


def test_slashes_at_the_end_versions_in_the_query_and_headers_of_any_age_are_borne(call: Call) -> None:
    made = call("POST", "assistants/?api-version=2024-05-01-preview", {"model": "m"})
    for beta in ("assistants=v1", "assistants=v2", "nonsense"):
        assert call("GET", f"assistants/{made['id']}/", **{"openai-beta": beta}) == made
    thread = call("POST", "threads?api-version=v1")
    run = call("POST", f"threads/{thread['id']}/runs/", {"assistant_id": made["id"]})
    assert call("GET", f"threads/{thread['id']}/runs/{run['id']}/?api-version=v1") == run
    assert call("POST", "threads/runs/", {"assistant_id": made["id"]})["status"] == "queued"


NOTHING: dict[str, Any] = dict.fromkeys(
    [
        *("name", "description", "instructions", "tools", "tool_resources", "metadata", "temperature"),
        *("top_p", "response_format", "reasoning_effort"),
    ]
)
NO_OPTIONS: dict[str, Any] = dict.fromkeys(
    [
        *("model", "instructions", "additional_instructions", "additional_messages", "tools", "metadata"),
        *("temperature", "top_p", "stream", "max_prompt_tokens", "max_completion_tokens"),
        *("truncation_strategy", "tool_choice", "parallel_tool_calls", "response_format", "thread"),
    ]
)


def test_null_is_as_good_as_leaving_it_out(call: Call) -> None:
    made = call("POST", "assistants", {"model": "m"} | NOTHING)
    assert made["tools"] == []
    assert made["metadata"] == {}
    assert call("POST", f"assistants/{made['id']}", NOTHING)["tools"] == []
    run = call("POST", "threads/runs", {"assistant_id": made["id"]} | NO_OPTIONS)
    assert (run["model"], run["instructions"], run["parallel_tool_calls"]) == ("m", "", True)
    assert run["truncation_strategy"]["type"] == "auto"
    assert (run["tool_choice"], run["response_format"]) == ("auto", "auto")
    empty = {"messages": None, "tool_resources": None, "metadata": None}
    thread = call("POST", "threads", empty)
    said = {"role": "user", "content": "x", "attachments": None, "metadata": None}
    message = call("POST", f"threads/{thread['id']}/messages", said)
    assert (message["attachments"], message["metadata"]) == ([], {})


@pytest.mark.parametrize(
    "content",
    [
        "Hello",
        [{"type": "text", "text": "Hello"}],
        # as messages are given out
        [{"type": "text", "text": {"value": "Hello", "annotations": []}}],
    ],
)
def test_text_comes_in_many_shapes_and_goes_out_in_one(call: Call, content: Any) -> None:
    thread = call("POST", "threads", {"messages": [{"role": "user", "content": content}]})
    [message] = call("GET", f"threads/{thread['id']}/messages")["data"]
    said = {"role": "user", "content": content}
    assert call("POST", f"threads/{thread['id']}/messages", said)["content"] == message["content"]
    assert message["content"] == [{"type": "text", "text": {"value": "Hello", "annotations": []}}]


@pytest.mark.parametrize("content", [None, "", []])
def test_a_turn_of_an_assistant_that_said_nothing_is_kept_and_not_told_to_the_model(
    call: Call, content: Any
) -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": content}]
    thread = call("POST", "threads", {"messages": messages})
    silent = call("POST", f"threads/{thread['id']}/messages", {"role": "assistant", "content": content})
    assert (silent["content"], silent["status"]) == ([], "completed")
    made = call("POST", "assistants", {"model": "m"})
    run = call("POST", f"threads/{thread['id']}/runs", {"assistant_id": made["id"]})
    advance_runs()
    assert call("GET", f"threads/{thread['id']}/runs/{run['id']}")["status"] == "completed"


def test_the_first_version_of_the_protocol_is_understood_where_it_still_makes_sense(call: Call) -> None:
    tools = [{"type": "retrieval"}, {"type": "code_interpreter"}]
    made = call("POST", "assistants", {"model": "m", "tools": tools, "file_ids": ["file-x"]})
    assert [tool["type"] for tool in made["tools"]] == ["file_search", "code_interpreter"]
    thread = call("POST", "threads")
    said = {"role": "user", "content": "x", "file_ids": ["file-x"]}
    assert call("POST", f"threads/{thread['id']}/messages", said)["role"] == "user"


def test_an_output_that_is_left_out_is_empty(call: Call, assistant: Assistant) -> None:
    assistant.connection = factories.a_connection(
        [{"when": {"turn": 1}, "calls": [{"name": "f"}, {"name": "g"}, {"name": "h"}]}, {"say": "Done."}],
        name="calls",
    )
    assistant.save()
    made = call("POST", "assistants", {"model": "m"})
    run = call("POST", "threads/runs", {"assistant_id": made["id"]})
    path = f"threads/{run['thread_id']}/runs/{run['id']}"
    advance_runs()
    waiting = call("GET", path)["required_action"]["submit_tool_outputs"]["tool_calls"]
    first, second, third = [{"tool_call_id": one["id"]} for one in waiting]
    outputs = [first, second | {"output": None}, third | {"output": "x"}]
    call("POST", f"{path}/submit_tool_outputs", {"tool_outputs": outputs, "stream": None})
    [step] = call("GET", f"{path}/steps")["data"]
    assert [one["function"]["output"] for one in step["step_details"]["tool_calls"]] == ["", "", "x"]


def test_fields_of_the_future_are_ignored(call: Call) -> None:
    more = {"flavour": "x", "service_tier": "auto", "stream_options": {"include_usage": True}}
    made = call("POST", "assistants", {"model": "m"} | more)
    thread = call("POST", "threads", more)
    run = call("POST", f"threads/{thread['id']}/runs", {"assistant_id": made["id"]} | more)
    assert not set(more) & (set(made) | set(thread) | set(run))


def test_every_field_of_an_object_is_always_there(call: Call) -> None:
    """Generated clients of other languages demand what the protocol's own schema calls required."""
    made = call("POST", "assistants", {"model": "m"})
    thread = call("POST", "threads", {"messages": [{"role": "user", "content": "x"}]})
    run = call("POST", f"threads/{thread['id']}/runs", {"assistant_id": made["id"]})
    advance_runs()
    ended = call("GET", f"threads/{thread['id']}/runs/{run['id']}")
    [message, _] = call("GET", f"threads/{thread['id']}/messages")["data"]
    [step] = call("GET", f"threads/{thread['id']}/runs/{run['id']}/steps")["data"]
    for found, wanted in (
        (made, "id object created_at name description model instructions tools metadata"),
        (thread, "id object created_at tool_resources metadata"),
        (
            message,
            "id object created_at thread_id status incomplete_details completed_at incomplete_at role "
            "content assistant_id run_id attachments metadata",
        ),
        (
            ended,
            "id object created_at thread_id assistant_id status required_action last_error expires_at "
            "started_at cancelled_at failed_at completed_at incomplete_details model instructions tools "
            "metadata usage temperature top_p max_prompt_tokens max_completion_tokens truncation_strategy "
            "tool_choice parallel_tool_calls response_format",
        ),
        (
            step,
            "id object created_at assistant_id thread_id run_id type status step_details last_error "
            "expired_at cancelled_at failed_at completed_at metadata usage",
        ),
    ):
        assert set(wanted.split()) <= set(found)
        assert isinstance(found["created_at"], int)
