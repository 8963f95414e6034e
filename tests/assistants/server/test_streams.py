"""Streams: what a caller that reads along sees, and when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import openai
import pytest
from django.db import connections
from django.utils import timezone
from openai import AssistantEventHandler
from openai.types.beta import AssistantStreamEvent

from assistants.models import Assistant, Connection
from assistants.server import leases, streams, tail, turn
from assistants.server.models import Message, Run, Step, StreamEvent
from assistants.server.tasks import advance_runs, tidy
from assistants.server.turn import Piece
from assistants.server.writing import Writing
from tests.assistants.server.conftest import TOOLS, Client, Script, advanced, open_calls, said, start
from tests.assistants.server.fake_model import DONE, FakeModel, Streamed, call_chunk, chunk, usage_chunk

pytestmark = pytest.mark.database

Follows = Callable[[Script], None]
Events = list[AssistantStreamEvent]

HELLO: Script = [{"say": "Hello, my friend."}]
SEND: Script = [
    {"when": {"turn": 1}, "calls": [{"name": "send_email", "arguments": {"to": "a@far.test", "body": "Hi"}}]},
    {"say": "It is done."},
]
BEGUN = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
SPEAKING = [
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
]
SPOKE = ["thread.message.completed", "thread.run.step.completed"]
CALLING = ["thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.delta"]


@pytest.fixture
def model(assistant: Assistant) -> Iterator[FakeModel]:
    with FakeModel.behind(assistant) as fake:
        yield fake


@contextmanager
def working() -> Iterator[None]:
    """A worker at work beside the test, on what is due now."""

    def work() -> None:
        try:
            advance_runs()
        finally:
            connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        worker.join()


def begin(client: Client, text: str = "Hello", **options: Any) -> Any:
    made = client.beta.assistants.create(model="any", tools=TOOLS)
    thread: Any = {"messages": [{"role": "user", "content": text}]}
    return client.beta.threads.create_and_run(assistant_id=made.id, thread=thread, stream=True, **options)


def resume(client: Client, run: Any, *outputs: str) -> Any:
    calls = open_calls(run)
    answers: Any = [
        {"tool_call_id": call[0], "output": output} for call, output in zip(calls, outputs, strict=True)
    ]
    return client.beta.threads.runs.submit_tool_outputs(
        run.id, thread_id=run.thread_id, tool_outputs=answers, stream=True
    )


def names(events: Events) -> list[str]:
    """The names of the events, several deltas in a row as one."""
    found = [event.event for event in events]
    return [
        name for n, name in enumerate(found) if not (n and name.endswith("delta") and found[n - 1] == name)
    ]


def text_of(events: Events) -> str:
    deltas = [event.data.delta for event in events if event.event == "thread.message.delta"]
    return "".join(part.text.value for delta in deltas for part in delta.content)  # type: ignore[union-attr, misc]


def arguments_of(events: Events) -> dict[int, str]:
    told: dict[int, str] = {}
    for event in events:
        if event.event == "thread.run.step.delta":
            for call in event.data.delta.step_details.tool_calls:  # type: ignore[union-attr]
                told[call.index] = told.get(call.index, "") + (call.function.arguments or "")  # type: ignore[union-attr]
    return told


def test_a_run_that_speaks_is_told_from_its_creation_to_its_end(client: Client, follows: Follows) -> None:
    follows(HELLO)
    with begin(client) as stream:
        advance_runs()
        events = list(stream)
    assert names(events) == ["thread.created", *BEGUN, *SPEAKING, *SPOKE, "thread.run.completed"]
    assert text_of(events) == "Hello, my friend."
    last: Any = events[-1].data
    assert last == client.beta.threads.runs.retrieve(last.id, thread_id=last.thread_id)
    told = {event.event: event.data for event in events}
    message: Any = told["thread.message.completed"]
    assert message == client.beta.threads.messages.retrieve(message.id, thread_id=last.thread_id)
    step: Any = told["thread.run.step.completed"]
    kept = client.beta.threads.runs.steps.retrieve(step.id, run_id=last.id, thread_id=last.thread_id)
    assert step == kept
    assert told["thread.created"] == client.beta.threads.retrieve(last.thread_id)


def test_a_stream_ends_where_the_run_waits_and_its_answer_opens_the_next(
    client: Client, follows: Follows
) -> None:
    follows(SEND)
    with begin(client) as stream:
        advance_runs()
        events = list(stream)
    assert names(events) == ["thread.created", *BEGUN, *CALLING, "thread.run.requires_action"]
    waiting: Any = events[-1].data
    assert waiting == client.beta.threads.runs.retrieve(waiting.id, thread_id=waiting.thread_id)
    [(call_id, _, arguments)] = open_calls(waiting)
    assert json.loads(arguments_of(events)[0]) == arguments
    first: Any = next(event.data for event in events if event.event == "thread.run.step.delta")
    assert first.delta.step_details.tool_calls[0].id == call_id

    with resume(client, waiting, "sent") as stream:
        advance_runs()
        events = list(stream)
    resumed = ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
    assert names(events) == [*resumed, *SPEAKING, *SPOKE, "thread.run.completed"]
    answered: Any = events[0].data
    assert answered.step_details.tool_calls[0].function.output == "sent"


def test_a_run_in_a_thread_that_was_there_creates_none(client: Client, follows: Follows) -> None:
    follows(HELLO)
    run = advanced(client, start(client))
    client.beta.threads.messages.create(run.thread_id, role="user", content="Again")
    runs = client.beta.threads.runs
    with runs.create(run.thread_id, assistant_id=run.assistant_id, stream=True) as stream:
        advance_runs()
        assert names(list(stream))[:3] == BEGUN


def test_the_first_delta_comes_before_the_model_has_finished(client: Client, model: FakeModel) -> None:
    go_on, finish = threading.Event(), threading.Event()
    model.answers = [
        Streamed(
            chunk("Hel"), go_on, chunk("lo"), chunk("!"), finish, chunk(finish="stop"), usage_chunk(), DONE
        )
    ]
    with begin(client) as stream, working():
        seen: Events = []
        for event in stream:
            seen.append(event)
            if text_of(seen) == "Hel":
                go_on.set()
            if text_of(seen) == "Hello!":
                finish.set()
    assert seen[-1].event == "thread.run.completed"
    assert seen[-1].data.usage
    assert seen[-1].data.usage.total_tokens == 18
    assert model.requests[0]["stream"] is True


def test_arguments_are_relayed_as_the_model_writes_them(client: Client, model: FakeModel) -> None:
    go_on = threading.Event()
    parts: list[Any] = [call_chunk(0, "send_email", id="a"), call_chunk(0, arguments='{"to":'), go_on]
    parts += [call_chunk(0, arguments='"a@far.test"}'), call_chunk(1, "check_inbox", id="b")]
    model.answers = [Streamed(*parts, chunk(finish="tool_calls"), usage_chunk(), DONE)]
    with begin(client) as stream, working():
        seen: Events = []
        for event in stream:
            seen.append(event)
            if arguments_of(seen).get(0) == '{"to":':
                go_on.set()
    assert arguments_of(seen) == {0: '{"to":"a@far.test"}', 1: "{}"}
    waiting: Any = seen[-1].data
    assert [(name, given) for _, name, given in open_calls(waiting)] == [
        ("send_email", {"to": "a@far.test"}),
        ("check_inbox", {}),
    ]


class Handler(AssistantEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(snapshot.value)

    def on_tool_call_done(self, tool_call: Any) -> None:
        self.told.append(tool_call.function.name)


def test_the_official_handler_puts_the_answer_together(client: Client, model: FakeModel) -> None:
    called = [call_chunk(0, "check_inbox", "{}", "x"), chunk(finish="tool_calls")]
    model.answers = [Streamed(chunk("One "), chunk("moment."), *called, usage_chunk(), DONE)]
    made = client.beta.assistants.create(model="any", tools=TOOLS)
    handler = Handler()
    with client.beta.threads.create_and_run_stream(assistant_id=made.id, event_handler=handler) as stream:
        advance_runs()
        stream.until_done()
        run, [message] = stream.get_final_run(), stream.get_final_messages()
        calls, spoken = stream.get_final_run_steps()[::-1]
    assert handler.told[-1] == "check_inbox"
    assert "One moment." in handler.told
    assert run.status == "requires_action"
    assert message == client.beta.threads.messages.retrieve(message.id, thread_id=run.thread_id)
    assert (spoken.type, calls.type) == ("message_creation", "tool_calls")


def test_a_model_that_fails_in_the_middle_leaves_what_it_said_incomplete(
    client: Client, model: FakeModel
) -> None:
    broken = b'data: {"error": {"message": "out of memory, sk-connection-secret"}}\n\n'
    model.answers = [Streamed(chunk("Once upon"), broken)]
    with begin(client) as stream:
        advance_runs()
        events = list(stream)
    failed = ["thread.message.incomplete", "thread.run.step.failed", "thread.run.failed"]
    assert names(events) == ["thread.created", *BEGUN, *SPEAKING, *failed]
    run: Any = events[-1].data
    assert run.last_error
    assert "out of memory" in run.last_error.message
    assert "sk-connection" not in run.last_error.message
    [message] = client.beta.threads.messages.list(run.thread_id, run_id=run.id)
    assert (message.status, said(client, run)) == ("incomplete", ["Once upon"])
    assert message.incomplete_details
    assert message.incomplete_details.reason == "run_failed"
    assert events[-3].data == message


@pytest.mark.parametrize("end", [b"", b"data: {not json\n\n", DONE])
def test_a_stream_that_breaks_off_is_no_answer(client: Client, model: FakeModel, end: bytes) -> None:
    model.answers = [Streamed(chunk("Once upon"), end)]
    with begin(client) as stream:
        advance_runs()
        last: Any = list(stream)[-1]
    assert last.event == "thread.run.failed"
    assert last.data.last_error.code == "server_error"


@pytest.mark.parametrize(
    ("parts", "code", "words"),
    [
        ([chunk(refusal="No.")], "invalid_prompt", "refused to answer"),
        ([chunk("Well", finish="content_filter")], "invalid_prompt", "refused to answer"),
        ([call_chunk(0, None, "{}", "x"), chunk(finish="tool_calls")], "server_error", "without a name"),
        ([chunk("so long " * 20)], "server_error", "longer than 100 characters"),
        ([b"data: {}\n\n"], "server_error", "broke off"),
        ([b"hello\n\n"], "server_error", "no chat completion"),
    ],
)
def test_an_answer_that_cannot_be_used_fails_the_run_and_says_why(
    client: Client,
    model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    parts: list[Any],
    code: str,
    words: str,
) -> None:
    monkeypatch.setattr(turn, "LONGEST_ANSWER", 100)
    Connection.objects.update(retries=0)
    model.answers = [Streamed(*parts, DONE)]
    with begin(client) as stream:
        advance_runs()
        last: Any = list(stream)[-1]
    assert (last.event, last.data.last_error.code) == ("thread.run.failed", code)
    assert words in last.data.last_error.message


def test_a_model_in_trouble_before_its_first_word_is_asked_again(client: Client, model: FakeModel) -> None:
    model.answers = [(503, b"{}"), Streamed(chunk("Hi."), chunk(finish="stop"), DONE)]
    with begin(client) as stream:
        advance_runs()
        Run.objects.update(due_at=timezone.now())
        advance_runs()
        events = list(stream)
    assert names(events) == ["thread.created", *BEGUN, *SPEAKING, *SPOKE, "thread.run.completed"]


def test_an_answer_cut_short_is_told_as_incomplete(client: Client, model: FakeModel) -> None:
    parts = [chunk("Once"), call_chunk(0, "send_email", '{"to"', "x"), chunk(finish="length")]
    model.answers = [Streamed(*parts, usage_chunk(), DONE)]
    with begin(client) as stream:
        advance_runs()
        events = list(stream)
    ended = ["thread.message.incomplete", "thread.run.step.completed", "thread.run.step.failed"]
    assert names(events)[-4:] == [*ended, "thread.run.incomplete"]
    run: Any = events[-1].data
    assert run.incomplete_details.reason == "max_completion_tokens"


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_stream_options_streams_without(
    client: Client, model: FakeModel, status: int
) -> None:
    refused = (status, b'{"error": {"message": "unknown field stream_options"}}')
    model.answers = [refused, Streamed(chunk("Hi "), chunk("there."), chunk(finish="stop"), DONE)]
    with begin(client) as stream:
        advance_runs()
        assert text_of(list(stream)) == "Hi there."
    assert [("stream" in one, "stream_options" in one) for one in model.requests] == [(1, 1), (1, 0)]


def test_a_server_that_refuses_to_stream_answers_at_once(client: Client, model: FakeModel) -> None:
    model.answers = [(400, b"{}"), (400, b"{}"), {"text": "Hi there."}]
    with begin(client) as stream:
        advance_runs()
        assert text_of(list(stream)) == "Hi there."
    assert "stream" not in model.requests[-1]


def test_a_server_that_does_not_stream_though_asked_to_is_understood(
    client: Client, model: FakeModel
) -> None:
    model.answers = [{"text": "Hi.", "calls": [("check_inbox", "{}")]}]
    with begin(client) as stream:
        advance_runs()
        events = list(stream)
    assert text_of(events) == "Hi."
    assert events[-1].event == "thread.run.requires_action"
    assert len(model.requests) == 1


def test_calls_without_an_index_of_their_own_are_told_apart_by_their_ids(
    client: Client, model: FakeModel
) -> None:
    calls = [call_chunk(0, "check_inbox", '{"n":1}', "a"), call_chunk(0, "check_inbox", '{"n":2}', "b")]
    model.answers = [Streamed(*calls, chunk(finish="tool_calls"), DONE)]
    with begin(client) as stream:
        advance_runs()
        waiting: Any = list(stream)[-1].data
    assert [given for _, _, given in open_calls(waiting)] == [{"n": 1}, {"n": 2}]


def test_a_worker_that_dies_in_the_middle_leaves_one_message(client: Client, follows: Follows) -> None:
    follows(HELLO)
    with begin(client) as stream:
        died = leases.claim()
        assert died
        writing = Writing(died, 1)
        writing.take(Piece("Hello, my"))
        writing.show()
        Run.objects.update(due_at=timezone.now())
        advance_runs()
        events = list(stream)
    # the message is told anew from its beginning, under its own id
    assert names(events).count("thread.message.created") == 2
    assert len({event.data.id for event in events if event.event == "thread.message.created"}) == 1
    run: Any = events[-1].data
    assert said(client, run) == ["Hello, my friend."]
    assert [step.status for step in Step.objects.filter(run__id=run.id)] == ["completed"]


def test_what_a_dead_worker_began_and_its_successor_did_not_go_on_with_is_closed(
    client: Client, follows: Follows
) -> None:
    follows(SEND)
    with begin(client) as stream:
        died = leases.claim()
        assert died
        writing = Writing(died, 1)
        writing.take(Piece("Let me think"))
        writing.show()
        Run.objects.update(due_at=timezone.now())
        advance_runs()
        events = list(stream)
    closed = ["thread.message.incomplete", "thread.run.step.failed", "thread.run.requires_action"]
    assert names(events)[-3:] == closed
    run: Any = events[-1].data
    assert said(client, run) == ["Let me think"]
    assert set(Message.objects.values_list("status", flat=True)) == {"completed", "incomplete"}


def test_a_reader_that_goes_away_stops_nothing(client: Client, follows: Follows) -> None:
    follows(HELLO)
    with begin(client) as stream:
        next(iter(stream))
    assert advance_runs() == 1
    assert Run.objects.get().status == "completed"


def test_a_run_that_nobody_streams_leaves_no_events(client: Client, follows: Follows) -> None:
    follows(SEND)
    run = advanced(client, start(client))
    assert not StreamEvent.objects.exists()
    with resume(client, run, "sent") as stream:
        advance_runs()
        assert list(stream)[-1].event == "thread.run.completed"


def test_the_same_outputs_once_more_get_the_same_stream(client: Client, follows: Follows) -> None:
    follows(SEND)
    run = advanced(client, start(client))
    with resume(client, run, "sent") as stream:
        advance_runs()
        first = list(stream)
    with resume(client, run, "sent") as stream:
        assert list(stream) == first


def test_outputs_that_were_taken_without_a_stream_get_one_afterwards(
    client: Client, follows: Follows
) -> None:
    follows(SEND)
    run = advanced(client, start(client))
    answers: Any = [{"tool_call_id": open_calls(run)[0][0], "output": "sent"}]
    client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=answers)
    advance_runs()
    with resume(client, run, "sent") as stream:
        assert names(list(stream)) == ["thread.run.completed"]


def test_outputs_that_are_refused_open_no_stream(client: Client, follows: Follows) -> None:
    follows(SEND)
    run = advanced(client, start(client))
    answers: Any = [{"tool_call_id": "call_other", "output": "sent"}]
    for _ in range(tail.MAX_OPEN + 1):
        with pytest.raises(openai.BadRequestError, match="Expected tool outputs"):
            client.beta.threads.runs.submit_tool_outputs(
                run.id, thread_id=run.thread_id, tool_outputs=answers, stream=True
            )


def test_a_deleted_thread_ends_its_stream_with_an_error(client: Client, follows: Follows) -> None:
    follows(HELLO)
    with begin(client) as stream:
        client.beta.threads.delete(Run.objects.get().thread.id)
        events = list(stream)
    assert events[-1].event == "error"
    assert events[-1].data.message == "The run was deleted."


def test_a_key_has_so_many_streams_at_a_time(
    client: Client, stranger: Client, follows: Follows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "MAX_OPEN", 2)
    follows(HELLO)
    opened = [begin(client) for _ in range(2)]
    with pytest.raises(openai.RateLimitError, match="More than 2 streams of this key are open"):
        begin(client)
    assert Run.objects.count() == 2
    begin(stranger).close()
    advance_runs()
    for stream in opened:
        assert list(stream)[-1].event == "thread.run.completed"
    with begin(client) as stream:
        advance_runs()
        assert list(stream)[-1].event == "thread.run.completed"


def test_a_reader_that_goes_away_makes_room_for_another(
    client: Client, follows: Follows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "MAX_OPEN", 1)
    follows(HELLO)
    begin(client).close()
    end = time.monotonic() + 30
    while tail._open:
        assert time.monotonic() < end, "the place of a reader that went away is still taken"
        time.sleep(0.01)
    with begin(client) as stream:
        advance_runs()
        assert list(stream)[-1].event == "thread.run.completed"


def test_what_another_process_does_is_seen_too(
    client: Client, follows: Follows, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whose wakes don't reach this one
    monkeypatch.setattr(tail, "pulse", lambda _run: None)
    follows(SEND)
    with begin(client) as stream:
        advance_runs()
        assert list(stream)[-1].event == "thread.run.requires_action"


def test_a_reader_holds_no_connection_while_it_waits(
    client: Client, follows: Follows, monkeypatch: pytest.MonkeyPatch
) -> None:
    follows(HELLO)
    held = connections_of_other_threads(monkeypatch)
    opened = [begin(client) for _ in range(3)]
    # readers look now and then; between two looks there is a moment without any connection
    end = time.monotonic() + 30
    while held:
        assert time.monotonic() < end, "a reader waits with a connection in hand"
        time.sleep(0.001)
    for stream in opened:
        stream.close()


def connections_of_other_threads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    wrapper = type(connections["default"])
    connect, close, mine = wrapper.connect, wrapper.close, threading.get_ident()
    holding: set[int] = set()

    def counted_connect(self: Any) -> None:
        connect(self)
        if threading.get_ident() != mine:
            holding.add(id(self))

    def counted_close(self: Any) -> None:
        close(self)
        holding.discard(id(self))

    monkeypatch.setattr(wrapper, "connect", counted_connect)
    monkeypatch.setattr(wrapper, "close", counted_close)
    return holding


def test_a_silent_stream_shows_signs_of_life_that_are_no_events(
    client: Client, follows: Follows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "BEAT", 0.0)
    follows(HELLO)
    made = client.beta.assistants.create(model="any")
    raw = client.beta.threads.with_streaming_response.create_and_run(assistant_id=made.id, stream=True)
    with raw as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = response.iter_lines()
        for line in lines:
            if line.startswith(":"):
                advance_runs()
                break
        rest = list(lines)
    # not followed by a blank line, which some clients take for the end of an event
    assert rest[-3:] == ["event: done", "data: [DONE]", ""]
    blocks = "\n".join(rest).strip().split("\n\n")
    assert all("event: " in block and "data: " in block for block in blocks)


def test_old_events_are_swept_away(client: Client, follows: Follows) -> None:
    follows(HELLO)
    with begin(client) as stream:
        advance_runs()
        list(stream)
    tidy()
    assert StreamEvent.objects.exists()
    StreamEvent.objects.update(created_at=timezone.now() - streams.KEPT - timedelta(seconds=1))
    tidy()
    assert not StreamEvent.objects.exists()
