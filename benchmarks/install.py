"""An install on SQLite in a directory of its own, run by `manage.py up`, in which runs wait for a person."""

from __future__ import annotations

import json
import os
import smtplib
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from tests.processes import Up, manage

MAILBOX = "support@acme.example"
EVENTS = "SELECT run_id, action, at FROM audit_event WHERE run_id != '' ORDER BY seq"
# set in the transaction in which the Assistants server takes the outputs, just before it is committed
OUTPUTS = """
    SELECT run.id, 'output', step.ended_at FROM assistants_server_step AS step
    JOIN assistants_server_run AS run ON run.seq = step.run_id
    WHERE step.type = 'tool_calls' AND step.ended_at IS NOT NULL ORDER BY step.seq
"""


def document(model_port: int) -> dict[str, Any]:
    model = {
        "name": "Null",
        "protocol": "chat_completions",
        "base_url": f"http://127.0.0.1:{model_port}/v1",
        "model": "null",
    }
    agent = {"name": "Support", "mailboxes": [MAILBOX], "scopes": ["read", "send"], "connection": "Null"}
    mailbox = {
        "address": MAILBOX,
        "oversight_mode": "gated_send",
        "assistant": "Support",
        "on_inbound": "run",
    }
    desk = {"name": "Desk", "scopes": ["oversight", "read"], "mailboxes": ["*"]}
    return {"connections": [model], "mailboxes": [mailbox], "assistants": [agent], "integrations": [desk]}


class Api:
    """Calls with one key. Each opens a connection of its own: the server ends those that rest."""

    def __init__(self, url: str, key: str) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", f"{path}?{urlencode(query)}", None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        with closing(HTTPConnection(self._host, timeout=60)) as connection:
            connection.request(method, f"/v1/{path}", body, self._headers)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)


@dataclass(frozen=True, slots=True)
class Decision:
    """When the request was sent, and when its answer was read."""

    sent_at: float
    answered_at: float


@dataclass
class Install:
    up: Up
    agent_key: str
    desk: Api

    @classmethod
    @contextmanager
    def running(cls, directory: Path, *, mail_port: int, model_port: int) -> Iterator[Self]:
        data = directory / "data"
        made = manage(data, "provision", "-", stdin=json.dumps(document(model_port)))
        if made.returncode:
            raise RuntimeError(made.stderr)
        keys = json.loads(made.stdout)
        # no run of rounds is to be cut short by the limit, which stays in force
        up = Up.started(data, EMAIL_URL=f"smtp://127.0.0.1:{mail_port}", WRITE_LIMIT="60000")
        with closing(up):
            desk = Api(up.url, keys["integrations"][0]["api_key"])
            yield cls(up, keys["assistants"][0]["api_key"], desk)

    def write_in(self, words: list[str]) -> None:
        """One mail for each word, each of which starts a run that asks to send a mail about the word."""
        with smtplib.SMTP(*self.up.smtp, local_hostname="far.example") as client:
            for word in words:
                address = f"{word}@far.example"
                text = f"From: {address}\r\nTo: {MAILBOX}\r\nSubject: {word}\r\n\r\nWhere is it?\r\n"
                client.sendmail(address, [MAILBOX], text)

    def wait_for_held(self, count: int, seconds: float = 600) -> dict[str, dict[str, Any]]:
        """What waits for a decision, by subject, as soon as there is so much of it."""
        end = time.monotonic() + seconds
        while len(held := self.held()) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"Only {len(held)} of {count} came to wait for a decision.")
            time.sleep(0.5)
        return held

    def held(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        cursor = None
        while True:
            page = self.desk.get("oversight/pending", limit=100, **({"cursor": cursor} if cursor else {}))
            found |= {email["subject"]: email for email in page["pending"]}
            if not (cursor := page["cursor"]):
                return found

    def approve(self, email: Mapping[str, Any]) -> Decision:
        body = {"email_id": email["id"], "action": "approve", "digest": email["digest"]}
        sent_at = time.time()
        self.desk.post("oversight/decide", body)
        return Decision(sent_at, time.time())

    def processor_time(self) -> float:
        """Seconds of user and system time that the process has taken so far."""
        fields = Path(f"/proc/{self.up.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def moments(self) -> dict[str, dict[str, float]]:
        """For each run by its id: when the log has each of its events, and when it took its `output`."""
        found: dict[str, dict[str, float]] = {}
        path = f"file:{self.up.data / 'counterseal.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            for run_id, name, at in (*database.execute(EVENTS), *database.execute(OUTPUTS)):
                moment = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
                found.setdefault(run_id, {}).setdefault(name, moment)
        return found
