"""Assistants, threads and messages: what is kept, given out, and refused."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from django.test import Client as HttpClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistants.models import ApiKey
from assistants.server.models import Message, Thread
from assistants.server.paging import page
from tests import factories
from tests.assistants.server.conftest import TOOLS, Client

pytestmark = pytest.mark.database

Post = Any


@pytest.fixture
def post(api_key: ApiKey) -> Post:
    """The status and the error of a POST that must be refused."""

    def ask(path: str, body: Any) -> tuple[int, dict[str, Any]]:
        headers = {"authorization": f"Bearer {api_key.secret}"}  # type: ignore[attr-defined]
        response = HttpClient(headers=headers).post(f"/openai/v1/{path}", body, "application/json")
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "invalid_request_error"
        return response.status_code, error

    return ask


def test_an_assistant_is_kept_as_it_was_given(client: Client) -> None:
    resources: Any = {"code_interpreter": {"file_ids": ["file-nobody-knows"]}}
    resources |= {"file_search": {"vector_store_ids": ["vs-nor-this"]}}
    kept = client.beta.assistants.create(
        model="gpt-x",
        name="Clerk",
        description="Answers mail",
        instructions="Be brief.",
        tools=[*TOOLS, {"type": "code_interpreter"}, {"type": "file_search"}],
        tool_resources=resources,
        metadata={"team": "support"},
        temperature=0.2,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    )
    assert client.beta.assistants.retrieve(kept.id) == kept
    assert (kept.name, kept.model, kept.temperature, kept.top_p) == ("Clerk", "gpt-x", 0.2, 1)
    assert kept.tool_resources
    assert kept.tool_resources.to_dict() == resources
    assert [tool.type for tool in kept.tools][-2:] == ["code_interpreter", "file_search"]
    changed = client.beta.assistants.update(kept.id, name="Chief", metadata={}, temperature=None, tools=[])
    assert (changed.name, changed.metadata, changed.temperature, changed.tools) == ("Chief", {}, 1, [])
    assert changed.instructions == "Be brief."
    deleted = client.beta.assistants.delete(kept.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (kept.id, "assistant.deleted", True)
    with pytest.raises(openai.NotFoundError, match=f"No assistant found with id '{kept.id}'"):
        client.beta.assistants.retrieve(kept.id)


def test_a_thread_and_its_messages_are_kept_as_they_were_given(client: Client) -> None:
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": "One",
                "attachments": [{"file_id": "f", "tools": [{"type": "file_search"}]}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Two"}]},
        ],
        metadata={"a": "b"},
    )
    image: Any = {"type": "image_url", "image_url": {"url": "https://far.test/x.png"}}
    last = client.beta.threads.messages.create(
        thread.id, role="user", content=[{"type": "text", "text": "Three"}, image], metadata={"n": "3"}
    )
    messages = list(client.beta.threads.messages.list(thread.id, order="asc"))
    assert [message.role for message in messages] == ["user", "assistant", "user"]
    assert [part.type for part in messages[2].content] == ["text", "image_url"]
    assert messages[2] == last == client.beta.threads.messages.retrieve(last.id, thread_id=thread.id)
    changed = client.beta.threads.messages.update(last.id, thread_id=thread.id, metadata={"n": "4"})
    assert changed.metadata == {"n": "4"}
    assert (
        client.beta.threads.messages.delete(last.id, thread_id=thread.id).object == "thread.message.deleted"
    )
    with pytest.raises(openai.NotFoundError, match=f"No message found with id '{last.id}'"):
        client.beta.threads.messages.retrieve(last.id, thread_id=thread.id)
    assert client.beta.threads.retrieve(thread.id).metadata == {"a": "b"}
    assert client.beta.threads.update(thread.id, metadata={"a": "c"}).metadata == {"a": "c"}
    assert client.beta.threads.delete(thread.id).object == "thread.deleted"
    with pytest.raises(openai.NotFoundError, match=f"No thread found with id '{thread.id}'"):
        client.beta.threads.retrieve(thread.id)


def test_messages_are_listed_in_the_order_in_which_they_came(client: Client) -> None:
    texts = [str(n) for n in range(30)]
    thread = client.beta.threads.create(messages=[{"role": "user", "content": text} for text in texts])
    first = client.beta.threads.messages.list(thread.id, limit=7)
    assert len(first.data) == 7
    assert first.has_next_page()
    listed = [message.content[0].text.value for message in first]  # type: ignore[union-attr]
    assert listed == texts[::-1]


def test_what_postgresql_cannot_store_is_replaced(client: Client) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "a\0b"}], metadata={"k": "\0"})
    [message] = client.beta.threads.messages.list(thread.id)
    assert message.content[0].text.value == "a\ufffdb"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("assistants", {}, "model"),
        ("assistants", {"model": 7}, "model"),
        ("assistants", {"model": "m", "temperature": 3}, "temperature"),
        ("assistants", {"model": "m", "temperature": True}, "temperature"),
        ("assistants", {"model": "m", "tools": {}}, "tools"),
        ("assistants", {"model": "m", "tools": [{"type": "rocket"}]}, "tools[0].type"),
        ("assistants", {"model": "m", "tools": [{"type": "function"}]}, "tools[0].function"),
        (
            "assistants",
            {"model": "m", "tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
        ),
        ("assistants", {"model": "m", "tools": [{"type": "code_interpreter"}] * 129}, "tools"),
        ("assistants", {"model": "m", "response_format": "pdf"}, "response_format"),
        ("assistants", {"model": "m", "metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ("assistants", {"model": "m", "metadata": {"k" * 65: ""}}, "metadata"),
        ("assistants", {"model": "m", "metadata": {"k": "v" * 513}}, "metadata.k"),
        ("assistants", {"model": "m", "metadata": {"k": 1}}, "metadata.k"),
        ("threads", {"messages": "hello"}, "messages"),
        ("threads", {"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
        ("threads", {"messages": [{"role": "user"}]}, "messages[0].content"),
        ("threads", {"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
        (
            "threads",
            {"messages": [{"role": "user", "content": [{"type": "x"}]}]},
            "messages[0].content[0].type",
        ),
        ("threads", {"tool_resources": []}, "tool_resources"),
        ("threads/runs", {}, "assistant_id"),
        ("threads/runs", {"assistant_id": "a", "stream": "yes"}, "stream"),
        ("threads/runs", {"assistant_id": "a", "tool_choice": "maybe"}, "tool_choice"),
        (
            "threads/runs",
            {"assistant_id": "a", "truncation_strategy": {"type": "x"}},
            "truncation_strategy.type",
        ),
        ("threads/runs", {"assistant_id": "a", "max_completion_tokens": 1.5}, "max_completion_tokens"),
        ("threads/runs", {"assistant_id": "a", "thread": []}, "thread"),
    ],
)
def test_a_bad_field_is_refused_by_name(post: Post, path: str, body: Any, param: str) -> None:
    status, error = post(path, body)
    assert (status, error["param"]) == (400, param)
    assert error["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b'{"a": NaN}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(post: Post, body: bytes) -> None:
    assert post("threads", body)[0] == 400


@pytest.mark.parametrize("levels", [100, 480, 900])
def test_a_body_nested_too_deeply_is_refused(post: Post, levels: int) -> None:
    status, error = post("threads", b'{"metadata":' + b"[" * levels + b"]" * levels + b"}")
    assert (status, "nested" in error["message"]) == (400, True)


@pytest.mark.parametrize("path", ["assistants/a%00b", "threads/%00", "threads/%00/runs/%00"])
def test_an_id_that_postgresql_cannot_look_for_is_not_found(api_key: ApiKey, path: str) -> None:
    headers = {"authorization": f"Bearer {api_key.secret}"}  # type: ignore[attr-defined]
    assert HttpClient(headers=headers).get(f"/openai/v1/{path}").status_code == 404


def test_a_body_too_large_is_refused(post: Post) -> None:
    assert post("threads", b'{"a": "' + b"x" * 3_000_000 + b'"}')[0] == 413


def test_metadata_at_its_limits_is_kept(client: Client) -> None:
    metadata = {f"{n:064}": "v" * 512 for n in range(16)}
    assert client.beta.threads.create(metadata=metadata).metadata == metadata


def test_an_unknown_assistant_is_named_and_nothing_is_left_behind(client: Client) -> None:
    with pytest.raises(openai.NotFoundError, match="No assistant found with id 'asst_none'"):
        client.beta.threads.create_and_run(assistant_id="asst_none", thread={"messages": []})
    assert not Thread.objects.exists()


def test_fields_of_other_dialects_are_ignored(client: Client) -> None:
    made = client.beta.assistants.create(model="m", extra_body={"file_ids": [], "flavour": 7})
    assert made.model == "m"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"order": "up"}, "order"),
        ({"after": "msg_none"}, "after"),
        ({"before": "msg_none"}, "before"),
        ({"after": "\0"}, "after"),
    ],
)
def test_a_bad_query_is_refused_by_name(client: Client, query: dict[str, str], param: str) -> None:
    thread = client.beta.threads.create()
    with pytest.raises(openai.BadRequestError) as refused:
        client.beta.threads.messages.list(thread.id, extra_query=query)
    assert refused.value.param == param


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pages_are_windows_of_the_whole_list(thread_of_twelve: Thread, data: st.DataObject) -> None:
    ids = list(thread_of_twelve.messages.order_by("seq").values_list("id", flat=True))
    order = data.draw(st.sampled_from(["asc", "desc"]))
    limit = data.draw(st.integers(1, 14))
    after, before = (data.draw(st.none() | st.integers(0, 11)) for _ in range(2))
    query = {"order": order, "limit": str(limit)}
    query |= {"after": ids[after]} if after is not None else {}
    query |= {"before": ids[before]} if before is not None else {}
    whole = ids if order == "asc" else ids[::-1]
    start = whole.index(ids[after]) + 1 if after is not None else 0
    end = whole.index(ids[before]) if before is not None else len(whole)
    window = whole[start:end]
    expected = window[-limit:] if before is not None and after is None else window[:limit]
    got = page(thread_of_twelve.messages.all(), query, lambda message: {"id": message.id})
    assert [one["id"] for one in got["data"]] == expected
    assert got["has_more"] == (len(window) > limit)
    assert (got["first_id"], got["last_id"]) == ((expected[0], expected[-1]) if expected else (None, None))


@pytest.fixture
def thread_of_twelve(db: None) -> Thread:
    thread = Thread.objects.create(owner=factories.an_assistant())
    Message.objects.bulk_create(Message(thread=thread, role="user", content=[]) for _ in range(12))
    return thread
