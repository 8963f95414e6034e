"""POST /v1/mailboxes/{id}/send and …/reply/{email_id}."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.models import OutboundMessage
from mailboxes.models import Email, Mailbox
from tests.approvals.api.caller import Caller, arrived

LETTER = {"to": "anna@example.com", "subject": "Your order", "markdown": "It has **shipped**."}


@pytest.fixture
def send_path(mailbox: Mailbox) -> str:
    return f"/v1/mailboxes/{mailbox.pk}/send"


def test_a_send_is_held_and_says_so(agent: Caller, send_path: str) -> None:
    response = agent.post(send_path, LETTER)
    answer = response.json()
    assert (response.status_code, answer["status"]) == (202, "pending_send_approval")
    message = OutboundMessage.objects.select_related("email").get(pk=answer["id"])
    assert (message.status, message.email.to) == ("pending", ["anna@example.com"])
    assert answer["thread_id"] == message.email.conversation_id
    assert "not been sent" in answer["message"]


def test_an_autonomous_mailbox_lets_it_go(agent: Caller, send_path: str, mailbox: Mailbox) -> None:
    Mailbox.objects.update(oversight_mode="autonomous")
    response = agent.post(send_path, LETTER)
    assert (response.status_code, response.json()["status"]) == (202, "sending")


def test_a_read_only_mailbox_refuses_and_says_how_to_ask(agent: Caller, send_path: str) -> None:
    Mailbox.objects.update(oversight_mode="read_only")
    response = agent.post(send_path, LETTER)
    assert (response.status_code, response.json()["code"]) == (403, "mode_forbids")
    assert "read_only" in response.json()["error"]


@pytest.mark.parametrize("name", ["markdown", "body", "text"])
@pytest.mark.parametrize("to", ["anna@example.com", ["anna@example.com", "ben@example.com"]])
def test_the_body_has_three_names_and_recipients_may_be_a_list(
    agent: Caller, send_path: str, name: str, to: Any
) -> None:
    letter = {"to": to, "subject": "Hello", name: "The text.", "cc": None, "attachments": []}
    response = agent.post(send_path, letter)
    assert response.status_code == 202
    email = Email.objects.get(pk=response.json()["id"])
    assert email.text.strip() == "The text."
    assert email.to == ([to] if isinstance(to, str) else to)


def test_a_mailbox_out_of_reach_is_404(stranger: Caller, send_path: str) -> None:
    assert stranger.post(send_path, LETTER).status_code == 404
    assert not OutboundMessage.objects.exists()


@pytest.mark.parametrize("in_header", [True, False])
def test_the_same_idempotency_key_makes_one_message(agent: Caller, send_path: str, in_header: bool) -> None:
    extra = {} if in_header else {"idempotency_key": "order-7"}
    headers = {"Idempotency-Key": "order-7"} if in_header else {}
    first = agent.post(send_path, LETTER | extra, headers=headers)
    second = agent.post(send_path, LETTER | extra, headers=headers)
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json()["status"] == "already_sent"
    assert second.json()["idempotent"] is True
    assert second.json()["id"] == first.json()["id"]
    assert OutboundMessage.objects.count() == 1


def test_the_same_idempotency_key_with_another_body_is_409(agent: Caller, send_path: str) -> None:
    agent.post(send_path, LETTER | {"idempotency_key": "order-7"})
    response = agent.post(send_path, LETTER | {"idempotency_key": "order-7", "subject": "Another"})
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_reused")


def test_header_and_body_may_not_name_different_keys(agent: Caller, send_path: str) -> None:
    body = LETTER | {"idempotency_key": "a"}
    response = agent.post(send_path, body, headers={"Idempotency-Key": "b"})
    assert (response.status_code, response.json()["field"]) == (400, "idempotency_key")


def test_the_same_content_within_a_minute_is_409(agent: Caller, send_path: str) -> None:
    assert agent.post(send_path, LETTER).status_code == 202
    response = agent.post(send_path, LETTER)
    assert (response.status_code, response.json()["code"]) == (409, "duplicate_content")


def test_the_run_context_is_kept_from_body_and_headers(agent: Caller, send_path: str) -> None:
    body = LETTER | {"context": {"run_id": "run_1", "tool_call_id": "call_1"}}
    headers = {"X-Assistant-Id": "asst_1", "X-Thread-Id": "thread_1", "X-Run-Id": "run_other"}
    email = Email.objects.get(pk=agent.post(send_path, body, headers=headers).json()["id"])
    assert (email.assistant_id, email.thread_id) == ("asst_1", "thread_1")
    assert (email.run_id, email.tool_call_id) == ("run_1", "call_1")


def test_the_longest_ids_are_kept(agent: Caller, send_path: str) -> None:
    longest = {
        "assistant_id": "a" * 80,
        "thread_id": "t" * 200,
        "run_id": "r" * 200,
        "tool_call_id": "c|" * 100,
    }
    response = agent.post(send_path, LETTER | {"context": longest})
    assert response.status_code == 202
    assert Email.objects.get(pk=response.json()["id"]).tool_call_id == longest["tool_call_id"]


def test_a_header_that_is_no_id_is_400(agent: Caller, send_path: str) -> None:
    response = agent.post(send_path, LETTER, headers={"X-Run-Id": "run 1"})
    assert (response.status_code, response.json()["field"]) == (400, "run_id")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"to": None}, "to", "required"),
        ({"subject": None}, "subject", "required"),
        ({"markdown": None}, "markdown", "required"),
        ({"body": "Something else"}, "markdown", "ambiguous"),
        ({"to": 7}, "to", "not_a_list"),
        ({"to": {"address": "anna@example.com"}}, "to", "not_a_list"),
        ({"to": ["anna@example.com", 7]}, "to[1]", "invalid"),
        ({"to": ["anna@example.com"] * 51}, "to", "max_length"),
        ({"subject": ["Hello"]}, "subject", "invalid"),
        ({"subject": 7}, "subject", "invalid"),
        ({"markdown": True}, "markdown", "invalid"),
        ({"markdown": "a\x00b"}, "markdown", "null_characters_not_allowed"),
        ({"markdown": "\ud800"}, "markdown", "surrogate_characters_not_allowed"),
        ({"attachments": "x"}, "attachments", "not_a_list"),
        ({"attachments": "a.pdf"}, "attachments", "not_a_list"),
        ({"send_at": "2020-12-01T09:00:00Z"}, "send_at", "in_the_past"),
        ({"send_at": "2999-12-01T09:00:00Z"}, "send_at", "too_late"),
        ({"send_at": "2030-12-01T09:00:00"}, "send_at", "no_zone"),
        ({"send_at": "2030-13-01T09:00:00Z"}, "send_at", "invalid"),
        ({"send_at": ["x"]}, "send_at", "no_zone"),
        ({"gate_timing": "whenever"}, "gate_timing", "invalid_choice"),
        ({"context": "run_1"}, "context", "invalid"),
        ({"context": {"run_id": 7}}, "context.run_id", "invalid"),
        ({"context": {"run_id": "run 1"}}, "context.run_id", "invalid"),
        ({"context": {"tool_call_id": "\u00e9" * 200}}, "context.tool_call_id", "invalid"),
        ({"context": {"thread_id": "x" * 201}}, "context.thread_id", "max_length"),
        ({"idempotency_key": "x" * 256}, "idempotency_key", "max_length"),
    ],
)
def test_what_has_the_wrong_shape_is_400_and_names_the_field(
    agent: Caller, send_path: str, change: dict[str, Any], field: str, code: str
) -> None:
    response = agent.post(send_path, LETTER | change)
    answer = response.json()
    assert (response.status_code, answer["field"], answer["fields"][0]["code"]) == (400, field, code)
    assert not OutboundMessage.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": "anna@example.com, ben@example.com"}, "to"),
        ({"to": "Anna <anna@example.com>"}, "to"),
        ({"to": []}, "to"),
        ({"cc": ["anna@example.com,ben@example.com"]}, "cc"),
        ({"subject": "Hello\r\nBcc: eve@evil.test"}, "subject"),
        ({"subject": "=?utf-8?q?Hello=0ABcc:_eve@evil.test?="}, "subject"),
        ({"subject": ""}, "subject"),
        ({"markdown": "x" * 262_145}, "markdown"),
    ],
)
def test_what_is_no_valid_message_is_400_and_names_the_field(
    agent: Caller, send_path: str, change: dict[str, Any], field: str
) -> None:
    response = agent.post(send_path, LETTER | change)
    assert response.status_code == 400
    assert response.json()["field"].startswith(field)
    assert not OutboundMessage.objects.exists()


def test_a_reply_goes_to_reply_to_in_the_same_thread(agent: Caller, mailbox: Mailbox) -> None:
    asked = arrived(mailbox, headers="Reply-To: desk@example.com\r\nMessage-ID: <1@example.com>\r\n")
    path = f"/v1/mailboxes/{mailbox.pk}/reply/{asked.pk}"
    response = agent.post(path, {"markdown": "On its way."})
    assert (response.status_code, response.json()["status"]) == (202, "pending_send_approval")
    answer = Email.objects.get(pk=response.json()["id"])
    assert (answer.to, answer.in_reply_to) == (["desk@example.com"], "<1@example.com>")
    assert answer.conversation_id == asked.conversation_id


def test_a_reply_is_for_mail_of_this_mailbox(agent: Caller, stranger: Caller, mailbox: Mailbox) -> None:
    asked = arrived(mailbox)
    elsewhere = arrived(Mailbox.objects.get(address="sales@acme.test"))
    path = f"/v1/mailboxes/{mailbox.pk}/reply"
    assert agent.post(f"{path}/{elsewhere.pk}", {"body": "x"}).status_code == 404
    assert stranger.post(f"{path}/{asked.pk}", {"body": "x"}).status_code == 404
