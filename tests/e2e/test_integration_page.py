"""The integration page's program works against this server, unchanged but for base URLs and key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests

from approvals import gate
from approvals.models import OutboundMessage
from assistants.models import ApiKey, Assistant
from audit.models import Event
from mailboxes.models import Email, Mailbox
from tests import factories
from tests.e2e.page import Program
from tests.servers import AsgiServer, RecordingServer

pytestmark = pytest.mark.slow

Answer = tuple[Any, str]  # the run, and its last message


@pytest.fixture
def program(
    live_server_asgi: AsgiServer, workers: None, assistant: Assistant, api_key: ApiKey, mailbox: Mailbox
) -> Program:
    letter = {
        "to": "anna@example.com",
        "subject": "Your order",
        "body": "It has shipped.",
        "mailbox_id": mailbox.pk,
    }
    assistant.connection = factories.a_connection(
        [
            {
                "when": {"turn": 1},
                "calls": [{"name": "check_inbox", "arguments": {"mailbox_id": mailbox.pk}}],
            },
            {"when": {"turn": 2}, "calls": [{"name": "send_email", "arguments": letter}]},
            *(
                {"when": {"tool_result_contains": f'"status": "{word}"'}, "say": f"I was told: {word}."}
                for word in ("sent", "rejected", "timeout")
            ),
        ]
    )
    assistant.save()
    secret = api_key.secret  # type: ignore[attr-defined]
    return Program(f"{live_server_asgi.url}/openai/v1", f"{live_server_asgi.url}/v1", secret)


@pytest.fixture
def running(program: Program, mailbox: Mailbox) -> Iterator[Future[Answer]]:
    question = b"From: anna@example.com\r\nSubject: Where is my order?\r\n\r\nPlease look.\r\n"
    gate.receive(mailbox, "anna@example.com", mailbox.address, question)
    end = time.monotonic() + 30
    while not Email.objects.inbound().exists():
        assert time.monotonic() < end, "no worker took the mail in"
        time.sleep(0.02)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(program.run, "You answer customers.", "Please see to the inbox.")


def decide(server: AsgiServer, key: ApiKey, action: str) -> None:
    """As a reviewing program does: look at what is pending, and decide on the first."""
    headers = {"Authorization": f"Bearer {key.secret}"}  # type: ignore[attr-defined]
    end = time.monotonic() + 30
    while time.monotonic() < end:
        answer = requests.get(f"{server.url}/v1/oversight/pending", headers=headers, timeout=30).json()
        if answer["pending"]:
            (email,) = answer["pending"]
            decision = {
                "email_id": email["id"],
                "action": action,
                "digest": email["digest"],
                "reason": "Because.",
            }
            decided = requests.post(
                f"{server.url}/v1/oversight/decide", headers=headers, json=decision, timeout=30
            )
            assert decided.status_code == 200
            return
        time.sleep(0.05)
    raise AssertionError("nothing came to be decided")


def test_approved_mail_leaves_and_the_run_completes(
    program: Program,
    running: Future[Answer],
    live_server_asgi: AsgiServer,
    oversight_key: ApiKey,
    smtp_server: RecordingServer,
) -> None:
    decide(live_server_asgi, oversight_key, "approve")
    run, said = running.result(timeout=60)
    assert (run.status, said) == ("completed", "I was told: sent.")
    [(sender, recipients, data)] = smtp_server.messages
    assert (sender, recipients) == ("support@acme.test", ["anna@example.com"])
    assert b"It has shipped." in data
    inbox, sent = program.outputs
    assert [email["subject"] for email in inbox["emails"]] == ["Where is my order?"]
    assert sent["status"] == "sent"


def test_rejected_mail_stays_and_the_run_hears_it(
    running: Future[Answer], live_server_asgi: AsgiServer, oversight_key: ApiKey, smtp_server: RecordingServer
) -> None:
    decide(live_server_asgi, oversight_key, "reject")
    run, said = running.result(timeout=60)
    assert (run.status, said) == ("completed", "I was told: rejected.")
    assert smtp_server.messages == []


def test_a_program_that_gives_up_waiting_leaves_the_mail_with_its_reviewer(
    program: Program, running: Future[Answer], smtp_server: RecordingServer
) -> None:
    program.patience = 0.5
    run, said = running.result(timeout=60)
    assert (run.status, said) == ("completed", "I was told: timeout.")
    message = OutboundMessage.objects.get()
    assert (message.status, smtp_server.messages) == ("pending", [])


def test_the_mail_is_found_by_the_run_that_asked_for_it(
    program: Program, running: Future[Answer], smtp_server: RecordingServer
) -> None:
    """The program names no run; its send is bound to the one open call with these arguments."""
    program.patience = 0.5
    run, _ = running.result(timeout=60)
    email = OutboundMessage.objects.select_related("email").get().email
    assert (email.run_id, email.thread_id) == (run.id, run.thread_id)
    assert email.assistant_id == run.assistant_id
    assert Event.objects.filter(run_id=run.id, action="message.held").count() == 1
