"""`make demo` as a newcomer meets it: links that work, mail that waits, and what an approval sets going."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from config.demo.seed import HERE, with_real_model
from tests.processes import Up

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Up]:
    up = Up.started(tmp_path / "data", command="demo", last_line="Approve ")
    yield up
    up.close()


def link(demo: Up, role: str) -> str:
    return str(re.findall(rf"{role} +(http\S+)", "".join(demo.lines))[0])


def sign_in(browser: Browser, demo: Up, role: str) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(20_000)
    page.goto(link(demo, role))
    page.get_by_role("button", name="Sign in").press("Enter")
    return page


def test_approving_sends_the_mail_and_the_run_goes_on(browser: Browser, demo: Up) -> None:
    page = sign_in(browser, demo, "reviewer")
    expect(page.get_by_text("3 waiting for a decision")).to_be_visible(timeout=30_000)
    page.goto(demo.url)
    expect(page.get_by_text("hidden text").first).to_be_visible()
    expect(page.get_by_text("first time").first).to_be_visible()
    page.get_by_role("link", name="Re: Refund for order 88213").click()
    expect(page.get_by_role("heading", name="Re: Refund for order 88213")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_text("2 waiting for a decision")).to_be_visible()

    page.goto(f"{demo.url}/caught")
    page.get_by_role("link", name="Re: Refund for order 88213").click()
    expect(page.get_by_text("customer@northwind.example").first).to_be_visible()

    page.goto(f"{demo.url}/runs?state=completed")
    page.get_by_role("row", name="Refund for order 88213").get_by_role("link").click()
    expect(page.get_by_text("Done. The message went out as it was approved.")).to_be_visible()


def test_a_link_works_once(browser: Browser, demo: Up) -> None:
    sign_in(browser, demo, "auditor").wait_for_url(f"{demo.url}/**")
    again = browser.new_context().new_page()
    again.goto(link(demo, "auditor"))
    expect(again.get_by_role("button", name="Sign in")).to_have_count(0)


def test_with_a_key_a_real_model_takes_the_place_of_the_scripts() -> None:
    document = json.loads((HERE / "document.json").read_text())
    assert with_real_model(document, {}) is document
    served = with_real_model(document, {"OPENAI_API_KEY": "sk-x", "OPENAI_MODEL": "m"})
    assert [one["protocol"] for one in served["connections"]] == ["chat_completions"]
    assert {one["connection"] for one in served["assistants"]} == {"Model"}
    local = with_real_model(document, {"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"})
    assert local["connections"][0]["base_url"] == "http://127.0.0.1:11434/v1"
    assert "api_key" not in local["connections"][0]
