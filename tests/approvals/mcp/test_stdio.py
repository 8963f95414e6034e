"""`manage.py mcp`, started by a client as clients start it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from approvals.models import KeyMailbox, MailboxAssistant, OutboundMessage
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import arrived
from tests.approvals.mcp.client import talking
from tests.processes import environment


def environment_of(tmp_path: Path, **more: str) -> dict[str, str]:
    """A process of its own on the database of the test."""
    database = f"sqlite:///{connection.settings_dict['NAME']}"
    return environment(tmp_path, DATABASE_URL=database, SECRET_KEY="only for tests", **more)


@asynccontextmanager
async def started(env: dict[str, str], *arguments: str) -> AsyncIterator[Client]:
    command = StdioServerParameters(
        command=sys.executable, args=["manage.py", "mcp", *arguments], env=env, cwd=settings.BASE_DIR
    )
    async with Client(stdio_client(command)) as client:
        yield client


@pytest.fixture
def key(transactional_db: None, api_key: ApiKey) -> str:
    return str(api_key.secret)  # type: ignore[attr-defined]


def test_it_serves_the_same_tools(key: str, mailbox: Mailbox, tmp_path: Path) -> None:
    email = arrived(mailbox)
    with talking(started(environment_of(tmp_path, MULTIMAIL_API_KEY=key))) as talk:
        assert {"send_email", "wait_for_email"} <= talk.names()
        assert "delete_mailbox" not in talk.names()
        assert [one["id"] for one in talk.told("check_inbox")["emails"]] == [email.pk]
        assert "Please look." in talk.blocks("read_email", email_id=email.pk)[1]
        sent = talk.told("send_email", to=["anna@example.com"], subject="Hi", markdown="Hello.")
        assert talk.refused("read_email", email_id="em_none")["code"] == "not_found"
        assert talk.told("wait_for_email", timeout_seconds=5)["found"] is False
    assert OutboundMessage.objects.get().pk == sent["id"]


def test_a_mailbox_and_a_file_with_the_key_may_be_named(
    key: str, assistant: Any, mailbox: Mailbox, tmp_path: Path
) -> None:
    second = factories.a_mailbox("sales@acme.test")
    MailboxAssistant.objects.create(assistant=assistant, mailbox=second)
    KeyMailbox.objects.create(key=ApiKey.objects.get(), mailbox=second)
    arrived(second)
    file = tmp_path / "key"
    file.write_text(f"{key}\n")
    named = ("--key-file", str(file), "--mailbox", second.pk)
    with talking(started(environment_of(tmp_path), *named)) as talk:
        assert len(talk.told("check_inbox")["emails"]) == 1
        assert talk.told("check_inbox", mailbox_id=mailbox.pk)["emails"] == []


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [("", "Put an API key into MULTIMAIL_API_KEY"), ("mm_live_x", "unknown, expired or revoked")],
)
def test_without_a_good_key_it_does_not_start(
    transactional_db: None, tmp_path: Path, secret: str, sentence: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", "mcp"],
        cwd=settings.BASE_DIR,
        env=environment_of(tmp_path, MULTIMAIL_API_KEY=secret),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert ended.stdout == ""


def test_nothing_but_the_protocol_goes_to_stdout(key: str, mailbox: Mailbox, tmp_path: Path) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "x", "version": "1"},
        },
    }
    ended = subprocess.run(
        [sys.executable, "manage.py", "mcp"],
        cwd=settings.BASE_DIR,
        env=environment_of(tmp_path, MULTIMAIL_API_KEY=key),
        input=json.dumps(hello) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    (line,) = ended.stdout.splitlines()
    assert json.loads(line)["result"]["serverInfo"]["name"] == "counterseal"
