"""All 23 operations, by the official client in strict mode, which validates each answer against its types."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from assistants.models import ApiKey, Assistant
from assistants.server.tasks import advance_runs
from tests import factories
from tests.assistants.server.conformance.official import Ask, Official
from tests.servers import AsgiServer

pytestmark = pytest.mark.database


def ids(objects: list[Any]) -> list[str]:
    return [one.id for one in objects]


def named(name: str) -> Ask:
    return lambda c: c.beta.assistants.create(model="m", name=name)


def saying(thread: str, text: str) -> Ask:
    attached = [{"file_id": "file-x", "tools": [{"type": "code_interpreter"}]}]
    return lambda c: c.beta.threads.messages.create(thread, role="user", content=text, attachments=attached)


def listing(thread: str, query: dict[str, Any]) -> Ask:
    return lambda c: c.beta.threads.messages.list(thread, **query)


def test_assistants_are_created_listed_read_changed_and_deleted(official: Official) -> None:
    made = [official(named(name)) for name in ("a", "b", "c")]
    assert official(lambda c: c.beta.assistants.retrieve(made[0].id)) == made[0]
    assert ids(official.all(lambda c: c.beta.assistants.list())) == ids(made)[::-1]
    changed = official(lambda c: c.beta.assistants.update(made[0].id, description="x", metadata={"k": "v"}))
    assert (changed.id, changed.name, changed.description) == (made[0].id, "a", "x")
    gone = official(lambda c: c.beta.assistants.delete(made[0].id))
    assert (gone.id, gone.object, gone.deleted) == (made[0].id, "assistant.deleted", True)
    assert ids(official.all(lambda c: c.beta.assistants.list(order="asc"))) == ids(made)[1:]


def test_threads_are_created_read_changed_and_deleted(official: Official) -> None:
    resources = {"file_search": {"vector_store_ids": ["vs_nobody_knows"]}}
    thread = official(lambda c: c.beta.threads.create(tool_resources=resources, metadata={"k": "v"}))
    assert thread.tool_resources.to_dict() == resources
    assert official(lambda c: c.beta.threads.retrieve(thread.id)) == thread
    files = {"code_interpreter": {"file_ids": ["file-nobody-knows"]}}
    changed = official(lambda c: c.beta.threads.update(thread.id, tool_resources=files, metadata={}))
    assert (changed.tool_resources.to_dict(), changed.metadata) == (files, {})
    gone = official(lambda c: c.beta.threads.delete(thread.id))
    assert (gone.id, gone.object, gone.deleted) == (thread.id, "thread.deleted", True)
    with pytest.raises(openai.NotFoundError, match=f"No thread found with id '{thread.id}'."):
        official(lambda c: c.beta.threads.retrieve(thread.id))


def test_messages_are_created_listed_read_changed_and_deleted(official: Official) -> None:
    thread = official(lambda c: c.beta.threads.create())
    made = [official(saying(thread.id, str(n))) for n in range(5)]
    assert made[0].attachments[0].file_id == "file-x"
    assert official(lambda c: c.beta.threads.messages.retrieve(made[0].id, thread_id=thread.id)) == made[0]
    # page after page
    assert ids(official.all(lambda c: c.beta.threads.messages.list(thread.id, limit=2))) == ids(made)[::-1]
    asked: list[tuple[dict[str, Any], list[int]]] = [
        ({"order": "asc", "limit": 3}, [0, 1, 2]),
        ({"order": "asc", "after": made[1].id}, [2, 3, 4]),
        ({"order": "desc", "after": made[1].id}, [0]),
        ({"order": "asc", "before": made[3].id, "limit": 2}, [1, 2]),
        ({"order": "desc", "before": made[3].id}, [4]),
        ({"run_id": "run_none"}, []),
    ]
    for query, expected in asked:
        page = official(listing(thread.id, query))
        assert ids(page.data) == [made[n].id for n in expected], query
    first = official(lambda c: c.beta.threads.messages.list(thread.id, limit=2))
    assert first.has_next_page()
    changed = official(
        lambda c: c.beta.threads.messages.update(made[0].id, thread_id=thread.id, metadata={"k": "v"})
    )
    assert changed.metadata == {"k": "v"}
    gone = official(lambda c: c.beta.threads.messages.delete(made[0].id, thread_id=thread.id))
    assert (gone.id, gone.object, gone.deleted) == (made[0].id, "thread.message.deleted", True)


def test_runs_are_created_listed_read_changed_answered_and_cancelled(official: Official, agent: Any) -> None:
    thread = official(lambda c: c.beta.threads.create(messages=[{"role": "user", "content": "Write"}]))
    run = official(
        lambda c: c.beta.threads.runs.create(
            thread.id,
            assistant_id=agent.id,
            include=["step_details.tool_calls[*].file_search.results[*].content"],
            metadata={"k": "v"},
        )
    )
    assert (run.object, run.status, run.usage, run.expires_at) == ("thread.run", "queued", None, None)
    assert official(lambda c: c.beta.threads.runs.retrieve(run.id, thread_id=thread.id)) == run
    assert ids(official.all(lambda c: c.beta.threads.runs.list(thread.id))) == [run.id]
    changed = official(lambda c: c.beta.threads.runs.update(run.id, thread_id=thread.id, metadata={"k": "w"}))
    assert changed.metadata == {"k": "w"}
    advance_runs()
    waiting = official(lambda c: c.beta.threads.runs.retrieve(run.id, thread_id=thread.id))
    assert waiting.required_action.type == "submit_tool_outputs"
    [call] = waiting.required_action.submit_tool_outputs.tool_calls
    outputs = [{"tool_call_id": call.id, "output": "sent"}]

    def submit(c: Any) -> Any:
        return c.beta.threads.runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=outputs)

    assert official(submit).status == "queued"
    # byte by byte the same once more, as after a lost answer
    assert official(submit).status == "queued"
    assert official(lambda c: c.beta.threads.runs.cancel(run.id, thread_id=thread.id)).status == "cancelled"


def test_a_thread_and_its_run_are_created_at_once(official: Official, talker: Any) -> None:
    run = official(
        lambda c: c.beta.threads.create_and_run(
            assistant_id=talker.id,
            thread={"messages": [{"role": "user", "content": "Hi"}], "metadata": {"k": "v"}},
            tool_resources={"code_interpreter": {"file_ids": ["file-x"]}},
        )
    )
    thread = official(lambda c: c.beta.threads.retrieve(run.thread_id))
    assert thread.metadata == {"k": "v"}
    assert thread.tool_resources.code_interpreter.file_ids == ["file-x"]
    advance_runs()
    listed = official.all(lambda c: c.beta.threads.messages.list(run.thread_id, run_id=run.id))
    assert [message.content[0].text.value for message in listed] == ["Hello, my friend."]
    assert listed[0].assistant_id == talker.id


def test_steps_are_listed_and_read(official: Official, agent: Any) -> None:
    run = official(lambda c: c.beta.threads.create_and_run(assistant_id=agent.id))
    advance_runs()
    include = ["step_details.tool_calls[*].file_search.results[*].content"]
    [step] = official.all(
        lambda c: c.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, include=include)
    )
    read = official(
        lambda c: c.beta.threads.runs.steps.retrieve(
            step.id, run_id=run.id, thread_id=run.thread_id, include=include
        )
    )
    assert read == step
    assert (step.status, step.step_details.tool_calls[0].function.output) == ("in_progress", None)


def test_azures_client_finds_the_server_under_its_endpoint(
    live_server_asgi: AsgiServer, api_key: ApiKey, assistant: Assistant
) -> None:
    assistant.connection = factories.a_connection([{"say": "Hi."}])
    assistant.save()
    with openai.AzureOpenAI(
        azure_endpoint=live_server_asgi.url,
        api_key=api_key.secret,  # type: ignore[attr-defined]
        api_version="2024-05-01-preview",
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        made = client.beta.assistants.create(model="m")
        with client.beta.threads.create_and_run(assistant_id=made.id, stream=True) as stream:
            advance_runs()
            assert list(stream)[-1].event == "thread.run.completed"
        assert ids(list(client.beta.assistants.list())) == [made.id]


LIMITS = [
    ({f"k{n}": "v" for n in range(16)}, None),
    ({f"k{n}": "v" for n in range(17)}, "metadata"),
    ({"k" * 64: "v" * 512}, None),
    ({"k" * 65: "v"}, "metadata"),
    ({"k": "v" * 513}, "metadata.k"),
]


@pytest.mark.parametrize(("metadata", "refused"), LIMITS)
def test_metadata_has_its_limits(official: Official, metadata: dict[str, str], refused: str | None) -> None:
    if refused is None:
        assert official(lambda c: c.beta.threads.create(metadata=metadata)).metadata == metadata
        return
    with pytest.raises(openai.BadRequestError) as error:
        official(lambda c: c.beta.threads.create(metadata=metadata))
    assert error.value.param == refused
