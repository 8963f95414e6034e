"""An administrator sets up where models are served, in a real browser."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from approvals.models import User
from assistants.models import Assistant, Connection
from mailboxes.models import Mailbox
from tests.e2e.conftest import PHONE, WIDE, Opens
from tests.factories import a_connection, an_assistant

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def tab_to(page: Page, name: str) -> None:
    """With the keyboard alone, as somebody without a mouse."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"
            " || document.activeElement.getAttribute('aria-label') || ''"
        )
        if focused.startswith(name):
            return
    raise AssertionError(f"nothing called {name} can be reached")


def test_a_connection_is_made_and_its_key_replaced_with_the_keyboard_alone(
    opens: Opens, administrator: User
) -> None:
    page = opens(administrator, "/connections")
    keys = page.keyboard
    tab_to(page, "New connection")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="New connection")).to_be_visible()
    tab_to(page, "Chat Completions endpoint")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    for label, text in (
        ("Name", "Model"),
        ("Base URL", "https://models.example/v1"),
        ("API key", "sk-first"),
        ("Model", "small"),
        ("Asked for, row 1", "gpt-4o"),
        ("Served by, row 1", "small"),
        ("as the run needs", ""),
    ):
        tab_to(page, label)
        keys.type(text)
    keys.press("ArrowDown")
    keys.press("Control+Enter")
    expect(page.locator(".toast")).to_contain_text("Model is ready")
    made = Connection.objects.get()
    assert (made.api_key, made.models_served, made.hold_policy) == ("sk-first", {"gpt-4o": "small"}, "hold")
    tab_to(page, "New API key")
    keys.type("sk-second")
    keys.press("Enter")
    expect(page.locator(".toast")).to_contain_text("API key replaced")
    made.refresh_from_db()
    assert made.api_key == "sk-second"
    assert "sk-" not in page.content()


def test_deleting_asks_first(opens: Opens, administrator: User) -> None:
    row = a_connection(name="Old")
    page = opens(administrator, f"/connections/{row.pk}")
    page.get_by_role("button", name="Delete this connection").click()
    page.get_by_role("button", name="Keep it").click()
    assert Connection.objects.exists()
    page.get_by_role("button", name="Delete this connection").click()
    page.keyboard.press("Control+Enter")
    expect(page).to_have_url(re.compile("/connections$"))
    assert not Connection.objects.exists()


@pytest.fixture
def everything(administrator: User, mailbox: Mailbox) -> list[str]:
    rows = [a_connection(name=f"Over {protocol}", protocol=protocol) for protocol in Connection.Protocol]
    agent: Assistant = an_assistant("Support Agent", mailboxes=[mailbox], connection=rows[0])
    made = [f"/connections/{row.pk}" for row in rows]
    new = [f"/connections/new/{protocol.value}" for protocol in Connection.Protocol]
    there = [f"/assistants/{agent.pk}", f"/mailboxes/{mailbox.pk}"]
    return ["/connections", "/connections/new", *new, *made, *there]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_page_opens_cleanly_fits_and_is_accessible(
    opens: Opens, administrator: User, everything: list[str], size: dict[str, int], scheme: str
) -> None:
    page = opens(administrator, size=size, scheme=scheme)
    found = []
    for path in everything:
        page.goto(path)
        expect(page.get_by_role("main")).to_be_visible()
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > size["width"]:
            found.append(f"{path} is {wide} px wide")
        found += [f"{path} {one['id']}" for one in Axe().run(page).response["violations"]]
    assert found == []
