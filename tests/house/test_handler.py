"""What is not async stays in one thread from its first middleware to its last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.http import HttpRequest, HttpResponse
from pytest_django import Settings

from tests.servers import AsgiServer

seen: list[str] = []


def note(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """A middleware that notes the thread it is called in."""

    def noting(request: HttpRequest) -> HttpResponse:
        seen.append(threading.current_thread().name)
        response: HttpResponse = get_response(request)
        seen.append(threading.current_thread().name)
        return response

    return noting


@pytest.fixture
def noted(settings: Settings) -> list[str]:
    settings.MIDDLEWARE = [f"{__name__}.note", *settings.MIDDLEWARE, f"{__name__}.note"]
    seen.clear()
    return seen


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/no/such/page", 404), ("/v1/nothing", 401)])
def test_a_call_changes_its_thread_once(
    transactional_db: None, noted: list[str], path: str, status: int
) -> None:
    from config.handler import Handler

    with AsgiServer.running(Handler()) as server:
        assert httpx.get(server.url + path, timeout=60).status_code == status
    assert len(noted) == 4
    assert len(set(noted)) == 1
    assert not noted[0].startswith("asgi")
