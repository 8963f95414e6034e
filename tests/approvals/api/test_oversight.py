"""GET /v1/oversight/pending and POST /v1/oversight/decide."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import actions
from approvals.models import Decision, OutboundMessage, User
from assistants.models import ApiKey
from mailboxes.models import Email, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, arrived, held

PENDING, DECIDE = "/v1/oversight/pending", "/v1/oversight/decide"


@pytest.fixture
def message(mailbox: Mailbox, api_key: ApiKey) -> OutboundMessage:
    return held(mailbox, api_key)


def test_what_waits_is_listed_with_its_body_and_what_a_decision_names(
    overseer: Caller, message: OutboundMessage
) -> None:
    answer = overseer.get(PENDING).json()
    assert answer["emails"] == answer["pending"] == answer["items"]
    (email,) = answer["pending"]
    assert (email["id"], email["status"]) == (message.pk, "pending_send_approval")
    assert "It has shipped." in email["body_markdown"]
    assert (email["revision"], email["digest"]) == (1, message.digest)
    assert email["reasons"]
    assert email["deadline_at"]


def test_held_inbound_mail_waits_beside_it_the_oldest_first(
    overseer: Caller, message: OutboundMessage, mailbox: Mailbox
) -> None:
    Mailbox.objects.update(oversight_mode="gated_all")
    email = arrived(mailbox)
    assert [e["id"] for e in overseer.get(PENDING).json()["pending"]] == [message.pk, email.pk]
    first = overseer.get(f"{PENDING}?limit=1").json()
    rest = overseer.get(f"{PENDING}?cursor={first['cursor']}").json()
    assert [e["id"] for e in rest["pending"]] == [email.pk]


def test_an_offset_skips_as_in_every_list(
    overseer: Caller, message: OutboundMessage, mailbox: Mailbox, api_key: ApiKey
) -> None:
    later = held(mailbox, api_key, "Another")
    assert [email["id"] for email in overseer.get(f"{PENDING}?offset=1").json()["items"]] == [later.pk]
    assert overseer.get("/v1/mailboxes?offset=1").json()["items"] == []


def test_the_queue_is_narrowed_by_mailbox_and_assistant(overseer: Caller, message: OutboundMessage) -> None:
    mailbox_id, assistant_id = message.email.mailbox_id, message.assistant_id
    for query, found in {
        f"mailbox_id={mailbox_id}": 1,
        f"assistant_id={assistant_id}": 1,
        "assistant_id=agt_other": 0,
    }.items():
        assert len(overseer.get(f"{PENDING}?{query}").json()["pending"]) == found
    assert overseer.get(f"{PENDING}?mailbox_id=mbx_other").status_code == 404


@pytest.mark.parametrize("how_many", [1, 3])
def test_the_number_of_queries_does_not_grow(
    django_assert_num_queries: Any, overseer: Caller, mailbox: Mailbox, api_key: ApiKey, how_many: int
) -> None:
    for n in range(how_many):
        held(mailbox, api_key, f"Order {n}")
    overseer.get(PENDING)
    # key, emails with their messages, decisions about outbound and about inbound mail, receipts, revisions
    with django_assert_num_queries(6):
        assert len(overseer.get(PENDING).json()["pending"]) == how_many


@pytest.mark.parametrize(("action", "status"), [("approve", "approved"), ("reject", "rejected")])
def test_a_deciding_key_decides(overseer: Caller, message: OutboundMessage, action: str, status: str) -> None:
    response = overseer.post(DECIDE, {"email_id": message.pk, "action": action, "reason": "Because."})
    assert (response.status_code, response.json()["status"]) == (200, status)
    message.refresh_from_db()
    assert message.status == status
    assert Decision.objects.get(message=message).by_key is not None
    assert overseer.get(PENDING).json()["pending"] == []


def test_where_two_must_approve_the_first_hears_that_it_still_waits(
    overseer: Caller, mailbox: Mailbox, api_key: ApiKey, reviewer: User
) -> None:
    Mailbox.objects.update(approvals_needed=2)
    message = held(mailbox, api_key)
    response = overseer.post(DECIDE, {"email_id": message.pk, "action": "approve"})
    assert (response.status_code, response.json()["status"]) == (200, "pending_send_approval")
    again = overseer.post(DECIDE, {"email_id": message.pk, "action": "approve"})
    assert (again.status_code, again.json()["code"]) == (409, "approved_by_you")
    assert actions.approve(message, by=reviewer).status == "approved"


@pytest.mark.parametrize(("action", "status"), [("approve", "unread"), ("reject", "rejected")])
def test_held_inbound_mail_is_decided_the_same_way(
    overseer: Caller, mailbox: Mailbox, action: str, status: str
) -> None:
    Mailbox.objects.update(oversight_mode="gated_all")
    email = arrived(mailbox)
    response = overseer.post(DECIDE, {"email_id": email.pk, "action": action})
    assert response.status_code == 200
    assert Email.objects.get(pk=email.pk).inbound_status == status
    again = overseer.post(DECIDE, {"email_id": email.pk, "action": action})
    assert (again.status_code, again.json()["decision"]["by"]) == (409, email.decisions.get().decider)


def test_the_second_to_decide_hears_who_was_first(
    overseer: Caller, message: OutboundMessage, reviewer: User
) -> None:
    actions.reject(message, by=reviewer, reason="Not like this.")
    response = overseer.post(DECIDE, {"email_id": message.pk, "action": "approve"})
    answer = response.json()
    assert (response.status_code, answer["status"]) == (409, "rejected")
    assert (answer["decision"]["by"], answer["decision"]["reason"]) == (reviewer.email, "Not like this.")
    assert reviewer.email in answer["error"]


@pytest.mark.parametrize("named", [{"revision": 2}, {"digest": "0" * 64}])
def test_a_decision_about_another_text_is_409_with_the_current_one(
    overseer: Caller, message: OutboundMessage, named: dict[str, Any]
) -> None:
    response = overseer.post(DECIDE, {"email_id": message.pk, "action": "approve", **named})
    answer = response.json()
    assert (response.status_code, answer["revision"], answer["digest"]) == (409, 1, message.digest)
    exact = {"revision": answer["revision"], "digest": answer["digest"]}
    right = overseer.post(DECIDE, {"email_id": message.pk, "action": "approve", **exact})
    assert right.status_code == 200


def test_past_the_first_revision_a_decision_names_one(overseer: Caller, message: OutboundMessage) -> None:
    OutboundMessage.objects.filter(pk=message.pk).update(revision=2)
    response = overseer.post(DECIDE, {"email_id": message.pk, "action": "approve"})
    assert (response.status_code, response.json()["revision"]) == (409, 2)


def test_what_is_out_of_reach_is_404(message: OutboundMessage) -> None:
    theirs = factories.a_mailbox()
    scopes = ["oversight", "oversight_read", "read"]
    elsewhere = Caller(factories.a_key(factories.an_integration(), scopes=scopes, mailboxes=[theirs]))
    assert elsewhere.get(PENDING).json()["pending"] == []
    assert elsewhere.post(DECIDE, {"email_id": message.pk, "action": "approve"}).status_code == 404


def test_a_key_that_only_looks_cannot_decide(message: OutboundMessage, mailbox: Mailbox) -> None:
    looking = factories.a_key(factories.an_integration(), scopes=["oversight_read"], mailboxes=[mailbox])
    assert len(Caller(looking).get(PENDING).json()["pending"]) == 1
    response = Caller(looking).post(DECIDE, {"email_id": message.pk, "action": "approve"})
    assert (response.status_code, response.json()["code"]) == (403, "missing_scope")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action": "maybe"}, "action"),
        ({"action": None}, "action"),
        ({"email_id": None}, "email_id"),
        ({"revision": 0}, "revision"),
        ({"revision": 10**30}, "revision"),
        ({"revision": "two"}, "revision"),
        ({"digest": 7}, "digest"),
        ({"reason": ["x"]}, "reason"),
        ({"reason": "x" * 2001}, "reason"),
    ],
)
def test_a_decision_that_is_none_is_400(
    overseer: Caller, message: OutboundMessage, change: dict[str, Any], field: str
) -> None:
    response = overseer.post(DECIDE, {"email_id": message.pk, "action": "approve", **change})
    assert (response.status_code, response.json()["field"]) == (400, field)
