"""What servers of the Assistants protocol send is read, in whatever shape it comes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from assistants.observe import SeenCall
from assistants.runtimes import lenient

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SECONDS = NOON.timestamp()


@pytest.mark.parametrize(
    "given",
    [
        int(SECONDS),
        SECONDS,
        SECONDS * 1000,
        int(SECONDS * 1000),
        str(SECONDS),
        "2026-11-22T12:00:00Z",
        "2026-11-22T13:00:00+01:00",
        "2026-11-22 12:00:00",
    ],
    ids=repr,
)
def test_a_moment_is_read_in_any_unit(given: Any) -> None:
    assert lenient.moment(given) == NOON


@pytest.mark.parametrize(
    "given", [None, 0, "", "soon", {}, [], float("nan"), float("inf"), -1e30, "9" * 400], ids=repr
)
def test_what_is_no_moment_is_none(given: Any) -> None:
    assert lenient.moment(given) is None


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("queued", "queued"),
        ("incomplete", "incomplete"),
        ("canceled", "cancelled"),
        ("pondering deeply and at length", "in_progress"),
        ("gone", "in_progress"),
        (None, "in_progress"),
    ],
)
def test_a_word_that_we_do_not_know_is_no_end(given: Any, status: str) -> None:
    assert lenient.status({"status": given}) == status


@pytest.mark.parametrize(
    "action",
    [
        None,
        {},
        [],
        "submit_tool_outputs",
        {"type": "submit_tool_outputs", "submit_tool_outputs": None},
        {"type": "submit_tool_approval", "submit_tool_approval": {"tool_calls": [{"id": "call_1"}]}},
        {"submit_tool_outputs": {"tool_calls": [None, {}, {"id": "call_1"}, {"function": {"name": "x"}}]}},
    ],
    ids=repr,
)
def test_what_lists_no_calls_lists_none(action: Any) -> None:
    assert lenient.open_calls({"required_action": action}) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"to": "a"}', '{"to": "a"}'), ({"to": "ä"}, '{"to": "ä"}'), (None, "{}"), ("", "{}"), ("{", "{")],
)
def test_arguments_are_text(arguments: Any, text: str) -> None:
    call = {"id": "call_1", "function": {"name": "send_email", "arguments": arguments}}
    run = {"required_action": {"submit_tool_outputs": {"tool_calls": [call]}}}
    assert lenient.open_calls(run) == [SeenCall("call_1", "send_email", text)]


def step(status: str, *calls: tuple[str, Any]) -> dict[str, Any]:
    listed = [
        {
            "id": id,
            "function": {"name": "x", "arguments": "{}"} | ({} if output is ... else {"output": output}),
        }
        for id, output in calls
    ]
    return {"status": status, "step_details": {"type": "tool_calls", "tool_calls": listed}}


def test_steps_show_outputs_and_what_is_open() -> None:
    steps = [
        step("completed", ("call_1", "one"), ("call_2", {"sent": True})),
        step("in_progress", ("call_3", "three"), ("call_4", None), ("call_5", ...), ("call_6", "")),
        step("expired", ("call_7", None)),
        {"step_details": None},
        {"step_details": {"message_creation": {}}},
        {},
    ]
    assert lenient.outputs(steps) == {"call_1": "one", "call_2": '{"sent": true}', "call_3": "three"}
    assert [call.call_id for call in lenient.unanswered(steps)] == ["call_4", "call_5", "call_6"]


@pytest.mark.parametrize(
    "content",
    [
        "Hello",
        [{"type": "text", "text": {"value": "Hello", "annotations": []}}],
        [{"type": "text", "text": "Hello"}],
        [{"type": "image_file", "image_file": {}}, None, {"text": {"value": "Hello"}}, {"text": None}],
    ],
    ids=repr,
)
def test_a_message_is_its_text(content: Any) -> None:
    message = {"role": "user", "content": content, "created_at": SECONDS * 1000}
    assert lenient.said(message) == {"role": "user", "text": "Hello", "at": NOON.isoformat()}


def test_a_message_may_lack_everything() -> None:
    assert lenient.said({}) == {"role": "", "text": "", "at": ""}


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"last_error": {"code": "server_error", "message": "Out of luck."}}, "Out of luck."),
        ({"last_error": {"code": "server_error"}}, "server_error"),
        ({"last_error": "Out of luck."}, "Out of luck."),
        ({"last_error": ["a", "b"]}, '["a", "b"]'),
        ({"last_error": None, "incomplete_details": {"reason": "max_prompt_tokens"}}, "max_prompt_tokens"),
        ({"last_error": {}}, ""),
        ({}, ""),
    ],
)
def test_why_a_run_failed_is_a_text(run: dict[str, Any], told: str) -> None:
    assert lenient.last_error(run) == told


def test_metadata_are_found_under_either_name() -> None:
    assert lenient.metadata({"metadata": {"a": 1}}) == {"a": "1"}
    assert lenient.metadata({"metadata_": {"a": "b"}}) == {"a": "b"}
    assert lenient.metadata({"metadata": None}) == lenient.metadata({"metadata": "x"}) == {}
