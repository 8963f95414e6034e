"""An administrator sets things up, in a real browser."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from approvals import actions, operator_requests
from approvals.models import OperatorRequest, OutboundMessage, User
from assistants.models import ApiKey, Assistant
from mailboxes.models import Mailbox, Suppression
from tests.approvals.living import a_held_message
from tests.e2e.conftest import PHONE, WIDE, Opens
from tests.e2e.test_connections import tab_to
from tests.factories import a_key, an_integration

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_key_is_made_and_revoked_with_the_keyboard_alone(
    opens: Opens, administrator: User, assistant: Assistant, mailbox: Mailbox
) -> None:
    page = opens(administrator, f"/keys/new?owner={assistant.pk}")
    tab_to(page, "Name")
    page.keyboard.type("worker")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#secret")).to_contain_text("mm_live_")
    expect(page.locator("#curl")).to_contain_text("/v1/mailboxes")
    tab_to(page, "I have it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Revoke", exact=True)).to_be_visible()
    tab_to(page, "Revoke this key")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("never used")
    page.keyboard.press("Escape")
    assert ApiKey.objects.get().revoked_at is None
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".toast")).to_contain_text("no longer works")
    assert ApiKey.objects.get().revoked_at


def test_everything_asks_first_also_without_scripts(
    opens: Opens, administrator: User, mailbox: Mailbox
) -> None:
    kept = actions.suppress("ann@example.test", "bounced", by=administrator)
    page = opens(administrator, "/suppression", scripts=False)
    page.get_by_role("button", name="Lift ann@example.test").click()
    expect(page.get_by_role("heading", name="Let mail to ann@example.test leave again?")).to_be_visible()
    assert Suppression.objects.filter(pk=kept.pk).exists()
    page.get_by_role("button", name="Lift it").click()
    expect(page.locator(".toast")).to_contain_text("may leave again")


def test_a_form_that_was_open_for_too_long_says_so(
    opens: Opens, reviewer: User, api_key: ApiKey, mailbox: Mailbox
) -> None:
    held = a_held_message(api_key, mailbox)
    page = opens(reviewer, "/")
    expect(page.get_by_role("button", name="Approve and send")).to_be_visible()
    page.evaluate("document.querySelectorAll('[name=csrfmiddlewaretoken]').forEach((one) => one.value = 'x')")
    page.get_by_role("button", name="Approve and send").click()
    expect(page.locator(".toast")).to_contain_text("Nothing was done")
    assert OutboundMessage.objects.get(pk=held.pk).status == "pending"


@pytest.fixture
def everything(administrator: User, mailbox: Mailbox, assistant: Assistant, api_key: ApiKey) -> list[str]:
    """Every page of setting up, with something on it."""
    a_held_message(api_key, mailbox)
    wide = a_key(an_integration("Review desk"), scopes=["admin"])
    wanted = {"name": "Reader", "scopes": ["read"], "owner": assistant.pk, "mailboxes": [mailbox.pk]}
    operator_requests.ask(OperatorRequest.Action.CREATE_KEY, wanted, by=wide)
    contact = actions.keep_contact(assistant.pk, "ann@a.test", name="Ann", tags=["vip"], by=administrator)
    actions.suppress("ben@a.test", "bounced", by=administrator)
    actions.allow(mailbox, "*@friends.test", by=administrator, note="partners")
    lists = ["/keys", "/keys?state=ended", "/requests", "/contacts", "/suppression", "/allowlist", "/usage"]
    forms = ["/keys/new", "/contacts/new", "/mailboxes/new", "/people/new", "/account"]
    ones = [f"/keys/{api_key.pk}", f"/keys/{wide.pk}", f"/contacts/{contact.pk}"]
    there = [f"/people/{administrator.pk}", f"/mailboxes/{mailbox.pk}/settings", f"/mailboxes/{mailbox.pk}"]
    return [*lists, *forms, *ones, *there, "/people", "/webhooks"]


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
        for violation in Axe().run(page).response["violations"]:
            nodes = "; ".join(node["html"][:140] for node in violation["nodes"][:3])
            found.append(f"{path} {violation['impact']} {violation['id']}: {nodes}")
    assert found == []
