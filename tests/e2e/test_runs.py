"""A run in a real browser: read as it happens, retried and told more without a mouse."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from approvals import actions
from approvals.models import OutboundMessage, User
from assistants.models import ApiKey, Assistant, Run, ToolCall
from mailboxes.models import Mailbox
from tests.approvals.living import a_held_message, a_waiting_run
from tests.e2e.conftest import PHONE, Opens
from tests.factories import a_connection

pytestmark = [pytest.mark.browser, pytest.mark.slow]

READ = ("read_email", '{"email_id": "em_1"}')
SEND = ("send_email", '{"to": ["customer@northwind.example"], "subject": "Order", "body": "Hello"}')


@pytest.fixture
def assistant(opens: Opens, assistant: Assistant) -> Assistant:
    assistant.connection = a_connection()
    assistant.save()
    return assistant


@pytest.fixture
def dead(assistant: Assistant, mailbox: Mailbox) -> Run:
    """Its output cannot be handed over."""
    run = a_waiting_run(assistant, mailbox, SEND)
    ToolCall.objects.filter(run=run).update(output="{}", answered_at=timezone.now())
    Run.objects.filter(pk=run.pk).update(alert="The outputs cannot be handed over: 401 the key was revoked")
    return run


def tab_to(page: Page, name: str) -> None:
    """As far as it takes, like a person who looks where the focus is."""
    button = page.get_by_role("button", name=name)
    for _ in range(60):
        if button.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {name}")


def test_a_dead_resume_is_found_and_retried_with_the_keyboard_alone(
    opens: Opens, reviewer: User, dead: Run
) -> None:
    page = opens(reviewer, "/runs?state=attention")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#run-alert")).to_contain_text("401 the key was revoked")
    tab_to(page, "Retry now")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("What it has already is not handed over twice.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Retry now")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Retry now")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Tried again.")
    expect(page.locator("#happened")).to_contain_text("Retried by a person")
    dead.refresh_from_db()
    assert dead.alert == ""


def test_a_run_is_told_more_with_the_keyboard_alone(opens: Opens, reviewer: User, dead: Run) -> None:
    page = opens(reviewer, f"/runs/{dead.pk}")
    tab_to(page, "Send a follow-up")
    page.keyboard.press("Enter")
    expect(page.get_by_label("What Support Agent is told")).to_be_focused()
    page.keyboard.type("The customer called. a r j")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".toast")).to_contain_text("Planned.")
    expect(page.locator("#happened")).to_contain_text("Follow-up planned")
    page.get_by_role("link", name="See it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The customer called.")
    expect(page.locator("#run-head")).to_contain_text("Waits for its thread")
    assert Run.objects.get(follows=dead).prompt == "The customer called. a r j"


@pytest.fixture
def waiting(assistant: Assistant, api_key: ApiKey, mailbox: Mailbox) -> OutboundMessage:
    """Held mail of a run that waits for it, which its caller answers."""
    a_waiting_run(assistant, mailbox, READ, SEND, driver="caller")
    return a_held_message(api_key, mailbox, subject="Order")


def test_what_happens_appears_by_itself_and_takes_nothing_from_its_reader(
    opens: Opens, reviewer: User, waiting: OutboundMessage
) -> None:
    assert waiting.run
    page = opens(reviewer, f"/runs/{waiting.run.pk}")
    read, send = page.locator("#happened details").all()
    expect(send.locator(".fields")).to_be_visible()
    send.locator("summary").click()  # folded by its reader
    read.locator("summary").focus()
    actions.reject(waiting, by=reviewer, reason="Too soon.")
    expect(page.locator("#happened")).to_contain_text("“Too soon.”")
    expect(read.locator("summary")).to_be_focused()
    expect(read.locator(".fields")).to_be_visible()
    expect(send.locator(".fields")).to_be_hidden()


def test_a_text_that_is_not_sent_yet_outlives_what_happens_meanwhile(
    opens: Opens, reviewer: User, dead: Run, api_key: ApiKey, mailbox: Mailbox
) -> None:
    page = opens(reviewer, f"/runs/{dead.pk}")
    page.get_by_role("button", name="Send a follow-up").click()
    page.keyboard.type("half a sent")
    page.keyboard.press("Escape")
    Run.objects.filter(pk=dead.pk).update(alert="")
    a_held_message(api_key, mailbox)
    expect(page.locator("#run-alert")).not_to_contain_text("401")
    page.get_by_role("button", name="Send a follow-up").click()
    expect(page.get_by_label("What Support Agent is told")).to_have_value("half a sent")


def test_without_a_script_a_run_is_adopted_too(
    opens: Opens, reviewer: User, waiting: OutboundMessage
) -> None:
    assert waiting.run
    page = opens(reviewer, f"/runs/{waiting.run.pk}", scripts=False)
    page.get_by_role("button", name="Adopt it").click()
    expect(page.locator("#happened")).to_contain_text("Counterseal answers it from here on")
    waiting.run.refresh_from_db()
    assert waiting.run.driver == "counterseal"


def test_on_a_phone_the_warning_stands_above_what_happened(opens: Opens, reviewer: User, dead: Run) -> None:
    page = opens(reviewer, f"/runs/{dead.pk}", size=PHONE)
    alert, happened = page.locator("#run-alert").bounding_box(), page.locator("#happened").bounding_box()
    assert alert
    assert happened
    assert alert["y"] < happened["y"]
    page.get_by_role("button", name="Retry now").click()
    expect(page.get_by_role("dialog")).to_be_visible()
