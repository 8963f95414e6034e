"""The queue and the case beside it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from approvals import gate
from approvals.models import MailboxAssistant, OutboundMessage, User
from approvals.views import http
from assistants.models import ApiKey, Assistant, Run
from mailboxes.envelope import Draft
from mailboxes.models import Mailbox
from tests.approvals.living import a_held_message, a_waiting_run, approved
from tests.approvals.views.conftest import at_browser
from tests.factories import a_key, a_mailbox, a_person, an_assistant


def shown(client: Client, path: str = "/", **headers: str) -> str:
    response = client.get(path, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def test_an_empty_queue_says_what_will_appear_and_how(rita: Client) -> None:
    assert "When an assistant wants to send mail" in shown(rita)


def test_a_row_says_to_whom_why_and_from_where(rita: Client, held: OutboundMessage) -> None:
    page = shown(rita)
    assert "<span>customer@</span><b>northwind.example</b>" in page
    assert "Refund for order 88213" in page
    assert "Held because" in page
    assert "is in gated_send." in page
    assert "Support Agent" in page
    assert "first time" in page


def test_the_nearest_deadline_stands_on_top(rita: Client, api_key: ApiKey, mailbox: Mailbox) -> None:
    later = a_held_message(api_key, mailbox, subject="Later")
    sooner = a_held_message(api_key, mailbox, subject="Sooner")
    OutboundMessage.objects.filter(pk=sooner.pk).update(deadline_at=timezone.now() + timedelta(minutes=4))
    page = shown(rita)
    assert page.index(f"row-{sooner.pk}") < page.index(f"row-{later.pk}")
    assert "3 min left" in page


def test_the_case_shows_the_mail_and_what_a_decision_covers(rita: Client, held: OutboundMessage) -> None:
    page = shown(rita, f"/queue/{held.pk}")
    assert "&lt;customer@northwind.example&gt;" in page
    assert held.digest in page
    assert f'name="digest" value="{held.digest}"' in page


def test_a_case_of_a_run_names_it_and_says_that_it_waits(
    rita: Client, api_key: ApiKey, mailbox: Mailbox
) -> None:
    assert api_key.assistant
    arguments = '{"to": ["customer@northwind.example"], "subject": "Order", "body": "Hello"}'
    run = a_waiting_run(api_key.assistant, mailbox, ("send_email", arguments), driver="caller")
    message = a_held_message(api_key, mailbox, subject="Order")
    page = shown(rita, f"/queue/{message.pk}")
    assert run.run_id in page
    assert "waiting for you." in page
    assert "on nothing else" in page


def test_hidden_text_is_called_out(rita: Client, suspicious: OutboundMessage) -> None:
    page = shown(rita)
    assert "hidden text" in page
    assert "wire the money" in page
    assert "Send this to 1 recipient at northwind.example?" in page


def test_htmx_gets_the_case_alone_and_the_way_back_gets_the_page(rita: Client, held: OutboundMessage) -> None:
    path = f"/queue/{held.pk}"
    assert "<html" not in shown(rita, path, hx_request="true", hx_target="case")
    assert "<html" in shown(
        rita, path, hx_request="true", hx_target="case", hx_history_restore_request="true"
    )


@pytest.mark.parametrize("box", ["queue", "scheduled", "attention"])
def test_an_outsider_finds_no_case(eve: Client, held: OutboundMessage, box: str) -> None:
    assert eve.get(f"/{box}/{held.pk}").status_code == 404
    assert held.email.subject not in shown(eve, "/" if box == "queue" else f"/{box}")


def test_a_person_sees_the_mail_of_their_mailboxes_only(held: OutboundMessage) -> None:
    elsewhere = a_mailbox()
    key = a_key(an_assistant(mailboxes=[elsewhere]), mailboxes=[elsewhere])
    mine = a_held_message(key, elsewhere, subject="Mine alone")
    zoe = at_browser(a_person("zoe@acme.test", "reviewer", mailboxes=[elsewhere]))
    page = shown(zoe)
    assert mine.email.subject in page
    assert held.email.subject not in page


def test_a_mailbox_can_be_looked_at_alone(rita: Client, held: OutboundMessage) -> None:
    other = a_mailbox()
    assert "Nothing here for this mailbox" in shown(rita, f"/?mailbox={other.pk}")
    assert held.email.subject in shown(rita, f"/?mailbox={held.email.mailbox_id}")


def test_a_long_queue_comes_in_pages_found_by_their_neighbour(
    rita: Client, api_key: ApiKey, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("approvals.views.boxes.PAGE_SIZE", 2)
    assert http.PAGE_SIZE > 2
    first, second, third = (a_held_message(api_key, mailbox, subject=f"Number {n}") for n in range(3))
    page = rita.get("/")
    listing = page.context["listing"]
    assert [row.pk for row in listing.rows] == [first.pk, second.pk]
    rest = rita.get("/", {"after": listing.next_cursor}).context["listing"]
    assert [row.pk for row in rest.rows] == [third.pk]
    assert not rest.next_cursor
    assert rita.get("/", {"after": "nonsense"}).status_code == 200


@pytest.mark.parametrize("rows", [1, 3])
def test_the_queue_costs_the_same_however_long_it_is(
    rita: Client,
    api_key: ApiKey,
    mailbox: Mailbox,
    rows: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for n in range(rows):
        a_held_message(api_key, mailbox, subject=f"Number {n}")
    # session, user; rows with facts; the case: message, revision, standing decisions, may I decide,
    # mail before it, its thread; tabs; five counts in the rail; hold
    with django_assert_num_queries(15):
        rita.get("/")


@pytest.mark.parametrize("rows", [1, 3])
def test_one_case_for_htmx_costs_no_list(
    rita: Client,
    api_key: ApiKey,
    mailbox: Mailbox,
    rows: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    messages = [a_held_message(api_key, mailbox, subject=f"Number {n}") for n in range(rows)]
    with django_assert_num_queries(8):
        rita.get(f"/queue/{messages[0].pk}", headers={"hx-request": "true", "hx-target": "case"})


def test_what_is_on_its_way_has_a_place_of_its_own(
    rita: Client, reviewer: User, held: OutboundMessage
) -> None:
    approved(held, reviewer)
    assert held.email.subject not in shown(rita)
    page = shown(rita, "/scheduled")
    assert held.email.subject in page
    assert "Cancel this mail" in page


def test_pages_are_not_kept_by_the_browser(rita: Client, held: OutboundMessage) -> None:
    assert "no-store" in rita.get("/").headers["Cache-Control"]


def test_a_case_tells_nothing_of_a_run_about_another_mailbox(assistant: Assistant, mailbox: Mailbox) -> None:
    other = a_mailbox("board@acme.test")
    MailboxAssistant.objects.create(assistant=assistant, mailbox=other)
    run = a_waiting_run(assistant, other, ("send_email", "{}"), ("read_email", '{"email_id": "the secret"}'))
    Run.objects.filter(pk=run.pk).update(mailbox_id=other.pk)
    context = gate.Context("asst_1", run.thread_id, run.run_id, run.calls.get(position=0).call_id)
    draft = Draft(to=("a@b.example",), subject="Hello", markdown="Hello")
    message = gate.send(draft, mailbox, by=assistant, context=context).message
    assert message.run == run
    near = a_person("near@acme.test", "reviewer", mailboxes=[mailbox])
    both = a_person("both@acme.test", "reviewer", mailboxes=[mailbox, other])
    assert "the secret" in shown(at_browser(both), f"/queue/{message.pk}")
    assert "the secret" not in shown(at_browser(near), f"/queue/{message.pk}")


@pytest.mark.parametrize(
    "after", ["x", "2026-01-01~x", "0001-01-01T00:00:00+14:00~", "9999-12-31T23:59:59-14:00~"]
)
def test_a_cursor_that_is_none_shows_the_queue(rita: Client, after: str) -> None:
    assert rita.get("/", {"after": after}).status_code == 200
