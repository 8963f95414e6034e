"""GET /v1/messages/{id}, at once and with `wait`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.db import connections
from django.test import Client

from approvals import actions
from approvals.api import beside
from approvals.models import User
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests.approvals.api.caller import Caller, arrived, held
from tests.servers import AsgiServer


def test_a_status_in_the_flat_words(
    agent: Caller, stranger: Caller, mailbox: Mailbox, api_key: ApiKey
) -> None:
    message = held(mailbox, api_key)
    path = f"/v1/messages/{message.pk}"
    assert agent.get(path).json() == {"id": message.pk, "status": "pending_approval"}
    assert agent.get(f"/v1/messages/{arrived(mailbox).pk}").json()["status"] == "unread"
    assert stranger.get(path).status_code == 404
    assert agent.get("/v1/messages/em_none").status_code == 404
    assert agent.post(path, {}).status_code == 405


def test_a_wrong_method_is_refused_as_everywhere_under_v1() -> None:
    response = Client(enforce_csrf_checks=True).post("/v1/messages/em_none")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("wait", ["56", "-1", "ever", "9" * 400, "1.5"])
def test_a_wait_that_is_none_is_400(agent: Caller, mailbox: Mailbox, api_key: ApiKey, wait: str) -> None:
    response = agent.get(f"/v1/messages/{held(mailbox, api_key).pk}?wait={wait}")
    assert (response.status_code, response.json()["field"]) == (400, "wait")


def test_what_can_no_longer_change_is_answered_at_once(
    agent: Caller, mailbox: Mailbox, api_key: ApiKey, reviewer: User
) -> None:
    message = held(mailbox, api_key)
    actions.reject(message, by=reviewer, reason="No.")
    started = time.monotonic()
    assert agent.get(f"/v1/messages/{message.pk}?wait=55").json()["status"] == "rejected"
    assert time.monotonic() - started < 5


pytestmark = pytest.mark.database


def _ask(url: str, key: ApiKey, message_id: str, wait: int) -> requests.Response:
    bearer = {"Authorization": f"Bearer {key.secret}"}  # type: ignore[attr-defined]
    return requests.get(f"{url}/v1/messages/{message_id}", params={"wait": wait}, headers=bearer, timeout=60)


def _until_waiting(how_many: int) -> None:
    end = time.monotonic() + 20
    while beside.waiting() < how_many:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_waiting_call_answers_at_the_next_change(
    live_server_asgi: AsgiServer, mailbox: Mailbox, api_key: ApiKey, reviewer: User
) -> None:
    message = held(mailbox, api_key)
    other = held(mailbox, api_key, "Another")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_ask, live_server_asgi.url, api_key, message.pk, 50)
        _until_waiting(1)
        actions.reject(other, by=reviewer, reason="Somebody else's change wakes it, and it waits on.")
        assert not asked.done()
        actions.reject(message, by=reviewer, reason="No.")
        answer = asked.result(timeout=10)
    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")
    _until_waiting(0)


def test_a_wait_that_runs_out_answers_with_the_current_status(
    live_server_asgi: AsgiServer, mailbox: Mailbox, api_key: ApiKey
) -> None:
    started = time.monotonic()
    answer = _ask(live_server_asgi.url, api_key, held(mailbox, api_key).pk, 1)
    assert (answer.status_code, answer.json()["status"]) == (200, "pending_approval")
    assert time.monotonic() - started >= 1


def test_the_waiting_calls_of_a_key_are_capped_and_hold_no_connection(
    live_server_asgi: AsgiServer,
    mailbox: Mailbox,
    api_key: ApiKey,
    reviewer: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beside, "MAX_WAITING", 3)
    opened = _count_connections(monkeypatch)
    message = held(mailbox, api_key)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(_ask, live_server_asgi.url, api_key, message.pk, 50) for _ in range(3)]
        _until_waiting(3)
        refused = _ask(live_server_asgi.url, api_key, message.pk, 50)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        _until_let_go(opened)
        actions.reject(message, by=reviewer, reason="No.")
        assert [call.result(timeout=10).json()["status"] for call in asked] == ["rejected"] * 3


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
