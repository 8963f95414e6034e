"""kill -9 around what a worker asks of a foreign Assistants server: then a restart, and all is told once."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.faults.test_kill import DOCUMENT, Story, until
from tests.foreign.assistants_server import KEY, Asked, FakeAssistants, Json
from tests.foreign.assistants_ways import OPEN_ASSISTANT, REFERENCE, Ways
from tests.processes import Up, manage
from tests.servers import RecordingServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEND = ("send_email", {"to": "c@far.example", "subject": "Re: Hi", "body": "Here."})
SUBMIT = "POST .*/submit_tool_outputs$"
CREATE_RUN = "POST /threads/[^/]+/runs$"
THREADS = "assistants.runtimes.threads:Threads"


@dataclass(frozen=True)
class Waiting:
    """An install in which one mail waits and the server of its run, each as a power cut left it."""

    data: Path
    made: dict[str, Any]
    email_id: str
    far: Json


@pytest.fixture(scope="module")
def running() -> Iterator[FakeAssistants]:
    with FakeAssistants.running() as fake:
        yield fake


@pytest.fixture(scope="module")
def waiting(running: FakeAssistants, tmp_path_factory: pytest.TempPathFactory) -> Waiting:
    running.scripts.append([[SEND], "It is sent."])
    url = running.url
    connection = {"name": "Far", "protocol": "assistants", "base_url": url, "api_key": KEY, "model": "m"}
    (assistant,) = cast("list[Json]", DOCUMENT["assistants"])
    document = DOCUMENT | {"connections": [connection], "assistants": [assistant | {"connection": "Far"}]}
    data = tmp_path_factory.mktemp("waiting") / "data"
    told = manage(data, "provision", "-", stdin=json.dumps(document))
    assert told.returncode == 0, told.stderr
    made = json.loads(told.stdout)
    with RecordingServer.running() as smtp, closing(Story(data, made, smtp)) as story:
        return Waiting(data, made, story.hold(), running.saved())


@pytest.fixture
def fake(running: FakeAssistants, waiting: Waiting) -> FakeAssistants:
    running.restore(waiting.far)
    return running


@pytest.fixture
def story(fake: FakeAssistants, waiting: Waiting, tmp_path: Path) -> Iterator[Story]:
    data = tmp_path / "data"
    shutil.copytree(waiting.data, data)
    with RecordingServer.running() as smtp, closing(Story(data, waiting.made, smtp)) as story:
        yield story


def approve_and_die_at(story: Story, fake: FakeAssistants, email_id: str, pattern: str) -> None:
    """The process is killed while it waits for the reply to a request that was heard and done."""
    up = story.start()

    def kill(asked: Asked) -> None:
        if re.search(pattern, asked.line):
            os.kill(up.process.pid, signal.SIGKILL)

    fake.meanwhile = kill
    httpx.post(
        f"{up.url}/v1/oversight/decide",
        json={"email_id": email_id, "action": "approve"},
        headers={"Authorization": f"Bearer {story.desk}"},
        timeout=30,
    )
    assert up.process.wait(30) == -signal.SIGKILL
    fake.meanwhile = lambda asked: None
    up.close()


def runs(story: Story, up: Up) -> list[dict[str, Any]]:
    """Oldest first."""
    found = story.get(up, "runs", story.agent)["runs"]
    return sorted(found, key=lambda run: str(run["created_at"]))


def settled(story: Story, up: Up, ready: Callable[[list[dict[str, Any]]], Any]) -> list[dict[str, Any]]:
    def ask() -> list[dict[str, Any]] | None:
        found = runs(story, up)
        return found if ready(found) else None

    return list(until(ask))


def is_told(found: list[dict[str, Any]]) -> bool:
    return bool(found[0]["state"] == "completed" and found[0]["calls"][0]["submitted_at"])


def assert_told_once(story: Story, fake: FakeAssistants) -> None:
    up = story.start()
    settled(story, up, is_told)
    assert [[json.loads(one)["status"] for one in told] for told in fake.outputs().values()] == [["sent"]]
    assert len(story.smtp.messages) == len(fake.runs) == 1
    up.close()
    assert manage(story.data, "verify_audit").returncode == 0


@pytest.mark.parametrize(
    "point",
    [f"{THREADS}.submit:before", f"{THREADS}.submit:after", "approvals.effects.resuming:_settle:after"],
)
def test_killed_before_and_after_a_submit_the_run_is_told_once(
    story: Story, waiting: Waiting, fake: FakeAssistants, point: str
) -> None:
    story.approve_and_die(point, waiting.email_id)
    assert_told_once(story, fake)


@pytest.mark.parametrize(
    "ways",
    [REFERENCE, Ways(has_steps=False), OPEN_ASSISTANT],
    ids=["the reference", "no steps", "Open Assistant API"],
)
def test_killed_during_a_submit_the_run_is_told_once(
    story: Story, waiting: Waiting, fake: FakeAssistants, ways: Ways
) -> None:
    fake.ways = ways
    approve_and_die_at(story, fake, waiting.email_id, SUBMIT)
    assert_told_once(story, fake)


class TestAFollowUp:
    @pytest.fixture(autouse=True)
    def expired(self, fake: FakeAssistants) -> None:
        """The run ended while the person was thinking."""
        fake.pass_time(601)

    def assert_followed_up_once(self, story: Story, fake: FakeAssistants) -> None:
        up = story.start()
        found = settled(story, up, lambda found: [run["state"] for run in found] == ["expired", "completed"])
        first, second = fake.runs.values()
        assert first.thread_id == second.thread_id
        assert [run["run_id"] for run in found] == [first.id, second.id]
        assert len([text for text in fake.said(first.thread_id) if '"status": "sent"' in text]) == 1
        assert (len(story.smtp.messages), fake.journal) == (1, [])
        up.close()
        assert manage(story.data, "verify_audit").returncode == 0

    @pytest.mark.parametrize(
        "point",
        [
            "approvals.effects.resuming:_settle:before",
            "approvals.effects.resuming:_settle:after",
            f"{THREADS}.create_run:before",
            f"{THREADS}.create_run:after",
        ],
    )
    def test_killed_between_its_steps_it_is_told_once(
        self, story: Story, waiting: Waiting, fake: FakeAssistants, point: str
    ) -> None:
        story.approve_and_die(point, waiting.email_id)
        self.assert_followed_up_once(story, fake)

    def test_killed_while_it_is_asked_for_it_is_told_once(
        self, story: Story, waiting: Waiting, fake: FakeAssistants
    ) -> None:
        approve_and_die_at(story, fake, waiting.email_id, CREATE_RUN)
        self.assert_followed_up_once(story, fake)
