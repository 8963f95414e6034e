"""wait_for_email: woken by mail that comes in, and by nothing else; cheap while it waits."""

from __future__ import annotations

import json
import smtplib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests
from asgiref.sync import sync_to_async
from django.db import connections
from mcp.client.client import Client

from approvals import actions, tasks
from approvals.api import beside
from approvals.mcp import waiting as waits
from approvals.models import User
from assistants.models import ApiKey
from config.receiving.server import MailServer
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import arrived, held
from tests.approvals.mcp.client import Talk, bearer, connected
from tests.servers import AsgiServer

pytestmark = pytest.mark.database


@pytest.fixture
def talk(live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox) -> Iterator[Talk]:
    with connected(live_server_asgi, api_key) as found:
        yield found


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as found:
        yield found


def until_waiting(how_many: int) -> None:
    end = time.monotonic() + 20
    while beside.waiting() != how_many:
        assert time.monotonic() < end
        time.sleep(0.01)


def waiting(pool: ThreadPoolExecutor, talk: Talk, **arguments: Any) -> Future[Any]:
    asked = pool.submit(talk.blocks, "wait_for_email", timeout_seconds=60, **arguments)
    until_waiting(1)
    return asked


def test_it_is_woken_by_mail_from_a_mail_server(
    talk: Talk, pool: ThreadPoolExecutor, mailbox: Mailbox
) -> None:
    arrived(mailbox, "Before the call")
    asked = waiting(pool, talk)
    server = MailServer("127.0.0.1", 0)
    server.start()
    try:
        _hand_in(server.port, mailbox.address)
        tasks.receive()
    finally:
        server.stop()
    first, warning = asked.result(timeout=20)
    told = json.loads(first)
    assert told["found"] is True
    assert [one["subject"] for one in told["emails"]] == ["By wire"]
    assert "markdown" not in told["emails"][0]
    assert "UNTRUSTED" in warning
    until_waiting(0)


def _hand_in(port: int, address: str) -> None:
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        letter = f"From: Anna <anna@example.com>\r\nTo: {address}\r\nSubject: By wire\r\n\r\nHello.\r\n"
        smtp.sendmail("anna@example.com", [address], letter.encode())


def test_other_news_and_other_mail_do_not_end_it(
    talk: Talk, pool: ThreadPoolExecutor, mailbox: Mailbox, api_key: ApiKey
) -> None:
    asked = waiting(pool, talk, filter={"sender": "ann", "subject_contains": "order"})
    held(mailbox, api_key)
    arrived(mailbox, "My order", sender="bob@example.com")
    arrived(mailbox, "Something else")
    arrived(factories.a_mailbox("sales@acme.test"), "My order")
    assert not asked.done()
    wanted = arrived(mailbox, "My ORDER")
    told = json.loads(asked.result(timeout=20)[0])
    assert [one["id"] for one in told["emails"]] == [wanted.pk]


def test_held_mail_wakes_it_once_a_person_lets_it_in(
    talk: Talk, pool: ThreadPoolExecutor, mailbox: Mailbox, reviewer: User
) -> None:
    Mailbox.objects.update(oversight_mode="gated_all")
    before = arrived(mailbox, "Held before the call")
    asked = waiting(pool, talk)
    arrived(mailbox, "Held since")
    assert not asked.done()
    actions.approve_inbound(before, by=reviewer)
    told = json.loads(asked.result(timeout=20)[0])
    assert [one["subject"] for one in told["emails"]] == ["Held before the call"]


def test_a_wait_that_runs_out_says_so(talk: Talk) -> None:
    started = time.monotonic()
    told = talk.told("wait_for_email", timeout_seconds=5)
    assert told == {"found": False, "timeout": True, "waited_seconds": 5}
    assert time.monotonic() - started >= 5


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"timeout_seconds": 4}, "timeout_seconds"),
        ({"timeout_seconds": 121}, "timeout_seconds"),
        ({"timeout_seconds": "ever"}, "timeout_seconds"),
        ({"filter": "anna"}, "filter"),
        ({"filter": {"sender": 5}}, "filter.sender"),
        ({"for_how_long": 5}, "for_how_long"),
    ],
)
def test_a_wait_that_is_none_is_refused(talk: Talk, arguments: dict[str, Any], field: str) -> None:
    refused = talk.refused("wait_for_email", **arguments)
    assert (refused["status"], refused["field"]) == (400, field)


def test_the_waiting_calls_of_a_key_are_capped_and_hold_no_connection(
    talk: Talk,
    pool: ThreadPoolExecutor,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beside, "MAX_WAITING", 3)
    opened = _count_connections(monkeypatch)
    asked = [pool.submit(talk.told, "wait_for_email", timeout_seconds=60) for _ in range(3)]
    until_waiting(3)
    refused = talk.refused("wait_for_email", timeout_seconds=60)
    assert (refused["status"], refused["code"], refused["retry_after"]) == (429, "rate_limited", 1)
    _until_let_go(opened)
    arrived(mailbox)
    assert [one.result(timeout=20)["found"] for one in asked] == [True] * 3


def _count_connections(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads, but for the test's own, that hold a database connection now."""
    wrapper = type(connections["default"])
    connect, close, mine = wrapper.connect, wrapper.close, threading.get_ident()
    holding: set[int] = set()

    def counted_connect(self: object) -> None:
        connect(self)  # type: ignore[arg-type]
        if threading.get_ident() != mine:
            holding.add(id(self))

    def counted_close(self: object) -> None:
        close(self)  # type: ignore[arg-type]
        holding.discard(id(self))

    monkeypatch.setattr(wrapper, "connect", counted_connect)
    monkeypatch.setattr(wrapper, "close", counted_close)
    return holding


def _until_let_go(holding: set[int]) -> None:
    """Waiters look now and then; between two looks there is a moment without any connection."""
    end = time.monotonic() + 20
    while holding:
        assert time.monotonic() < end, "somebody waits with a connection in hand"
        time.sleep(0.001)


def _ask(url: str, key: ApiKey) -> requests.Response:
    params = {"name": "wait_for_email", "arguments": {"timeout_seconds": 60}}
    return requests.post(
        f"{url}/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={"Accept": "application/json, text/event-stream", **bearer(key)},
        stream=True,
        timeout=60,
    )


def test_whoever_hangs_up_waits_no_longer(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    answer = _ask(live_server_asgi.url, api_key)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    until_waiting(1)
    answer.close()
    until_waiting(0)


def _arrived_elsewhere(mailbox: Mailbox) -> None:
    """In a thread that keeps no connection."""
    try:
        arrived(mailbox)
    finally:
        connections.close_all()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_that_asks_for_progress_hears_that_the_call_still_waits(
    live_server_asgi: AsgiServer,
    api_key: ApiKey,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    monkeypatch.setattr(waits, "BEAT", 0.1)
    heard: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert total == 60
        heard.append(progress)
        if len(heard) == 3:
            # mail comes while the client listens
            await sync_to_async(_arrived_elsewhere)(mailbox)

    async def act(client: Client) -> Any:
        return await client.call_tool("wait_for_email", {"timeout_seconds": 60}, progress_callback=note)

    with connected(live_server_asgi, api_key, mode=mode) as found:
        result = found.do(act)
    assert json.loads(result.content[0].text)["found"] is True
    assert len(heard) >= 3
    assert heard == sorted(heard)
