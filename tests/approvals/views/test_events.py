"""The live wire, over the real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from approvals.models import User
from approvals.views import events
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests.approvals.living import a_held_message
from tests.servers import AsgiServer


def session_of(user: User) -> dict[str, str]:
    session = SessionStore()
    session[SESSION_KEY] = user.pk
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return {"sessionid": str(session.session_key)}


@contextmanager
def listening(server: AsgiServer, user: User) -> Iterator[Iterator[str]]:
    with requests.get(f"{server.url}/events", cookies=session_of(user), stream=True, timeout=10) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        yield (line for line in response.iter_lines(chunk_size=1, decode_unicode=True) if line)


def test_the_wire_says_that_something_changed_and_nothing_more(
    live_server_asgi: AsgiServer, reviewer: User, api_key: ApiKey, mailbox: Mailbox
) -> None:
    with listening(live_server_asgi, reviewer) as lines:
        assert next(lines) == "retry: 3000"
        message = a_held_message(api_key, mailbox, subject="Secret")
        said = [next(lines), next(lines)]
    assert said[0] == "event: changed"
    assert said[1].removeprefix("data: ").isdigit()
    assert message.pk not in "".join(said)


def test_an_open_page_gives_signs_of_life(
    live_server_asgi: AsgiServer, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT", 0.05)
    with listening(live_server_asgi, reviewer) as lines:
        assert next(lines) == "retry: 3000"
        assert next(lines) == ": still here"


def test_a_person_may_not_hold_any_number_of_pages_open(
    live_server_asgi: AsgiServer, reviewer: User, second_reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PER_PERSON", 1)
    with listening(live_server_asgi, reviewer) as lines:
        next(lines)
        url = f"{live_server_asgi.url}/events"
        assert requests.get(url, cookies=session_of(reviewer), timeout=10).status_code == 429
        with listening(live_server_asgi, second_reviewer) as others:
            next(others)


def test_a_stranger_hears_nothing(live_server_asgi: AsgiServer) -> None:
    response = requests.get(f"{live_server_asgi.url}/events", allow_redirects=False, timeout=10)
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/sign-in")
