"""The programs of docs/driving do what their pages say, between real servers, killed and resumed at will."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest

from approvals import wire
from approvals.models import OutboundMessage
from approvals.states import Status
from mailboxes.models import Email, Mailbox
from tests.e2e.programs.models import Call, FakeModels
from tests.e2e.programs.program import INDEX, PAGES, Program
from tests.e2e.programs.review import Desk
from tests.e2e.programs.tripwire import Tripwire
from tests.servers import RecordingServer

Programs = Callable[[str], Program]

LOOPS = ("agents-sdk", "assistants", "chat-completions", "langgraph", "responses")
FAILED_FOR_NOW = 75

every_loop = pytest.mark.parametrize("loop", LOOPS)
slow = pytest.mark.slow
pytestmark = pytest.mark.timeout(300)  # for machines that are busy with much else


def a_letter(mailbox: Mailbox, to: str = "anna@example.com") -> Call:
    arguments = {"to": to, "subject": "Your order", "body": "It has shipped.", "mailbox_id": mailbox.pk}
    return "send_email", arguments


def recipients(server: RecordingServer) -> list[list[str]]:
    return [to for _, to, _ in server.messages]


@slow
@every_loop
def test_a_state_that_is_resumed_twice_sends_once(
    loop: str,
    program_of: Programs,
    models: FakeModels,
    mailbox: Mailbox,
    desk: Desk,
    smtp_server: RecordingServer,
) -> None:
    models.plan = [[a_letter(mailbox)]]
    program = program_of(loop)
    assert program.run(patience=0).status == FAILED_FOR_NOW
    (held,) = desk.held()
    email = Email.objects.get()
    assert email.run_id
    assert email.tool_call_id.startswith("call_")

    resumed = [program.start(), program.copy("again").start()]  # at once, while nobody has decided
    desk.decide(held, "approve")
    for one in resumed:
        (told,) = one.told
        assert (told["id"], told["status"], told["sent"]) == (email.pk, "sent", True)
    assert program.run().said == resumed[0].said  # at its end it stays there
    assert recipients(smtp_server) == [["anna@example.com"]]
    assert OutboundMessage.objects.count() == 1


@slow
@every_loop
def test_a_program_that_stays_hears_each_decision_of_a_turn(
    loop: str,
    program_of: Programs,
    models: FakeModels,
    mailbox: Mailbox,
    desk: Desk,
    smtp_server: RecordingServer,
) -> None:
    inbox: Call = ("check_inbox", {"mailbox_id": mailbox.pk})
    models.plan = [[a_letter(mailbox), inbox, a_letter(mailbox, "bob@example.com")]]
    started = program_of(loop).start()
    first, second = desk.held(2)  # both at once: neither waits for the other
    desk.decide(first, "approve")
    desk.decide(second, "reject", "Bob left the company.")
    to_anna, mail, to_bob = started.told
    assert (to_anna["status"], to_anna["sent"], to_anna["to"]) == ("sent", True, ["anna@example.com"])
    assert to_anna["markdown"].strip() == "It has shipped."
    assert mail["emails"] == []
    assert (to_bob["status"], to_bob["sent"]) == ("rejected", False)
    assert to_bob["decision"]["reason"] == "Bob left the company."
    assert recipients(smtp_server) == [["anna@example.com"]]


@slow
@every_loop
def test_killed_after_each_thing_that_it_does_it_sends_once(
    loop: str,
    program_of: Programs,
    models: FakeModels,
    at_models: Tripwire,
    at_counterseal: Tripwire,
    mailbox: Mailbox,
    desk: Desk,
    smtp_server: RecordingServer,
) -> None:
    models.plan = [[a_letter(mailbox)]]
    program = program_of(loop)
    # what calls the model in the other loops is a request to the run's server in this one
    on_server = loop == "assistants"
    asks, tells = (
        [(at_counterseal, "/runs"), (at_counterseal, "/submit_tool_outputs")]
        if on_server
        else [(at_models, ""), (at_models, "")]
    )

    for tripwire, path in (asks, (at_counterseal, "/v1/send")):
        assert program.start(dies_at=tripwire.at(path)).end() == -signal.SIGKILL
    (held,) = desk.held()
    desk.decide(held, "approve")
    tripwire, path = tells
    assert program.start(dies_at=tripwire.at(path)).end() == -signal.SIGKILL

    (told,) = program.run().told
    assert (told["id"], told["status"]) == (held["id"], "sent")
    assert len(smtp_server.messages) == OutboundMessage.objects.count() == 1


@slow
@pytest.mark.parametrize("loop", ["chat-completions", "langgraph"])
def test_a_model_server_that_counts_the_calls_of_each_turn_from_zero_loses_no_email(
    loop: str,
    program_of: Programs,
    models: FakeModels,
    mailbox: Mailbox,
    desk: Desk,
    smtp_server: RecordingServer,
) -> None:
    models.plan = [[a_letter(mailbox)], [a_letter(mailbox, "bob@example.com")]]
    models.counts_calls = True
    started = program_of(loop).start()
    for _ in models.plan:
        desk.decide(desk.held()[0], "approve")
    assert [one["status"] for one in started.told] == ["sent"]
    assert recipients(smtp_server) == [["anna@example.com"], ["bob@example.com"]]


@slow
def test_what_is_refused_is_told_to_the_model(
    program_of: Programs, models: FakeModels, mailbox: Mailbox, smtp_server: RecordingServer
) -> None:
    unknown: Call = ("read_email", {"email_id": "em_none", "mailbox_id": mailbox.pk})
    models.plan = [[a_letter(mailbox, "not an address"), unknown]]
    bad, none = program_of("chat-completions").run().told
    assert "not an address" in bad["error"]
    assert none["code"] == "not_found"
    assert OutboundMessage.objects.count() == 0


@slow
def test_a_key_that_is_no_longer_good_ends_the_program_and_is_not_told_to_the_model(
    program_of: Programs, models: FakeModels, mailbox: Mailbox, desk: Desk
) -> None:
    models.plan = [[a_letter(mailbox)]]
    program = program_of("chat-completions")
    assert program.run(patience=0).status == FAILED_FOR_NOW
    good, program.environment["COUNTERSEAL_KEY"] = program.environment["COUNTERSEAL_KEY"], "mm_live_bad"
    assert "401" in program.run().complaints
    program.environment["COUNTERSEAL_KEY"] = good
    desk.decide(desk.held()[0], "approve")
    assert [one["status"] for one in program.run().told] == ["sent"]


def test_each_loop_has_its_page_and_the_index_links_them() -> None:
    assert tuple(PAGES) == LOOPS
    assert [loop for loop in LOOPS if f"({loop}.md)" not in INDEX.read_text()] == []


def section(loop: str, start: str, end: str) -> str:
    found = re.search(rf"^{re.escape(start)}.*?(?=^{re.escape(end)})", PAGES[loop].read_text(), re.M | re.S)
    assert found, f"{loop} has no {start}"
    return found[0]


def test_what_the_programs_share_is_the_same_in_each() -> None:
    parts = {section(loop, "# ---- Counterseal:", "# ---- the loop ----") for loop in LOOPS}
    assert len(parts) == 1


def test_each_page_says_what_every_status_means() -> None:
    (table,) = {section(loop, "## What the answer says", "## Why") for loop in LOOPS}
    words = {wire.word(status, wire.Dialect.FLAT) for status in Status}
    assert {word for word in words if f"| `{word}` |" not in table} == set()
