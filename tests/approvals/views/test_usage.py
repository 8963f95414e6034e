"""The page of how much was sent, received, held, decided and called."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from approvals import tasks
from approvals.models import OutboundMessage, User
from assistants.models import ApiKey, Assistant
from mailboxes.models import Mailbox
from tests.approvals.api.caller import arrived
from tests.approvals.living import a_held_message, approved
from tests.approvals.views.conftest import at_browser
from tests.approvals.views.test_set_up import press, shown
from tests.factories import a_key, a_mailbox, a_person, an_assistant
from tests.servers import RecordingServer


def rows(client: Client, query: str = "") -> dict[str, dict[str, str]]:
    answer = client.get(f"/usage.csv?{query}")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment")
    read = list(csv.reader(io.StringIO(answer.content.decode())))
    return {line[0]: dict(zip(read[0][1:], line[1:], strict=True)) for line in read[1:]}


@pytest.fixture
def a_day_at_work(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer
) -> OutboundMessage:
    """One sent, one that waits, one that came in."""
    message = a_held_message(api_key, mailbox, subject="One")
    approved(message, reviewer)
    tasks.deliver()
    a_held_message(api_key, mailbox, subject="Two")
    arrived(mailbox)
    return message


def test_what_happened_is_counted_by_day_mailbox_and_assistant(
    ada: Client, a_day_at_work: OutboundMessage, mailbox: Mailbox, assistant: Assistant
) -> None:
    today = rows(ada)[timezone.now().date().isoformat()]
    assert (today["sent"], today["received"], today["held"], today["decisions"]) == ("1", "1", "2", "1")
    assert int(today["api_calls"]) == 2
    assert len(rows(ada)) == 30
    assert rows(ada, "by=mailbox")[mailbox.address]["held"] == "2"
    assert rows(ada, "by=assistant")[assistant.name]["sent"] == "1"


def test_each_drawing_has_its_numbers_beside_it(ada: Client, a_day_at_work: OutboundMessage) -> None:
    page = shown(ada, "/usage?period=7d")
    assert page.count("<svg viewBox") >= 5
    assert "Held per day: 2 in all" in page
    assert page.count('<th scope="row">2') == 7  # the days, as rows
    assert "No quota is set" in page


def test_a_quota_is_set_and_shown_with_what_is_used_of_it(
    ada: Client, zoe: Client, a_day_at_work: OutboundMessage
) -> None:
    press(ada, "/account", name="Acme", monthly_email_quota="100", max_mailboxes="")
    assert "2 of 100 messages this month" in shown(ada, "/usage")
    assert "of 100 messages" not in shown(zoe, "/usage")
    assert "greater than or equal to 0" in press(ada, "/account", name="Acme", monthly_email_quota="-1")


def test_another_day_counts_nothing_of_today(ada: Client, a_day_at_work: OutboundMessage) -> None:
    day = (timezone.now() - timedelta(days=3)).date()
    found = rows(ada, f"from={day}&to={day}")
    assert list(found) == [day.isoformat()]
    assert set(found[day.isoformat()].values()) == {"0"}


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("period=forever", "is no period"),
        ("from=yesterday&to=today", "Write both days like"),
        ("from=2026-03-02&to=2026-03-01", "before the first"),
        ("from=2020-01-01&to=2026-01-01", "At most a year"),
    ],
)
def test_a_period_that_makes_no_sense_is_said(ada: Client, query: str, sentence: str) -> None:
    assert sentence in shown(ada, f"/usage?{query}")
    refused = ada.get(f"/usage.csv?{query}")
    assert refused.status_code == 400
    assert sentence in refused.content.decode()
    assert ada.get("/usage.csv?by=moon").status_code == 400


@pytest.fixture
def zoe(db: None) -> Client:
    """An auditor of a mailbox in which nothing happened."""
    elsewhere = a_mailbox("far@elsewhere.test")
    return at_browser(a_person("zoe@acme.test", "auditor", mailboxes=[elsewhere]))


def test_nobody_sees_what_is_beyond_their_mailboxes(
    a_day_at_work: OutboundMessage, mailbox: Mailbox, otto: Client, zoe: Client
) -> None:
    for by in ("day", "mailbox", "assistant"):
        assert {n for row in rows(zoe, f"by={by}").values() for n in row.values()} <= {"0"}
    assert mailbox.address not in shown(zoe, "/usage")
    assert rows(otto, "by=mailbox")[mailbox.address]["sent"] == "1"


def test_a_name_is_no_formula_in_a_spreadsheet(ada: Client) -> None:
    an_assistant("=1+1", mailboxes=[a_mailbox()])
    assert "'=1+1" in rows(ada, "by=assistant")


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_costs_the_same_however_much_there_is(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    for _ in range(count):
        mailbox = a_mailbox()
        a_held_message(a_key(an_assistant(mailboxes=[mailbox]), mailboxes=[mailbox]), mailbox)
    with django_assert_num_queries(25):
        ada.get("/usage")
