"""The workers of `up`, and a browser that complains: any console error or refused request is a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from approvals import sign_in
from approvals.models import User
from config.celery import app
from config.embedded.lanes import LANES, Lane
from tests.servers import AsgiServer

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

Opens = Callable[..., Page]


@pytest.fixture
def workers(transactional_db: None) -> Iterator[None]:
    """The same worker threads that `up` runs."""
    app.loader.import_default_modules()
    lanes = [Lane(app, task, threads) for task, threads in LANES.items()]
    for lane in lanes:
        lane.start()
    yield
    for lane in lanes:
        lane.stop()
    assert all(lane.join(time.monotonic() + 20) for lane in lanes)


@pytest.fixture
def opens(browser: Browser, live_server_asgi: AsgiServer) -> Iterator[Opens]:
    """`opens(user, path)`: a page of a new browser profile in which `user` is signed in."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def open_page(
        user: User | None,
        path: str = "/",
        *,
        size: dict[str, int] = WIDE,
        scheme: str = "light",
        scripts: bool = True,
    ) -> Page:
        context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
            base_url=live_server_asgi.url,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if user:
            page.goto(sign_in.mint_link(user))
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{live_server_asgi.url}/**")
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
