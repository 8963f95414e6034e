"""kill -9 between a decision and the end of its run: then a restart, and nothing is lost or doubled."""

from __future__ import annotations

import json
import shutil
import signal
import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import Up, manage
from tests.servers import RecordingServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SUPPORT = "support@acme.example"
DOCUMENT = {
    "connections": [
        {
            "name": "Script",
            "protocol": "scripted",
            "script": [
                {"when": {"turn": 2}, "say": "Done."},
                {
                    "calls": [
                        {"name": "reply_email", "arguments": {"email_id": "{email_id}", "body": "Here."}}
                    ]
                },
            ],
        }
    ],
    "mailboxes": [
        {"address": SUPPORT, "oversight_mode": "gated_send", "assistant": "Support", "on_inbound": "run"}
    ],
    "assistants": [
        {"name": "Support", "mailboxes": [SUPPORT], "scopes": ["read", "send"], "connection": "Script"}
    ],
    "integrations": [{"name": "Desk", "scopes": ["oversight", "read"], "mailboxes": ["*"]}],
    "people": [{"email": "rita@acme.example", "password": "correct horse battery", "roles": ["reviewer"]}],
}

# (where the process dies, whether the mail may be in doubt afterwards)
POINTS = [
    ("approvals.outbox:enqueue:after", False),
    ("approvals.outbox:claim:before", False),
    ("approvals.outbox:claim:after", False),
    ("approvals.actions.dispatch:store_block:before", False),
    ("approvals.actions.dispatch:store_block:after", False),
    ("approvals.actions.dispatch:begin_sending:before", False),
    ("approvals.actions.dispatch:begin_sending:after", True),
    ("mailboxes.smtp:Session.data:before", True),
    ("mailboxes.smtp:Session.data:after", True),
    ("approvals.actions.dispatch:record_sent:before", True),
    ("approvals.actions.dispatch:record_sent:after", False),
    ("approvals.effects.resuming:_resume:before", False),
    ("assistants.runtimes.assistants:AssistantsRuntime.submit:before", False),
    ("assistants.runtimes.assistants:AssistantsRuntime.submit:after", False),
    ("approvals.effects.resuming:_settle:before", False),
    ("approvals.effects.resuming:_settle:after", False),
]


def until(ask: Callable[[], Any], *, seconds: float = 30) -> Any:
    """Ask until the answer is true; an end to waiting, not a way to order things."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"it did not come about within {seconds} s")


class Story:
    """One install, its keys, and a mail server that is not its own."""

    def __init__(self, data: Path, made: dict[str, Any], smtp: RecordingServer) -> None:
        self.data, self.smtp = data, smtp
        self.armed = data.with_name("armed")
        self.started: list[Up] = []
        self.environment = {"EMAIL_URL": f"smtp://127.0.0.1:{smtp.port}", "ARMED": str(self.armed)}
        self.agent = made["assistants"][0]["api_key"]
        self.desk = made["integrations"][0]["api_key"]

    def start(self, point: str = "") -> Up:
        runner = ("-m", "tests.faults.crashing", point) if point else ("manage.py",)
        up = Up.started(self.data, runner=runner, **self.environment)
        self.started.append(up)
        return up

    def close(self) -> None:
        for up in self.started:
            up.close()

    def get(self, up: Up, path: str, key: str) -> Any:
        answer = httpx.get(f"{up.url}/v1/{path}", headers={"Authorization": f"Bearer {key}"}, timeout=30)
        return answer.json()

    def hold(self) -> str:
        """Mail comes in, a run starts, its reply waits. Returns the id of what is held."""
        up = self.start()
        host, port = up.smtp
        with smtplib.SMTP(host, port) as client:
            client.sendmail(
                "c@far.example", [SUPPORT], "From: c@far.example\r\nSubject: Hi\r\n\r\nWhere is it?\r\n"
            )
        held = until(lambda: self.get(up, "oversight/pending", self.desk)["pending"])
        up.close()
        return str(held[0]["id"])

    def approve_and_die(self, point: str, email_id: str) -> None:
        up = self.start(point)
        self.armed.touch()
        with suppress(httpx.TransportError):
            httpx.post(
                f"{up.url}/v1/oversight/decide",
                json={"email_id": email_id, "action": "approve"},
                headers={"Authorization": f"Bearer {self.desk}"},
                timeout=30,
            )
        up.process.wait(30)
        assert up.process.returncode == -signal.SIGKILL
        up.close()

    def run(self, up: Up) -> dict[str, Any]:
        (run,) = self.get(up, "runs", self.agent)["runs"]
        return dict(run)


@dataclass(frozen=True)
class Held:
    """An install in which one reply waits, ended as by a power cut; each test gets a copy."""

    data: Path
    made: dict[str, Any]
    email_id: str


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    data = tmp_path_factory.mktemp("held") / "data"
    told = manage(data, "provision", "-", stdin=json.dumps(DOCUMENT))
    assert told.returncode == 0, told.stderr
    made = json.loads(told.stdout)
    with RecordingServer.running() as smtp, closing(Story(data, made, smtp)) as story:
        return Held(data, made, story.hold())


@pytest.fixture
def story(held: Held, tmp_path: Path) -> Iterator[Story]:
    data = tmp_path / "data"
    shutil.copytree(held.data, data)
    with RecordingServer.running() as smtp, closing(Story(data, held.made, smtp)) as story:
        yield story


SETTLE = """
from approvals import actions
from approvals.models import OutboundMessage, User
message = OutboundMessage.objects.get()
actions.{verb}(message, by=User.objects.get(), digest=message.digest)
"""


@pytest.mark.parametrize(("point", "may_be_in_doubt"), POINTS, ids=[point for point, _ in POINTS])
def test_the_mail_leaves_once_and_the_run_goes_on(
    story: Story, held: Held, point: str, may_be_in_doubt: bool
) -> None:
    email_id = held.email_id
    story.approve_and_die(point, email_id)
    up = story.start()
    if story.get(up, f"messages/{email_id}", story.agent)["status"] == "pending_approval":
        # it died before the decision was committed: nothing happened, so decide again
        assert story.smtp.messages == []
        headers = {"Authorization": f"Bearer {story.desk}"}
        body = {"email_id": email_id, "action": "approve"}
        httpx.post(f"{up.url}/v1/oversight/decide", json=body, headers=headers, timeout=30).raise_for_status()

    def settled() -> str:
        status = story.get(up, f"messages/{email_id}", story.agent)["status"]
        return str(status) if status in ("sent", "needs_attention") else ""

    status = until(settled)
    if status == "needs_attention":
        assert may_be_in_doubt
        assert len(story.smtp.messages) <= 1
        assert story.run(up)["state"] == "requires_action"
        verb = "mark_sent" if story.smtp.messages else "send_again"
        assert manage(story.data, "shell", "-v0", "-c", SETTLE.format(verb=verb)).returncode == 0

    def ended() -> Any:
        run = story.run(up)
        return run if run["state"] == "completed" and run["calls"][0]["submitted_at"] else None

    (call,) = until(ended)["calls"]
    assert json.loads(call["output"])["status"] == "sent"
    assert len(story.smtp.messages) == 1
    up.close()
    assert manage(story.data, "verify_audit").returncode == 0
