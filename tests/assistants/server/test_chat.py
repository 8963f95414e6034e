"""A Chat Completions endpoint as the model behind a run."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.utils import timezone

from assistants.models import Assistant, Connection
from assistants.server.models import Run
from tests.assistants.server.conftest import TOOLS, Client, advanced, answer, open_calls, said, start
from tests.assistants.server.fake_model import SECRET, FakeModel, Streamed, completion


@pytest.fixture
def model(assistant: Assistant) -> Iterator[FakeModel]:
    """The model behind the assistant."""
    with FakeModel.behind(assistant, models_served={"gpt-4o": "small"}) as fake:
        yield fake


def error_of(run: Any) -> tuple[str, str]:
    assert run.status == "failed"
    return run.last_error.code, run.last_error.message


def test_the_model_is_asked_in_its_own_protocol_turn_by_turn(client: Client, model: FakeModel) -> None:
    both = [("send_email", '{"to":"a@far.test"}'), ("check_inbox", "{}")]
    model.answers = [{"text": "One moment.", "calls": both}, {"calls": both[:1]}, {"text": "All done."}]
    run = advanced(client, start(client, "Write to Anna"))
    assert [(name, given) for _, name, given in open_calls(run)] == [
        ("send_email", {"to": "a@far.test"}),
        ("check_inbox", {}),
    ]
    ids = [call[0] for call in open_calls(run)]
    answer(client, run, "sent", "empty")
    run = advanced(client, run)
    assert open_calls(run)[0][0] not in ids
    answer(client, run, "sent too")
    run = advanced(client, run)
    assert run.status == "completed"
    assert run.usage
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (33, 21, 54)
    assert said(client, run) == ["One moment.", "All done."]

    assert set(model.keys) == {f"Bearer {SECRET}"}
    first, _, last = model.requests
    assert first["model"] == "served"
    assert first["tools"] == TOOLS
    assert set(first) == {"model", "messages", "tools"}
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Write to Anna"},
    ]
    assert last["messages"][:2] == first["messages"]
    assert [message["role"] for message in last["messages"][2:]] == [
        "assistant",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "tool",
    ]
    asked, *outputs = last["messages"][3:6]
    assert [call["id"] for call in asked["tool_calls"]] == ids
    assert [(one["tool_call_id"], one["content"]) for one in outputs] == [(ids[0], "sent"), (ids[1], "empty")]


def test_the_next_run_knows_what_the_former_one_called(client: Client, model: FakeModel) -> None:
    model.answers = [{"calls": [("check_inbox", "{}")]}, {"text": "Nothing new."}, {"text": "Still nothing."}]
    run = advanced(client, start(client, "Mail?"))
    answer(client, run, "[]")
    run = advanced(client, run)
    client.beta.threads.messages.create(run.thread_id, role="user", content="And now?")
    again = client.beta.threads.runs.create(run.thread_id, assistant_id=run.assistant_id)
    assert advanced(client, again).status == "completed"
    roles = [message["role"] for message in model.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_options_are_passed_on_when_they_are_set(client: Client, model: FakeModel) -> None:
    model.answers = [{"calls": [("check_inbox", "{}")]}, {"text": "{}"}]
    form: Any = {"type": "json_object"}
    options: dict[str, Any] = {"temperature": 0.3, "top_p": 0.5, "response_format": form}
    run = start(
        client,
        model="gpt-4o",
        tool_choice="required",
        parallel_tool_calls=False,
        max_completion_tokens=100,
        **options,
    )
    run = advanced(client, run)
    answer(client, run, "x")
    advanced(client, run)
    first, second = model.requests
    assert first["model"] == "small"
    assert {name: first[name] for name in options} == options
    assert (first["tool_choice"], first["parallel_tool_calls"]) == ("required", False)
    assert first["max_completion_tokens"] == 100
    # what is left of the limit; and a call is forced once, or no run would ever end
    assert (second["max_completion_tokens"], second["tool_choice"]) == (93, "auto")


def test_only_the_last_messages_are_shown_if_the_run_says_so(client: Client, model: FakeModel) -> None:
    model.answers = [{"text": "Yes."}]
    made = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": str(n)} for n in range(5)])
    run = client.beta.threads.runs.create(
        thread.id, assistant_id=made.id, truncation_strategy={"type": "last_messages", "last_messages": 2}
    )
    advanced(client, run)
    assert [message["content"] for message in model.requests[0]["messages"]] == ["3", "4"]


def test_images_are_passed_on_by_their_address(client: Client, model: FakeModel) -> None:
    model.answers = [{"text": "A cat."}]
    blocks: Any = [{"type": "text", "text": "What is it?"}]
    blocks += [{"type": "image_url", "image_url": {"url": "https://far.test/cat.png"}}]
    blocks += [{"type": "image_file", "image_file": {"file_id": "file-1"}}]
    made = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": blocks}])
    advanced(client, client.beta.threads.runs.create(thread.id, assistant_id=made.id))
    [message] = model.requests[0]["messages"]
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "text"]


def test_arguments_that_are_no_json_are_passed_on_as_the_model_wrote_them(
    client: Client, model: FakeModel
) -> None:
    model.answers = [{"calls": [("send_email", '{"to":'), ("check_inbox", "{}")]}]
    run = advanced(client, start(client))
    assert run.required_action
    calls = run.required_action.submit_tool_outputs.tool_calls
    assert [call.function.arguments for call in calls] == ['{"to":', "{}"]


@pytest.mark.parametrize(
    ("made", "code", "words"),
    [
        ({"text": None, "finish": "content_filter"}, "invalid_prompt", "refused to answer"),
        ({"text": None, "refusal": "No."}, "invalid_prompt", "refused to answer"),
        ((200, b"<html>hello</html>"), "server_error", "no chat completion"),
        ((200, b"{not json"), "server_error", "no chat completion"),
        ((200, b"{}"), "server_error", "no chat completion"),
        ((200, b'{"choices": []}'), "server_error", "no chat completion"),
        (
            (200, b'{"choices": [{"message": {"tool_calls": [{"id": "x"}]}}]}'),
            "server_error",
            "cannot be read",
        ),
        ((400, b'{"error": {"message": "context too long"}}'), "invalid_prompt", "context too long"),
        (
            (401, b'{"error": {"message": "bad key sk-connection-secret"}}'),
            "server_error",
            "refused the connection",
        ),
        ((404, b'{"error": {"message": "no such model"}}'), "server_error", "no such model"),
    ],
)
def test_nonsense_and_refusals_fail_the_run_with_a_usable_error(
    client: Client, model: FakeModel, made: Any, code: str, words: str
) -> None:
    model.answers = [made]
    got, message = error_of(advanced(client, start(client)))
    assert got == code
    assert words in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("status", "code"), [(429, "rate_limit_exceeded"), (500, "server_error"), (503, "server_error")]
)
def test_a_server_in_trouble_is_asked_again_later_and_not_for_ever(
    client: Client, model: FakeModel, status: int, code: str
) -> None:
    model.answers = [(status, b'{"error": {"message": "come back"}}')] * 4
    run = start(client)
    for _ in range(3):
        run = advanced(client, run)
        assert run.status == "in_progress"
        assert Run.objects.get().due_at > timezone.now()
        Run.objects.update(due_at=timezone.now())
    assert error_of(advanced(client, run))[0] == code
    assert len(model.requests) == 4


def in_two_minutes() -> str:
    return format_datetime(timezone.now() + timedelta(minutes=2), usegmt=True)


@pytest.mark.parametrize(
    ("status", "headers", "least", "most"),
    [
        (429, {"retry-after": "90"}, 85, 90),
        (503, {"retry-after": "7.5"}, 5, 8),
        (429, {"retry-after": "date"}, 100, 120),
        (503, {"retry-after-ms": "60000", "retry-after": "1"}, 55, 60),
        (429, {"retry-after": "86400"}, 290, 300),  # within reason
        (503, {"retry-after": "-5"}, 0, 2),
        (429, {"retry-after": "soon"}, 0, 2),
        (503, {"retry-after": "nan"}, 0, 2),
        (429, {"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0, 2),
        (503, {}, 0, 2),
    ],
)
def test_a_server_that_wants_to_be_left_alone_is(
    client: Client, model: FakeModel, status: int, headers: dict[str, str], least: int, most: int
) -> None:
    sent = {name: in_two_minutes() if value == "date" else value for name, value in headers.items()}
    model.answers = [(status, b"{}", sent), {"text": "Back."}]
    began = timezone.now()
    run = advanced(client, start(client))
    due_at = Run.objects.get().due_at
    assert began + timedelta(seconds=least) <= due_at <= timezone.now() + timedelta(seconds=most)
    Run.objects.update(due_at=timezone.now())
    assert advanced(client, run).status == "completed"


@pytest.mark.parametrize("retries", [0, 1])
def test_a_connection_says_how_often_its_server_is_asked_again(
    client: Client, model: FakeModel, assistant: Assistant, retries: int
) -> None:
    Connection.objects.update(retries=retries)
    model.answers = [(503, b"{}")] * 4
    run = start(client)
    for _ in range(retries + 1):
        Run.objects.update(due_at=timezone.now())
        run = advanced(client, run)
    assert error_of(run)[0] == "server_error"
    assert len(model.requests) == retries + 1


def test_a_connection_says_how_long_its_server_may_be_silent(client: Client, model: FakeModel) -> None:
    Connection.objects.update(timeout=0.2, retries=0)
    silent = threading.Event()
    model.answers = [Streamed(silent)]
    run = advanced(client, start(client))
    silent.set()
    assert error_of(run) == ("server_error", "The model's server did not answer in time.")


def test_a_key_is_not_quoted_whatever_the_server_says(client: Client, model: FakeModel) -> None:
    model.answers = [(status, f'{{"error": "{SECRET}"}}'.encode()) for status in (400, 402, 403, 404, 422)]
    for _ in range(5):
        _, message = error_of(advanced(client, start(client)))
        assert SECRET not in message


def test_a_server_that_recovers_is_forgiven(client: Client, model: FakeModel) -> None:
    model.answers = [(503, b"{}"), {"text": "Back."}]
    run = advanced(client, start(client))
    Run.objects.update(due_at=timezone.now())
    assert advanced(client, run).status == "completed"


def test_a_server_that_is_not_there_fails_the_run_in_the_end(client: Client, assistant: Assistant) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assistant.connection = Connection.objects.create(
        name="gone", protocol="chat_completions", base_url=f"http://127.0.0.1:{port}/v1"
    )
    assistant.save()
    run = start(client)
    for _ in range(4):
        Run.objects.update(due_at=timezone.now())
        run = advanced(client, run)
    assert error_of(run) == ("server_error", "The model's server could not be reached.")


def test_an_answer_cut_short_ends_the_run_incomplete(client: Client, model: FakeModel) -> None:
    model.answers = [{"text": "Once upon a", "finish": "length"}]
    run = advanced(client, start(client))
    assert run.status == "incomplete"
    assert run.incomplete_details
    assert run.incomplete_details.reason == "max_completion_tokens"
    [message] = client.beta.threads.messages.list(run.thread_id, run_id=run.id)
    assert message.status == "incomplete"


@pytest.mark.parametrize("count", [2**63, 10**30, -5, "7", None, 1.5, True, [1]])
def test_counts_of_tokens_that_are_nonsense_break_nothing(
    client: Client, model: FakeModel, count: Any
) -> None:
    said = completion(text="Hi.") | {"usage": {"prompt_tokens": count, "completion_tokens": count}}
    model.answers = [(200, json.dumps(said).encode())] * 2
    run = advanced(client, start(client, max_completion_tokens=2**31 - 1))
    assert run.status in ("completed", "incomplete")
    assert run.usage
    assert 0 <= run.usage.total_tokens <= 2**42


@pytest.mark.parametrize(("limit", "count"), [("max_prompt_tokens", 300), ("max_completion_tokens", 10)])
def test_an_answer_that_took_more_than_the_run_may_is_kept_and_ends_it_incomplete(
    client: Client, model: FakeModel, limit: str, count: int
) -> None:
    tokens = {"prompt_tokens": 300, "completion_tokens": 10}
    model.answers = [(200, json.dumps(completion(text="Hi.") | {"usage": tokens}).encode())] * 2
    options: dict[str, Any] = {limit: count - 1}
    run = advanced(client, start(client, **options))
    assert (run.status, said(client, run)) == ("incomplete", ["Hi."])
    assert run.incomplete_details
    assert run.incomplete_details.reason == limit
    options[limit] = count
    assert advanced(client, start(client, **options)).status == "completed"


def test_every_option_of_a_run_reaches_the_model(client: Client, model: FakeModel) -> None:
    model.answers = [{"text": "{}"}]
    schema: Any = {"name": "x", "schema": {"type": "object"}, "strict": True}
    form: Any = {"type": "json_schema", "json_schema": schema}
    choice: Any = {"type": "function", "function": {"name": "check_inbox"}}
    run = start(
        client,
        "First",
        instructions="Only this.",
        tool_choice=choice,
        parallel_tool_calls=True,
        response_format=form,
        extra_body={"reasoning_effort": "high"},
        truncation_strategy={"type": "auto"},
    )
    assert advanced(client, run).status == "completed"
    [asked] = model.requests
    assert asked["tool_choice"] == choice
    assert asked["parallel_tool_calls"] is True
    assert asked["response_format"] == form
    assert asked["reasoning_effort"] == "high"
    assert asked["messages"][0] == {"role": "system", "content": "Only this."}


def test_additional_instructions_and_messages_reach_the_model(client: Client, model: FakeModel) -> None:
    model.answers = [{"text": "Yes."}]
    made = client.beta.assistants.create(model="m", instructions="Be brief.")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "One"}])
    run = client.beta.threads.runs.create(
        thread.id,
        assistant_id=made.id,
        additional_instructions="Be kind.",
        additional_messages=[
            {"role": "assistant", "content": "Two"},
            {"role": "user", "content": [{"type": "text", "text": "Three"}]},
        ],
    )
    advanced(client, run)
    assert [(one["role"], one["content"]) for one in model.requests[0]["messages"]] == [
        ("system", "Be brief.\n\nBe kind."),
        ("user", "One"),
        ("assistant", "Two"),
        ("user", "Three"),
    ]


def test_tools_that_the_run_leaves_out_are_not_offered(client: Client, model: FakeModel) -> None:
    model.answers = [{"text": "Yes."}]
    run = start(client, tools=[], tool_choice="none", parallel_tool_calls=False)
    assert advanced(client, run).status == "completed"
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(model.requests[0])


def test_an_empty_answer_completes_the_run_without_a_message(client: Client, model: FakeModel) -> None:
    model.answers = [{"text": ""}]
    run = advanced(client, start(client))
    assert (run.status, said(client, run)) == ("completed", [])


def test_a_call_without_arguments_has_an_empty_object(client: Client, model: FakeModel) -> None:
    model.answers = [{"calls": [("check_inbox", "")]}]
    run = advanced(client, start(client))
    assert json.dumps(open_calls(run)[0][2]) == "{}"


def test_a_function_name_that_no_database_can_keep_is_replaced(client: Client, model: FakeModel) -> None:
    model.answers = [{"calls": [("check\0inbox", "{}")]}]
    run = advanced(client, start(client))
    assert [call[1] for call in open_calls(run)] == ["check\N{REPLACEMENT CHARACTER}inbox"]


def test_what_no_database_can_keep_is_replaced_and_the_run_goes_on(client: Client, model: FakeModel) -> None:
    model.answers = [{"text": "a\0b"}]
    run = advanced(client, start(client))
    assert run.status == "completed"
    assert said(client, run) == ["a\N{REPLACEMENT CHARACTER}b"]
