"""kill -9 while a model is speaking: after a restart the answer is there once, and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.processes import Up, manage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

WORDS = "So many words that there is time enough to die before the last of them is said."
DOCUMENT = {
    "connections": [
        {"name": "Script", "protocol": "scripted", "script": [{"say": WORDS, "word_ms": 200}]},
    ],
    "mailboxes": [{"address": "support@acme.example"}],
    "assistants": [
        {
            "name": "Support",
            "mailboxes": ["support@acme.example"],
            "scopes": ["read", "send"],
            "connection": "Script",
        }
    ],
}


def client_of(up: Up, secret: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{up.url}/openai/v1", api_key=secret, max_retries=0)


def killing_at_the_first_delta(up: Up, stream: Any) -> Iterator[Any]:
    with suppress(openai.APIConnectionError):
        for event in stream:
            yield event
            if event.event == "thread.message.delta":
                up.process.kill()


def test_an_answer_that_was_cut_off_by_a_kill_is_told_once_and_whole(tmp_path: Path) -> None:
    data = tmp_path / "data"
    told = manage(data, "provision", "-", stdin=json.dumps(DOCUMENT))
    assert told.returncode == 0, told.stderr
    secret = json.loads(told.stdout)["assistants"][0]["api_key"]

    up = Up.started(data)
    with closing(up), client_of(up, secret) as client:
        made = client.beta.assistants.create(model="m")
        with client.beta.threads.create_and_run(assistant_id=made.id, stream=True) as stream:
            seen = list(killing_at_the_first_delta(up, stream))
    run, begun = seen[1].data, seen[-1].data

    up = Up.started(data)
    with closing(up), client_of(up, secret) as client:
        run = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id, poll_interval_ms=100)
        assert run.status == "completed"
        [message] = client.beta.threads.messages.list(run.thread_id)
        assert (message.id, message.status) == (begun.id, "completed")
        assert message.content[0].text.value == WORDS  # type: ignore[union-attr]
        [step] = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
        assert step.status == "completed"
