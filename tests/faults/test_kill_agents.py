"""kill -9 around the start of a run over the Agents API, and around each output that it is given."""

from __future__ import annotations

import json
import shutil
import signal
import smtplib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.test_kill import DOCUMENT, SUPPORT, Story, until
from tests.foreign.agents_server import FakeAgents, Json
from tests.processes import Up, manage
from tests.servers import AsgiServer, RecordingServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SENDS = [
    ("send_email", {"to": "c@far.example", "subject": subject, "body": "Here."}) for subject in ("One", "Two")
]
EVENTS = "openai.resources.beta.agents.sessions.events:Events.create"
RUNTIME = "assistants.runtimes.agents:AgentsRuntime"
# the second: heard, and nobody here knows it
AROUND_A_SUBMIT = [f"{RUNTIME}.submit:before", f"{EVENTS}:after", f"{RUNTIME}.submit:after"]
AROUND_A_START = [f"{RUNTIME}._create:after", f"{RUNTIME}.start:after"]


class AgentsStory(Story):
    def deliver(self, up: Up) -> None:
        host, port = up.smtp
        message = "From: c@far.example\r\nSubject: Hi\r\n\r\nWhere is it?\r\n"
        with smtplib.SMTP(host, port) as client:
            client.sendmail("c@far.example", [SUPPORT], message)

    def pending(self, up: Up, wanted: int) -> list[str]:
        """The ids of what is held, once it is that much; oldest first."""

        def ask() -> list[str] | None:
            held = self.get(up, "oversight/pending", self.desk)["pending"]
            return sorted(one["id"] for one in held) if len(held) == wanted else None

        return list(until(ask))

    def approve(self, up: Up, email_id: str) -> None:
        with suppress(httpx.TransportError):
            httpx.post(
                f"{up.url}/v1/oversight/decide",
                json={"email_id": email_id, "action": "approve"},
                headers={"Authorization": f"Bearer {self.desk}"},
                timeout=30,
            )

    def died(self, up: Up) -> None:
        up.process.wait(30)
        assert up.process.returncode == -signal.SIGKILL
        up.close()
        self.armed.unlink()

    def has_given(self, up: Up, outputs: int) -> bool:
        return bool(self.run(up)["resume"]["submitted"] == outputs)

    def ends_once(self, up: Up, far: FakeAgents) -> None:
        """The run completes, with one output per call and one mail per decision."""

        def settled() -> Any:
            run = self.run(up)
            return run["state"] == "completed" and all(call["submitted_at"] for call in run["calls"])

        until(settled)
        assert [len(taken) for taken in far.outputs.values()] == [1, 1]
        assert {json.loads(taken[0])["status"] for taken in far.outputs.values()} == {"sent"}
        assert len(self.smtp.messages) == 2
        assert (len(far.sessions), len(far.session.turns)) == (1, 1)


@dataclass(frozen=True)
class Begun:
    """An install and a server, each as a power cut left it; every test gets a copy of both."""

    data: Path
    made: dict[str, Any]
    far: Json

    def copy(self, to: Path, far: FakeAgents) -> tuple[Path, dict[str, Any]]:
        shutil.copytree(self.data, to / "data")
        far.restore(self.far)
        return to / "data", self.made


@pytest.fixture(scope="module")
def server() -> Iterator[FakeAgents]:
    fake = FakeAgents()
    with AsgiServer.running(fake) as server:
        fake.url = f"{server.url}/v1"
        fake.script = [[SENDS]]
        yield fake


@pytest.fixture(scope="module")
def provisioned(server: FakeAgents, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    data = tmp_path_factory.mktemp("provisioned") / "data"
    connection = {"name": "Script", "protocol": "agents", "base_url": server.url, "model": "astra"}
    told = manage(data, "provision", "-", stdin=json.dumps(DOCUMENT | {"connections": [connection]}))
    assert told.returncode == 0, told.stderr
    return Begun(data, json.loads(told.stdout), server.saved())


@pytest.fixture(scope="module")
def waiting(provisioned: Begun, server: FakeAgents, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """Two sends of one turn wait for a person."""
    data, made = provisioned.copy(tmp_path_factory.mktemp("waiting"), server)
    with RecordingServer.running() as smtp, closing(AgentsStory(data, made, smtp)) as story:
        up = story.start()
        story.deliver(up)
        story.pending(up, 2)
        up.close()
    return Begun(data, made, server.saved())


@pytest.mark.parametrize("point", AROUND_A_SUBMIT)
def test_each_output_is_given_once(waiting: Begun, server: FakeAgents, tmp_path: Path, point: str) -> None:
    data, made = waiting.copy(tmp_path, server)
    with RecordingServer.running() as smtp, closing(AgentsStory(data, made, smtp)) as story:
        for left in (2, 1):
            up = story.start(point)
            email_id = story.pending(up, left)[0]
            # what the last death left over is done first: it is this decision that the next one is about
            until(partial(story.has_given, up, 2 - left))
            story.armed.touch()
            story.approve(up, email_id)
            story.died(up)
        story.ends_once(story.start(), server)


@pytest.mark.parametrize("point", AROUND_A_START)
def test_a_run_is_begun_once(provisioned: Begun, server: FakeAgents, tmp_path: Path, point: str) -> None:
    data, made = provisioned.copy(tmp_path, server)
    with RecordingServer.running() as smtp, closing(AgentsStory(data, made, smtp)) as story:
        up = story.start(point)
        story.armed.touch()
        story.deliver(up)
        story.died(up)
        up = story.start()
        for email_id in story.pending(up, 2):
            story.approve(up, email_id)
        story.ends_once(up, server)
