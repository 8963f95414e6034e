"""POST /v1/send, /v1/reply, /v1/inbox, /v1/email, /v1/tag: the integration page's dialect."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.models import OutboundMessage
from assistants.models import ApiKey
from mailboxes.models import Email, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, arrived, held


@pytest.fixture
def letter(mailbox: Mailbox) -> dict[str, str]:
    """As a model writes the arguments of send_email."""
    return {"to": "anna@example.com", "subject": "Hello", "body": "Text", "mailbox_id": mailbox.pk}


def test_a_send_is_held_in_the_flat_word(agent: Caller, letter: dict[str, str]) -> None:
    response = agent.post("/v1/send", letter)
    assert (response.status_code, response.json()["status"]) == (202, "pending_approval")


def test_a_repeat_answers_with_the_current_status(agent: Caller, letter: dict[str, str]) -> None:
    first = agent.post("/v1/send", letter | {"idempotency_key": "k"}).json()
    again = agent.post("/v1/send", letter | {"idempotency_key": "k"})
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["status"]) == (first["id"], "pending_approval")


@pytest.mark.parametrize("missing", ["to", "subject", "body", "mailbox_id"])
def test_an_argument_that_is_missing_is_named(agent: Caller, letter: dict[str, str], missing: str) -> None:
    del letter[missing]
    response = agent.post("/v1/send", letter)
    assert (response.status_code, response.json()["field"]) == (400, missing.replace("body", "markdown"))


def test_a_stranger_finds_no_mailbox(stranger: Caller, letter: dict[str, str]) -> None:
    assert stranger.post("/v1/send", letter).status_code == 404
    assert stranger.post("/v1/inbox", {"mailbox_id": letter["mailbox_id"]}).status_code == 404
    assert not OutboundMessage.objects.exists()


def test_a_reply_needs_only_the_email(agent: Caller, stranger: Caller, mailbox: Mailbox) -> None:
    asked = arrived(mailbox)
    assert stranger.post("/v1/reply", {"email_id": asked.pk, "body": "x"}).status_code == 404
    response = agent.post(
        "/v1/reply", {"email_id": asked.pk, "body": "On its way.", "mailbox_id": mailbox.pk}
    )
    assert (response.status_code, response.json()["status"]) == (202, "pending_approval")
    assert Email.objects.get(pk=response.json()["id"]).to == ["anna@example.com"]
    elsewhere = {"email_id": asked.pk, "body": "x", "mailbox_id": "mbx_other"}
    assert agent.post("/v1/reply", elsewhere).status_code == 404


def test_the_inbox_is_what_came_in(agent: Caller, mailbox: Mailbox, api_key: ApiKey) -> None:
    came = [arrived(mailbox, f"Mail {n}").pk for n in range(3)]
    held(mailbox, api_key)
    answer = agent.post("/v1/inbox", {"mailbox_id": mailbox.pk, "limit": 2}).json()
    assert [email["id"] for email in answer["emails"]] == came[:0:-1]
    assert answer["items"] == answer["emails"]
    rest = agent.post("/v1/inbox", {"mailbox_id": mailbox.pk, "cursor": answer["cursor"]}).json()
    assert [email["id"] for email in rest["emails"]] == came[:1]


def test_without_a_mailbox_the_inbox_is_that_of_the_key(
    agent: Caller, stranger: Caller, mailbox: Mailbox
) -> None:
    came = arrived(mailbox)
    assert [e["id"] for e in agent.post("/v1/inbox", {}).json()["emails"]] == [came.pk]
    assert stranger.post("/v1/inbox", {}).json()["emails"] == []


def test_an_email_is_read(agent: Caller, stranger: Caller, mailbox: Mailbox, api_key: ApiKey) -> None:
    came, goes = arrived(mailbox), held(mailbox, api_key)
    assert agent.post("/v1/email", {"email_id": came.pk}).json()["status"] == "read"
    assert agent.post("/v1/email", {"email_id": goes.pk}).json()["status"] == "pending_approval"
    assert stranger.post("/v1/email", {"email_id": came.pk}).status_code == 404


def test_tags_by_action(agent: Caller, stranger: Caller, mailbox: Mailbox) -> None:
    email_id = arrived(mailbox).pk
    steps: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"tags": {"vip": "yes"}}, {"vip": "yes"}),
        ({"action": "set", "tags": {"topic": "order"}}, {"vip": "yes", "topic": "order"}),
        ({"action": "delete", "key": "vip"}, {"topic": "order"}),
        ({"action": "get"}, {"topic": "order"}),
    ]
    for arguments, tags in steps:
        assert agent.post("/v1/tag", {"email_id": email_id, **arguments}).json() == {"tags": tags}
    assert stranger.post("/v1/tag", {"email_id": email_id, "action": "get"}).status_code == 404


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"action": "set"}, "tags"), ({"action": "delete"}, "key"), ({"action": "burn"}, "action")],
)
def test_a_tag_call_that_lacks_something_is_400(
    agent: Caller, mailbox: Mailbox, arguments: dict[str, str], field: str
) -> None:
    response = agent.post("/v1/tag", {"email_id": arrived(mailbox).pk, **arguments})
    assert (response.status_code, response.json()["field"]) == (400, field)


RAW = [b"[]", b'"text"', b"{", b"[" * 100_000, b'{"limit": NaN}', b"\xff\xfe", b"1" * 5000, b"null"]


@pytest.mark.parametrize("path", ["/v1/send", "/v1/reply", "/v1/inbox", "/v1/email", "/v1/tag"])
@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
def test_a_body_that_is_no_json_object_is_400(agent: Caller, path: str, raw: bytes) -> None:
    response = agent.raw(path, raw)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_json")


def test_a_body_without_end_is_413(agent: Caller) -> None:
    raw = b'{"body": "' + b"x" * 17_000_001 + b'"}'
    response = agent.raw("/v1/send", raw)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_a_body_without_files_has_room_for_a_message_only(agent: Caller) -> None:
    raw = b'{"tags": "' + b"x" * 2_700_000 + b'"}'
    assert agent.raw("/v1/tag", raw).status_code == 413


def test_a_refusal_may_quote_half_a_character(agent: Caller) -> None:
    response = agent.post("/v1/tag", {"email_id": "em_1", "action": "\ud800"})
    assert (response.status_code, response.json()["field"]) == (400, "action")


def test_a_form_is_415(agent: Caller) -> None:
    assert agent.raw("/v1/send", b"to=a", "text/plain").status_code == 415


@pytest.mark.parametrize("bad", [7, ["em_1"], {"id": 1}, "a b", "\x00", "x" * 81, ""])
def test_an_id_that_is_none_is_400(agent: Caller, bad: Any) -> None:
    for path, name in (("/v1/email", "email_id"), ("/v1/inbox", "mailbox_id")):
        response = agent.post(path, {name: bad})
        assert (response.status_code, response.json()["field"]) == (400, name)


def test_a_key_over_all_mailboxes_reaches_each(mailbox: Mailbox, letter: dict[str, str]) -> None:
    caller = Caller(factories.a_key(factories.an_integration()))
    assert caller.post("/v1/send", letter).status_code == 202
