"""A browser that complains: any console error, refused request or uncaught exception fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from approvals import sign_in
from approvals.models import User
from tests.servers import AsgiServer

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

Opens = Callable[..., Page]


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
