"""GET …/emails, …/emails/{id}, …/threads/{id}, …/emails/{id}/tags, POST …/emails/{id}/cancel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from approvals import actions
from approvals.models import User
from approvals.states import Status
from approvals.wire import WORDS
from assistants.models import ApiKey
from mailboxes.models import Email, Mailbox
from tests.approvals.api.caller import Caller, arrived, held


@pytest.fixture
def path(mailbox: Mailbox) -> str:
    return f"/v1/mailboxes/{mailbox.pk}/emails"


def ids(caller: Caller, path: str, **query: Any) -> list[str]:
    response = caller.get(f"{path}?{urlencode(query)}")
    assert response.status_code == 200, response.content
    answer = response.json()
    assert answer["items"] == answer["emails"]
    return [email["id"] for email in answer["emails"]]


def test_mail_of_both_directions_is_listed_newest_first(
    agent: Caller, stranger: Caller, path: str, mailbox: Mailbox, api_key: ApiKey
) -> None:
    came, goes = arrived(mailbox), held(mailbox, api_key)
    assert ids(agent, path) == [goes.pk, came.pk]
    assert stranger.get(path).status_code == 404


def test_an_email_carries_both_spellings(agent: Caller, path: str, mailbox: Mailbox) -> None:
    arrived(mailbox, "Where is it?")
    email = agent.get(path).json()["emails"][0]
    assert email["from"] == email["from_address"] == "anna@example.com"
    assert email["to"] == email["to_addresses"] == ["support@acme.test"]
    assert email["markdown"] == email["text_body"]
    assert email["received_at"] == email["created_at"]
    assert (email["direction"], email["status"], email["tags"]) == ("inbound", "unread", {})


def test_filters_narrow_the_list(agent: Caller, path: str, mailbox: Mailbox, api_key: ApiKey) -> None:
    old = arrived(mailbox, "Old news", sender="ben@example.org")
    Email.objects.filter(pk=old.pk).update(created_at=old.created_at - timedelta(days=2))
    new, goes = arrived(mailbox, "New order"), held(mailbox, api_key)
    yesterday = (old.created_at - timedelta(days=1)).isoformat()
    assert ids(agent, path, sender="example.org") == [old.pk]
    assert ids(agent, path, subject_contains="NEW") == [new.pk, old.pk]
    assert ids(agent, path, direction="outbound") == [goes.pk]
    assert ids(agent, path, date_before=yesterday) == [old.pk]
    assert ids(agent, path, date_after=yesterday, direction="inbound") == [new.pk]
    assert ids(agent, path, since_id=new.pk) == [goes.pk]
    assert ids(agent, path, has_attachments="true") == []
    assert len(ids(agent, path, has_attachments="false")) == 3


def test_either_dialects_word_finds_a_status(
    agent: Caller, path: str, mailbox: Mailbox, api_key: ApiKey
) -> None:
    came, goes = arrived(mailbox), held(mailbox, api_key)
    assert ids(agent, path, status="pending_send_approval") == [goes.pk]
    assert ids(agent, path, status="pending_approval") == [goes.pk]
    assert ids(agent, path, status="unread") == [came.pk]
    assert ids(agent, path, status="sent") == []


def test_every_state_has_its_words() -> None:
    assert WORDS.keys() == set(Status)


def test_deleted_mail_is_listed_only_when_asked_for(agent: Caller, path: str, mailbox: Mailbox) -> None:
    gone = arrived(mailbox)
    Email.objects.filter(pk=gone.pk).update(inbound_status="deleted")
    assert ids(agent, path) == []
    assert ids(agent, path, status="deleted") == [gone.pk]


def test_held_inbound_mail_is_not_there_for_an_agent(
    agent: Caller, overseer: Caller, path: str, mailbox: Mailbox
) -> None:
    Mailbox.objects.update(oversight_mode="gated_all")
    email = arrived(mailbox)
    assert ids(agent, path) == []
    assert agent.get(f"{path}/{email.pk}").status_code == 404
    assert agent.get(f"/v1/mailboxes/{mailbox.pk}/threads/{email.conversation_id}").status_code == 404
    assert agent.get(f"/v1/messages/{email.pk}").status_code == 404
    assert ids(overseer, path) == [email.pk]
    assert overseer.get(f"{path}/{email.pk}").json()["status"] == "pending_inbound_approval"


def test_pages_follow_the_cursor_to_the_end(agent: Caller, path: str, mailbox: Mailbox) -> None:
    made = [arrived(mailbox, f"Mail {n}").pk for n in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    for _ in range(3):
        answer = agent.get(f"{path}?{urlencode({'limit': 2, 'cursor': cursor})}").json()
        seen += [email["id"] for email in answer["emails"]]
        cursor = answer["cursor"]
    assert seen == made[::-1]
    assert cursor is None
    assert ids(agent, path, limit=2, offset=3) == made[1::-1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=" + "9" * 400, "limit"),
        ("limit=ten", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("cursor=!!!", "cursor"),
        ("cursor=ZW1fMQ", "cursor"),
        ("cursor=%00", "cursor"),
        ("status=whatever", "status"),
        ("direction=sideways", "direction"),
        ("date_after=yesterday", "date_after"),
        ("date_before=0001-01-01T00:00:00%2B14:00", "date_before"),
        ("has_attachments=perhaps", "has_attachments"),
        ("since_id=a%20b", "since_id"),
        ("sender=%00", "sender"),
        ("subject_contains=%ED%A0%80%00", "subject_contains"),
    ],
)
def test_a_bad_filter_is_400_and_named(agent: Caller, path: str, query: str, field: str) -> None:
    response = agent.get(f"{path}?{query}")
    assert (response.status_code, response.json()["field"]) == (400, field)


@pytest.mark.parametrize("how_many", [1, 3])
def test_the_number_of_queries_does_not_grow(
    django_assert_num_queries: Any,
    agent: Caller,
    path: str,
    mailbox: Mailbox,
    api_key: ApiKey,
    reviewer: User,
    how_many: int,
) -> None:
    for n in range(how_many):
        arrived(mailbox)
        actions.approve(held(mailbox, api_key, f"Order {n}"), by=reviewer)
    agent.get(path)
    # key, mailbox, emails with their messages, decisions about outbound and about inbound mail, receipts
    with django_assert_num_queries(6):
        assert len(agent.get(path).json()["emails"]) == 2 * how_many


def test_reading_an_email_marks_it_as_read(agent: Caller, path: str, mailbox: Mailbox) -> None:
    email = arrived(mailbox)
    assert agent.get(path).json()["emails"][0]["status"] == "unread"
    answer = agent.get(f"{path}/{email.pk}").json()
    assert (answer["status"], "Please look." in answer["markdown"]) == ("read", True)
    assert agent.get(path).json()["emails"][0]["status"] == "read"


def test_an_email_tells_its_decision(
    agent: Caller, path: str, mailbox: Mailbox, api_key: ApiKey, reviewer: User
) -> None:
    message = held(mailbox, api_key)
    assert agent.get(f"{path}/{message.pk}").json()["decision"] is None
    actions.reject(message, by=reviewer, reason="Not like this.")
    email = agent.get(f"{path}/{message.pk}").json()
    assert email["status"] == "rejected"
    assert email["decision"]["verdict"] == "reject"
    assert email["decision"]["reason"] == "Not like this."
    assert email["decision"]["by"] == reviewer.email
    assert email["approved_at"] is None


def test_an_email_is_found_in_its_own_mailbox_only(
    agent: Caller, stranger: Caller, path: str, mailbox: Mailbox
) -> None:
    email = arrived(mailbox)
    theirs = Mailbox.objects.get(address="sales@acme.test")
    assert stranger.get(f"{path}/{email.pk}").status_code == 404
    assert stranger.get(f"/v1/mailboxes/{theirs.pk}/emails/{email.pk}").status_code == 404
    assert agent.get(f"{path}/em_none").status_code == 404
    assert agent.get(f"{path}/%00").status_code == 404


def test_cancelling_takes_back_what_waits_and_twice_does_no_harm(
    agent: Caller, path: str, mailbox: Mailbox, api_key: ApiKey
) -> None:
    message = held(mailbox, api_key)
    bodies: list[dict[str, str] | None] = [{}, None]
    for body in bodies:
        response = agent.post(f"{path}/{message.pk}/cancel", body)
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")


def test_cancelling_what_was_rejected_is_409_with_the_decision(
    agent: Caller, path: str, mailbox: Mailbox, api_key: ApiKey, reviewer: User
) -> None:
    message = held(mailbox, api_key)
    actions.reject(message, by=reviewer, reason="No.")
    response = agent.post(f"{path}/{message.pk}/cancel", {})
    assert response.status_code == 409
    assert response.json()["decision"]["verdict"] == "reject"


def test_there_is_nothing_to_cancel_in_mail_that_came_in(
    agent: Caller, stranger: Caller, path: str, mailbox: Mailbox, api_key: ApiKey
) -> None:
    assert agent.post(f"{path}/{arrived(mailbox).pk}/cancel", {}).status_code == 404
    assert stranger.post(f"{path}/{held(mailbox, api_key).pk}/cancel", {}).status_code == 404


def test_tags_are_merged_and_deleted(agent: Caller, stranger: Caller, path: str, mailbox: Mailbox) -> None:
    tags = f"{path}/{arrived(mailbox).pk}/tags"
    assert agent.put(tags, {"tags": {"vip": "yes", "topic": "order"}}).json()["tags"]["vip"] == "yes"
    assert agent.put(tags, {"tags": {"topic": "refund"}}).json() == {
        "tags": {"vip": "yes", "topic": "refund"}
    }
    assert agent.delete(f"{tags}/vip").json() == {"deleted": True, "tags": {"topic": "refund"}}
    assert agent.get(tags).json() == {"tags": {"topic": "refund"}}
    assert stranger.get(tags).status_code == 404
    assert stranger.put(tags, {"tags": {"a": "b"}}).status_code == 404
    assert stranger.delete(f"{tags}/topic").status_code == 404


@pytest.mark.parametrize(
    "tags", [None, "vip", ["vip"], {"vip": 1}, {"vip": {}}, {"\x00": "x"}, {"\ud800": "x"}]
)
def test_what_are_no_tags_is_400(agent: Caller, path: str, mailbox: Mailbox, tags: Any) -> None:
    response = agent.put(f"{path}/{arrived(mailbox).pk}/tags", {"tags": tags})
    assert response.status_code == 400
    assert response.json()["field"].startswith("tags")


def test_a_thread_is_told_from_its_beginning(
    agent: Caller, stranger: Caller, path: str, mailbox: Mailbox, api_key: ApiKey
) -> None:
    came = arrived(mailbox, headers="Message-ID: <1@example.com>\r\n")
    answer = agent.post(f"/v1/mailboxes/{mailbox.pk}/reply/{came.pk}", {"body": "Soon."}).json()
    thread_path = f"/v1/mailboxes/{mailbox.pk}/threads/{came.conversation_id}"
    thread = agent.get(thread_path).json()
    assert [email["id"] for email in thread["emails"]] == [came.pk, answer["id"]]
    assert thread["message_count"] == 2
    assert thread["participants"] == ["anna@example.com", "support@acme.test"]
    assert thread["has_unanswered_inbound"] is True  # the answer still waits for a person
    assert stranger.get(thread_path).status_code == 404
    assert agent.get(f"/v1/mailboxes/{mailbox.pk}/threads/thr_none").status_code == 404


@pytest.mark.parametrize("how_many", [1, 3])
def test_a_threads_queries_do_not_grow(
    django_assert_num_queries: Any, agent: Caller, mailbox: Mailbox, how_many: int
) -> None:
    came = arrived(mailbox, headers="Message-ID: <1@example.com>\r\n")
    for n in range(how_many - 1):
        arrived(mailbox, headers=f"Message-ID: <r{n}@example.com>\r\nIn-Reply-To: <1@example.com>\r\n")
    thread_path = f"/v1/mailboxes/{mailbox.pk}/threads/{came.conversation_id}"
    agent.get(thread_path)
    # key, mailbox, conversation, emails, decisions about them (outbound: none here), receipts, their count
    with django_assert_num_queries(7):
        assert agent.get(thread_path).json()["message_count"] == how_many
