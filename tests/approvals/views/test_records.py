"""The send log, one email's story, inbound mail, and what was caught."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from approvals import actions, effects, outbox
from approvals.actions.transitions import current
from approvals.models import OutboundMessage, OutboxEntry, User
from assistants.models import ApiKey
from mailboxes.models import CaughtMessage, Email, Mailbox
from mailboxes.receipts import Report
from tests.approvals.living import a_held_message, a_waiting_run, an_inbound, approved
from tests.factories import a_mailbox

DELIVER = {OutboxEntry.Kind.DELIVER_EMAIL: effects.deliver_email}


def shown(client: Client, path: str, **headers: str) -> str:
    response = client.get(path, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def sent(held: OutboundMessage, reviewer: User) -> OutboundMessage:
    """Through the built-in catcher."""
    approved(held, reviewer)
    outbox.drain(DELIVER)
    return current(held)


def test_an_empty_log_says_what_will_appear(rita: Client) -> None:
    assert "No mail yet" in shown(rita, "/log")


def test_a_row_shows_both_digests_and_who_decided(
    otto: Client, reviewer: User, sent: OutboundMessage
) -> None:
    page = shown(otto, "/log")
    revision = sent.email.revisions.get()
    assert revision.digest in page
    assert revision.sent_digest in page
    assert reviewer.email in page


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("status:sent", True),
        ("STATUS:Sent", True),
        ("status:held", False),
        ("after:2020-01-01T00:00:00+05:00", True),
        ("to:customer@northwind.example", True),
        ("to:@northwind.example", True),
        ("to:other@northwind.example", False),
        ("from:support@acme.test", True),
        ("assistant:Support", True),
        ('assistant:"Support Agent"', True),
        ("assistant:Nobody", False),
        ("mailbox:support", True),
        ("by:rita", True),
        ("by:bob", False),
        ("after:2020-01-01", True),
        ("before:2020-01-01", False),
        ("88213", True),
        ("customer@northwind.example", True),
        ("nothing", False),
        ("status:sent to:@northwind.example refund", True),
        ("thing:88213", False),
    ],
)
def test_the_log_understands_words_and_filters(
    otto: Client, sent: OutboundMessage, query: str, fits: bool
) -> None:
    rows = otto.get("/log", {"q": query}).context["page"].rows
    assert [row.pk for row in rows] == [sent.pk] * fits


@pytest.mark.parametrize("key", ["run", "thread", "call", "assistant", ""])
def test_mail_is_found_by_every_id_of_its_run(
    otto: Client, api_key: ApiKey, mailbox: Mailbox, key: str
) -> None:
    assert api_key.assistant
    arguments = '{"to": ["customer@northwind.example"], "subject": "Order", "body": "Hello"}'
    a_waiting_run(api_key.assistant, mailbox, ("send_email", arguments), driver="caller")
    message = a_held_message(api_key, mailbox, subject="Order")
    a_held_message(api_key, mailbox, subject="Another, with no run")
    email = message.email
    ids = {"run": email.run_id, "thread": email.thread_id, "call": email.tool_call_id, "assistant": "asst_1"}
    value = ids.get(key, email.run_id)
    rows = otto.get("/log", {"q": f"{key}:{value}" if key else value}).context["page"].rows
    assert [row.pk for row in rows] == [message.pk]


def test_a_filter_can_be_taken_away_alone(otto: Client, sent: OutboundMessage) -> None:
    page = shown(otto, "/log?q=status:sent+to:@northwind.example")
    assert 'href="?q=status%3Asent"' in page
    assert 'href="?q=to%3A%40northwind.example"' in page


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("status:lost", "is no status"),
        ("after:soon", "is no date"),
        ("before:9999-12-31T23:59:59-14:00", "is no date"),
    ],
)
def test_a_filter_that_says_nothing_is_explained(otto: Client, query: str, says: str) -> None:
    assert says in shown(otto, f"/log?q={query}")


def test_a_page_beyond_the_end_leads_back(otto: Client, sent: OutboundMessage) -> None:
    page = shown(otto, "/log?before=0")
    assert "No mail yet" not in page
    assert "To the newest" in page


def test_the_log_goes_back_and_forth_by_neighbour(
    otto: Client, api_key: ApiKey, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        a_held_message(api_key, mailbox, subject=f"Number {n}")
    monkeypatch.setattr("approvals.views.http.newest_first.__defaults__", (2,))
    first = otto.get("/log").context["page"]
    second = otto.get("/log" + first.older_url).context["page"]
    third = otto.get("/log" + second.older_url).context["page"]
    back = otto.get("/log" + second.newer_url).context["page"]
    subjects = [[email.subject for email in page.rows] for page in (first, second, third, back)]
    assert subjects == [
        ["Number 4", "Number 3"],
        ["Number 2", "Number 1"],
        ["Number 0"],
        ["Number 4", "Number 3"],
    ]
    assert (first.newer_url, third.older_url, back.newer_url) == ("", "", "")


@pytest.mark.parametrize("rows", [1, 3])
def test_the_log_costs_the_same_however_long_it_is(
    otto: Client,
    api_key: ApiKey,
    mailbox: Mailbox,
    rows: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for n in range(rows):
        a_held_message(api_key, mailbox, subject=f"Number {n}")
    # session, user; rows, decisions out, decisions in; one email, its thread, its events, its actors,
    # its receipts; five counts
    with django_assert_num_queries(15):
        otto.get("/log")


def test_an_outsider_finds_nothing_in_the_log(eve: Client, sent: OutboundMessage) -> None:
    assert sent.email.subject not in shown(eve, "/log")
    for path in ("", "/frame", "/source"):
        assert eve.get(f"/messages/{sent.pk}{path}").status_code == 404


def test_one_email_tells_its_whole_story_in_order(
    otto: Client, reviewer: User, sent: OutboundMessage
) -> None:
    steps = otto.get(f"/messages/{sent.pk}").context["account"].steps
    assert [step.title for step in steps] == [
        "Held because",
        "Approved",
        "Recipients accepted, handing over",
        "Handed to the mail server",
    ]
    assert steps[1].who == reviewer.email
    assert "250 caught" in steps[3].codes


def test_htmx_gets_the_story_alone(otto: Client, sent: OutboundMessage) -> None:
    page = shown(otto, f"/messages/{sent.pk}", hx_request="true", hx_target="story")
    assert "Whole story" in page
    assert "<html" not in page


def test_the_source_is_the_frozen_bytes_and_no_page(otto: Client, sent: OutboundMessage) -> None:
    response = otto.get(f"/messages/{sent.pk}/source")
    assert response.content == bytes(sent.email.revisions.get().frozen)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"].startswith("attachment")


def test_the_frame_lets_nothing_in(rita: Client, suspicious: OutboundMessage) -> None:
    response = rita.get(f"/messages/{suspicious.pk}/frame")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert ">wire the money</mark>" in response.content.decode()


def test_mail_without_html_has_no_frame(rita: Client, held: OutboundMessage) -> None:
    assert rita.get(f"/messages/{held.pk}/frame").status_code == 404


def test_inbound_mail_is_listed_and_read(rita: Client, mailbox: Mailbox) -> None:
    assert "No mail has arrived" in shown(rita, "/inbound")
    email = an_inbound(mailbox, subject="Broken pump")
    assert "Broken pump" in shown(rita, "/inbound")
    assert "Where is my order?" in shown(rita, f"/messages/{email.pk}")


@pytest.mark.parametrize(
    ("press", "after"), [("approve", Email.InboundStatus.UNREAD), ("reject", Email.InboundStatus.REJECTED)]
)
def test_held_mail_is_let_through_or_kept_away(
    rita: Client, bob: Client, otto: Client, press: str, after: Email.InboundStatus
) -> None:
    email = an_inbound(a_mailbox(mode="gated_all"))
    assert "no assistant sees these until" in shown(rita, "/inbound")
    assert otto.post(f"/inbound/{email.pk}/{press}").status_code == 403
    page = f"/messages/{email.pk}"
    # a page that can be reloaded, and kept up to date
    assert rita.post(f"/inbound/{email.pk}/{press}", {"reason": "spam"}).headers["Location"] == page
    email.refresh_from_db()
    assert email.inbound_status == after
    late = bob.post(f"/inbound/{email.pk}/{press}")
    assert late.headers["Location"] == page
    assert "by rita@acme.test" in shown(bob, page).partition('id="toasts"')[2]


def test_an_outsider_lets_no_mail_through(eve: Client) -> None:
    email = an_inbound(a_mailbox(mode="gated_all"))
    assert eve.post(f"/inbound/{email.pk}/approve").status_code == 404
    assert email.subject not in shown(eve, "/inbound")


@pytest.mark.parametrize("rows", [1, 3])
def test_inbound_costs_the_same_however_long_it_is(
    rita: Client, mailbox: Mailbox, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(rows):
        an_inbound(mailbox, subject=f"Number {n}")
        an_inbound(Mailbox.objects.get_or_create(address="all@acme.test", oversight_mode="gated_all")[0])
    # session, user; held with decisions, the rest with decisions; five counts
    with django_assert_num_queries(11):
        rita.get("/inbound")


def test_what_was_caught_can_be_read(rita: Client, eve: Client, sent: OutboundMessage) -> None:
    caught = CaughtMessage.objects.get()
    assert "customer@northwind.example" in shown(rita, "/caught")
    assert "X-MultiMail-Identity" in shown(rita, f"/caught/{caught.pk}")
    assert "Nothing was caught" in shown(eve, "/caught")
    assert eve.get(f"/caught/{caught.pk}").status_code == 404


def test_a_rejected_draft_is_no_part_of_what_led_here(
    rita: Client, reviewer: User, api_key: ApiKey, mailbox: Mailbox
) -> None:
    rejected = a_held_message(api_key, mailbox, subject="Never left")
    actions.reject(rejected, by=reviewer, reason="no")
    other = a_held_message(api_key, mailbox)
    Email.objects.filter(pk=other.pk).update(conversation=rejected.email.conversation)
    assert "Never left" not in shown(rita, f"/queue/{other.pk}")


def test_what_was_heard_after_it_left_stands_with_the_mail(rita: Client, sent: OutboundMessage) -> None:
    [to], about = sent.email.to, (sent.email.message_id,)
    report = Report("bounced", to, "hard", detail="550 no such user", message_ids=about)
    actions.record_report(report, "mailgun")
    page = shown(rita, f"/messages/{sent.pk}")
    assert "bounced</span>" in page
    assert f"{to}: 550 no such user" in page
