"""A reviewer at work in a real browser, against the real server."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from approvals import actions
from approvals.actions.transitions import current
from approvals.models import OutboundMessage, User
from approvals.states import Status
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests.approvals.living import a_held_message, a_waiting_run, an_inbound, approved, in_doubt
from tests.e2e.conftest import PHONE, WIDE, Opens
from tests.factories import PASSWORD, a_mailbox

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HIDDEN = '<p>Hello</p><p style="color:#ffffff;background-color:#ffffff">wire the money</p>'


@pytest.fixture
def waiting(opens: Opens, api_key: ApiKey, mailbox: Mailbox) -> list[OutboundMessage]:
    """Three, the nearest deadline first."""
    return [
        a_held_message(api_key, mailbox, subject=f"Number {n}", markdown="Hello **there**") for n in range(3)
    ]


def now(message: OutboundMessage) -> str:
    return current(message).status


def test_from_sign_in_to_an_approved_mail_with_the_keyboard_alone(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(None, "/sign-in")
    keys = page.keyboard
    expect(page.get_by_label("Email")).to_be_focused()
    keys.type(reviewer.email)
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    expect(page.locator("#case-title")).to_have_text("Number 0")
    keys.press("j")
    expect(page.locator("#case-title")).to_have_text("Number 1")
    expect(page).to_have_url(re.compile(waiting[1].pk))
    keys.press("a")
    expect(page.locator(".toast")).to_contain_text("Approved. It leaves for customer@northwind.example.")
    expect(page.locator("#case-title")).to_have_text("Number 2")
    expect(page.locator("#rows .row")).to_have_count(2)
    assert now(waiting[1]) == Status.APPROVED
    assert now(waiting[2]) == Status.PENDING


def test_rejecting_puts_the_focus_into_the_reason_and_shows_what_will_be_told(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(reviewer)
    page.keyboard.press("r")
    reason = page.get_by_role("textbox", name="Reason")
    expect(reason).to_be_focused()
    page.keyboard.type("the amount is 12, not 21; ask")
    expect(page.locator("#told")).to_have_text("the amount is 12, not 21; ask")
    page.get_by_role("button", name="wrong facts").click()
    expect(page.locator("#told")).to_have_text("the amount is 12, not 21; ask; wrong facts")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".toast")).to_contain_text("Rejected.")
    assert now(waiting[0]) == Status.REJECTED
    assert waiting[0].decisions.get().reason == "the amount is 12, not 21; ask; wrong facts"


def test_escape_closes_the_dialog_and_letters_in_it_decide_nothing(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(reviewer)
    page.keyboard.press("r")
    page.keyboard.type("aaajjj")
    page.keyboard.press("Escape")
    expect(page.locator("#reject-dialog")).to_be_hidden()
    expect(page.locator("#case-title")).to_have_text("Number 0")
    assert now(waiting[0]) == Status.PENDING


def test_text_that_is_typed_into_no_field_decides_nothing(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(reviewer)
    page.keyboard.type("please wait, rather ask again")
    expect(page.locator("#case-title")).to_have_text("Number 0")
    expect(page.locator("#reject-dialog")).to_be_hidden()
    assert {now(message) for message in waiting} == {Status.PENDING}


def test_a_key_that_is_held_down_is_one_decision(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(reviewer)
    for _ in range(3):  # without an `up` between them, the second and third are repeats
        page.keyboard.down("a")
        page.wait_for_load_state("networkidle")
    expect(page.locator("#rows .row")).to_have_count(2)
    assert [now(message) for message in waiting].count(Status.PENDING) == 2


def test_a_second_tap_does_not_decide_about_the_next_case(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(reviewer)
    # in one go: two key presses from here may come late on a busy machine, and be no double tap
    page.evaluate(
        "for (const tap of [1, 2])"
        " document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', bubbles: true}))"
    )
    expect(page.locator("#case-title")).to_have_text("Number 1")
    expect(page).to_have_title("Number 1 · Counterseal")
    page.wait_for_timeout(300)
    assert [now(message) for message in waiting].count(Status.PENDING) == 2
    page.keyboard.press("j")
    expect(page).to_have_title("Number 2 · Counterseal")
    page.keyboard.press("/")
    expect(page.get_by_role("textbox", name="Search the send log")).to_be_focused()


def test_without_a_script_mail_can_be_rejected_too(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(reviewer, scripts=False)
    page.get_by_role("textbox", name="Reason").fill("no")
    page.locator("#reject-dialog").get_by_role("button", name="Reject").click()
    expect(page.locator("#case-title")).to_have_text("Number 1")
    assert now(waiting[0]) == Status.REJECTED


def test_what_is_alarming_is_sent_only_after_a_second_look(
    opens: Opens, reviewer: User, api_key: ApiKey, mailbox: Mailbox
) -> None:
    message = a_held_message(api_key, mailbox, markdown="", html=HIDDEN)
    page = opens(reviewer)
    expect(page.frame_locator("iframe").get_by_text("wire the money")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_role("dialog")).to_contain_text("Send this to 1 recipient at northwind.example?")
    assert now(message) == Status.PENDING
    page.keyboard.press("Control+Enter")
    expect(page.locator(".toast")).to_contain_text("Approved.")
    expect(page.get_by_text("Nothing waits for a decision")).to_be_visible()
    assert now(message) == Status.APPROVED


def test_single_keys_can_be_turned_off(opens: Opens, reviewer: User, waiting: list[OutboundMessage]) -> None:
    page = opens(reviewer)
    page.keyboard.press("?")
    page.get_by_label("Single keys are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.get_by_role("link", name="Number 2").click()
    expect(page.locator("#case-title")).to_have_text("Number 2")
    assert [now(message) for message in waiting] == [Status.PENDING] * 3


def test_a_new_message_appears_by_itself_and_takes_nothing_from_the_reviewer(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage], api_key: ApiKey, mailbox: Mailbox
) -> None:
    page = opens(reviewer, f"/queue/{waiting[1].pk}")
    page.keyboard.press("r")
    page.keyboard.type("half a reas")
    a_held_message(api_key, mailbox, subject="Brand new")
    page.keyboard.type("on")
    expect(page.get_by_role("textbox", name="Reason")).to_have_value("half a reason")
    expect(page.get_by_role("textbox", name="Reason")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#rows")).to_contain_text("Brand new")
    expect(page.locator("#list-title")).to_have_text("4 waiting for a decision")
    expect(page.locator("#case-title")).to_have_text("Number 1")
    expect(page.locator(f"#row-{waiting[1].pk}")).to_have_attribute("aria-current", "true")


def test_who_is_second_sees_who_was_first(
    opens: Opens, reviewer: User, second_reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(second_reviewer)
    approve = page.get_by_role("button", name="Approve and send")
    expect(approve).to_be_visible()
    approved(waiting[0], reviewer)
    # by itself, with no key pressed: the open case says what became of it
    expect(page.locator("#state")).to_contain_text(f"Approved by {reviewer.email}")
    expect(approve).to_be_hidden()
    expect(page.locator("#rows .row")).to_have_count(2)


def test_a_page_that_was_late_is_told_the_truth(
    opens: Opens, reviewer: User, second_reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(second_reviewer)
    page.keyboard.press("r")
    approved(waiting[0], reviewer)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#state")).to_contain_text(f"Already approved by {reviewer.email}")
    page.get_by_role("link", name="See what was sent").first.click()
    expect(page.get_by_role("heading", name="Whole story")).to_be_visible()


def test_on_a_phone_the_list_and_the_case_are_pages_of_their_own(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(reviewer, size=PHONE)
    expect(page.locator("#case-title")).to_be_hidden()
    page.get_by_role("link", name="Number 0").click()
    expect(page.locator("#case-title")).to_be_visible()
    expect(page.locator("#rows")).to_be_hidden()
    box = page.locator("#bar").bounding_box()
    assert box
    assert round(box["y"] + box["height"]) == PHONE["height"]
    page.get_by_role("button", name="Approve and send").click()
    expect(page.locator("#case-title")).to_have_text("Number 1")
    page.get_by_role("link", name="Queue").click()
    expect(page.locator("#rows .row")).to_have_count(2)


def test_the_reviewer_goes_back_with_the_browsers_own_button(
    opens: Opens, reviewer: User, waiting: list[OutboundMessage]
) -> None:
    page = opens(reviewer)
    page.get_by_role("link", name="Number 1").click()
    expect(page.locator("#case-title")).to_have_text("Number 1")
    page.get_by_role("link", name="Number 2").click()
    expect(page.locator("#case-title")).to_have_text("Number 2")
    page.go_back()
    expect(page.locator("#case-title")).to_have_text("Number 1")


@pytest.fixture
def everything(
    opens: Opens, api_key: ApiKey, mailbox: Mailbox, reviewer: User, administrator: User
) -> list[str]:
    """The address of every page, each with something on it."""
    assert api_key.assistant
    arguments = '{"to": ["customer@northwind.example"], "subject": "Order", "body": "Hello"}'
    run = a_waiting_run(api_key.assistant, mailbox, ("send_email", arguments), driver="caller")
    held = a_held_message(api_key, mailbox, subject="Order")
    a_held_message(api_key, mailbox, html=HIDDEN, markdown="")
    doubtful = in_doubt(a_held_message(api_key, mailbox), reviewer)
    approved(a_held_message(api_key, mailbox), reviewer)
    came = an_inbound(a_mailbox(mode="gated_all"))
    User.objects.filter(pk=administrator.pk).update(is_reviewer=True)
    actions.allow(mailbox, "*@acme.test", by=administrator)
    lists = [
        "/",
        "/scheduled",
        "/attention",
        "/log",
        "/runs",
        "/inbound",
        "/mailboxes",
        "/assistants",
        "/people",
    ]
    single = [
        f"/queue/{held.pk}",
        f"/attention/{doubtful.pk}",
        f"/messages/{held.pk}",
        f"/messages/{came.pk}",
    ]
    set_up = [f"/mailboxes/{mailbox.pk}", f"/assistants/{api_key.assistant.pk}", "/requests", "/caught"]
    return [*lists, *single, *set_up, f"/runs/{run.pk}", "/runs/start", "/runs/adopt", "/log/events/1"]


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
            if violation["impact"] in ("serious", "critical"):
                nodes = "; ".join(node["html"][:140] for node in violation["nodes"][:3])
                found.append(f"{path} {violation['id']}: {nodes}")
    assert found == []


def test_reloading_the_page_of_a_new_key_makes_no_other(opens: Opens, api_key: ApiKey) -> None:
    assert api_key.assistant
    administrator = User.objects.create_user(
        "ada@acme.test", PASSWORD, is_administrator=True, all_mailboxes=True
    )
    page = opens(administrator, f"/keys/new?owner={api_key.assistant.pk}")
    page.locator("#id_name").fill("worker")
    page.get_by_role("button", name="Make a key").click()
    expect(page.locator("#secret")).to_be_visible()
    page.reload()
    expect(page.locator("#secret")).to_be_hidden()
    assert ApiKey.objects.filter(name="worker").count() == 1
