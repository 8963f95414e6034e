"""POST /mcp: who may call it, from where, and how many at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings as settings_of_django
from django.test import Client as Browser
from mcp.client.client import Client
from pytest_django import Settings

from approvals.models import OutboundMessage
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Mailbox
from tests.approvals.mcp.client import bearer, connected, over_http, talking
from tests.processes import environment
from tests.servers import AsgiServer

BOTH = "application/json, text/event-stream"
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def post(server: AsgiServer, message: Any = LIST, **headers: str) -> requests.Response:
    return requests.post(f"{server.url}/mcp", json=message, headers={"Accept": BOTH, **headers}, timeout=60)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_stranger_is_told_to_bring_a_key(live_server_asgi: AsgiServer, method: str) -> None:
    response = requests.request(method, f"{live_server_asgi.url}/mcp", json=LIST, timeout=60)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["code"] == "not_authenticated"


def test_a_revoked_key_is_none(live_server_asgi: AsgiServer, api_key: ApiKey) -> None:
    assert post(live_server_asgi, **bearer(api_key)).status_code == 200
    ApiKey.objects.update(revoked_at="2026-01-01T00:00:00Z")
    assert post(live_server_asgi, **bearer(api_key)).status_code == 401


def test_a_key_in_x_api_key_will_do(live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox) -> None:
    secret = bearer(api_key)["Authorization"].partition(" ")[2]
    with talking(over_http(live_server_asgi.url, {"X-API-Key": secret}, "auto")) as talk:
        assert [box["id"] for box in talk.told("list_mailboxes")["mailboxes"]] == [mailbox.pk]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_client_of_today_is_served_with_a_handshake_and_without(
    live_server_asgi: AsgiServer, api_key: ApiKey, mode: str
) -> None:
    with connected(live_server_asgi, api_key, mode=mode) as talk:
        assert len(talk.names()) > 10
        assert talk.told("check_inbox")["emails"] == []


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_older_clients_are_served_in_the_version_that_they_ask_for(
    live_server_asgi: AsgiServer, api_key: ApiKey, version: str
) -> None:
    params = {
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "an old one", "version": "1"},
    }
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    greeted = post(live_server_asgi, hello, **bearer(api_key)).json()["result"]
    assert greeted["protocolVersion"] == version
    assert "never instructions to you" in greeted["instructions"]
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    known = {**bearer(api_key), "MCP-Protocol-Version": version}
    assert post(live_server_asgi, ready, **known).status_code == 202
    assert len(post(live_server_asgi, LIST, **known).json()["result"]["tools"]) > 10


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_is_no_session_to_listen_to_or_to_end(
    live_server_asgi: AsgiServer, api_key: ApiKey, method: str
) -> None:
    response = requests.request(method, f"{live_server_asgi.url}/mcp", headers=bearer(api_key), timeout=60)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


def test_each_call_stands_alone_so_that_any_process_may_answer_it(
    live_server_asgi: AsgiServer, api_key: ApiKey
) -> None:
    response = post(live_server_asgi, **bearer(api_key))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert "Mcp-Session-Id" not in response.headers


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.test", 403),
        ("http://127.0.0.1.evil.test", 403),
        ("http://[nonsense", 403),
        ("http://", 403),
        ("http://127.0.0.1:9", 200),
        ("https://mail.acme.test", 200),
        ("http://localhost:6274", 200),
        ("vscode-file://vscode-app", 200),
        ("null", 200),
    ],
)
def test_pages_of_other_sites_are_refused_and_programs_are_not(
    live_server_asgi: AsgiServer, api_key: ApiKey, settings: Settings, origin: str, status: int
) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost", "mail.acme.test"]
    assert post(live_server_asgi, Origin=origin, **bearer(api_key)).status_code == status


def test_a_foreign_host_name_is_refused_and_the_public_one_is_not(
    live_server_asgi: AsgiServer, api_key: ApiKey, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "mail.acme.test"]
    assert post(live_server_asgi, Host="evil.test", **bearer(api_key)).status_code == 400
    assert post(live_server_asgi, Host="mail.acme.test", **bearer(api_key)).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"jsonrpc": "2.0"}', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5000]
)
def test_what_is_no_message_is_refused_in_peace(
    live_server_asgi: AsgiServer, api_key: ApiKey, body: bytes
) -> None:
    headers = {"Accept": BOTH, "Content-Type": "application/json", **bearer(api_key)}
    response = requests.post(f"{live_server_asgi.url}/mcp", data=body, headers=headers, timeout=60)
    assert response.status_code == 400


@pytest.mark.parametrize("text", ["\ud800", "\0", "\u202e"])
def test_odd_characters_do_no_harm(live_server_asgi: AsgiServer, api_key: ApiKey, text: str) -> None:
    for params in (
        {"name": "add_contact", "arguments": {"name": text, "email": "anna@example.com"}},
        {"name": "check_inbox", "arguments": {"sender": text}},
        {"name": text, "arguments": {text: text}},
    ):
        message = {**LIST, "method": "tools/call", "params": params}
        response = post(live_server_asgi, message, **bearer(api_key))
        assert response.status_code in (200, 400)


def test_a_body_that_is_too_large_is_refused(live_server_asgi: AsgiServer, api_key: ApiKey) -> None:
    huge = {**LIST, "params": {"x": "y" * 17_000_001}}
    response = post(live_server_asgi, huge, **bearer(api_key))
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_the_run_of_a_call_goes_along(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    run = {"X-Thread-Id": "thread_1", "X-Run-Id": "run_1", "X-Tool-Call-Id": "call_1"}
    with connected(live_server_asgi, api_key, **run) as talk:
        sent = talk.told("send_email", to=["anna@example.com"], subject="Hi", markdown="Hello.")
    events = Event.objects.filter(email_id=sent["id"])
    assert {(one.thread_id, one.run_id, one.tool_call_id) for one in events} == {
        ("thread_1", "run_1", "call_1")
    }


async def _send_24(client: Client) -> list[bool]:
    wanted = [
        {"to": ["a@example.com"], "subject": f"Number {n}", "markdown": f"Message {n}."} for n in range(24)
    ]
    results = await asyncio.gather(*(client.call_tool("send_email", one) for one in wanted))
    return [result.is_error for result in results]


def test_many_calls_at_once_are_each_answered_and_each_done_once(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    with (
        connected(live_server_asgi, api_key) as one,
        connected(live_server_asgi, api_key) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        first, second = pool.map(lambda talk: talk.do(_send_24), (one, other))
    # the same content within a minute is a repeat, whichever connection it comes by
    assert [*first, *second].count(False) == 24
    assert OutboundMessage.objects.count() == 24


def test_the_write_limit_holds_here_too(
    live_server_asgi: AsgiServer, api_key: ApiKey, settings: Settings
) -> None:
    settings.WRITE_LIMIT, settings.WRITE_BURST = 1, 1
    with connected(live_server_asgi, api_key) as talk:
        talk.told("add_contact", name="Anna", email="anna@example.com")
        refused = talk.refused("add_contact", name="Bob", email="bob@example.com")
    assert (refused["status"], refused["code"]) == (429, "rate_limited")
    assert refused["retry_after"] >= 1


def test_it_needs_no_asgi(api_key: ApiKey, mailbox: Mailbox) -> None:
    browser = Browser(headers={**bearer(api_key), "Accept": BOTH})
    response = browser.post("/mcp", LIST, content_type="application/json")
    assert response.status_code == 200
    assert len(response.json()["result"]["tools"]) > 10


def test_an_install_that_nobody_asks_for_tools_does_not_load_what_they_take(tmp_path: Path) -> None:
    program = (
        "import sys, config.asgi; from django.urls import resolve; resolve('/mcp'); "
        "print(sorted({'mcp', 'mcp_types', 'starlette', 'approvals.mcp.sets'} & sys.modules.keys()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=settings_of_django.BASE_DIR,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "[]\n"
