"""kill -9 around what a worker asks of a Responses server: then a restart, and nothing is asked twice."""

from __future__ import annotations

import json
import signal
import smtplib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_kill import DOCUMENT, SUPPORT, Story, until
from tests.foreign.responses_server import ResponsesServer
from tests.processes import Up, manage
from tests.servers import RecordingServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEND = ("send_email", '{"to": "c@far.example", "subject": "Re: Hi", "body": "Here."}')
ASKED = "openai.resources.responses.responses:Responses.create:after"


@pytest.fixture
def server(responses_server: ResponsesServer) -> ResponsesServer:
    responses_server.reset({"calls": [SEND]}, {"text": "It is sent."})
    return responses_server


@pytest.fixture
def story(server: ResponsesServer, tmp_path: Path) -> Iterator[Story]:
    connection = {"name": "Far", "protocol": "responses", "base_url": server.url, "model": "served"}
    document: dict[str, Any] = DOCUMENT | {"connections": [connection]}
    document["assistants"] = [assistant | {"connection": "Far"} for assistant in document["assistants"]]
    data = tmp_path / "data"
    told = manage(data, "provision", "-", stdin=json.dumps(document))
    assert told.returncode == 0, told.stderr
    with RecordingServer.running() as smtp, closing(Story(data, json.loads(told.stdout), smtp)) as story:
        yield story


def ends(story: Story, up: Up) -> None:
    until(lambda: story.run(up)["state"] == "completed" and story.run(up)["calls"][0]["submitted_at"])


@pytest.mark.parametrize("point", [ASKED, "assistants.runtimes.responses:ResponsesRuntime.submit:after"])
def test_the_outcome_is_told_once(story: Story, server: ResponsesServer, point: str) -> None:
    email_id = story.hold()
    story.approve_and_die(point, email_id)
    ends(story, story.start())
    (outputs,) = server.journal.values()
    assert [json.loads(output)["status"] for output in outputs] == ["sent"]
    assert len(story.smtp.messages) == 1


def test_a_run_is_started_once(story: Story, server: ResponsesServer) -> None:
    up = story.start(ASKED)
    story.armed.touch()
    with smtplib.SMTP(*up.smtp) as client:
        client.sendmail("c@far.example", [SUPPORT], "From: c@far.example\r\nSubject: Hi\r\n\r\nHello?\r\n")
    assert up.process.wait(30) == -signal.SIGKILL
    up.close()
    up = story.start()
    until(lambda: story.get(up, "oversight/pending", story.desk)["pending"])
    assert len(server.heard) == len(server.conversations) == 1
