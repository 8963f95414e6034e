"""Spam: called so, listed across mailboxes, and taken back. And what a self-hosted install does not have."""

from __future__ import annotations

import pytest

from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Email, Mailbox
from tests.approvals.api.caller import Caller, arrived, held


@pytest.mark.parametrize("status", ["unread", "read", "spam_flagged"])
def test_spam_is_put_away_listed_when_asked_for_and_taken_back(
    agent: Caller, mailbox: Mailbox, status: str
) -> None:
    email = arrived(mailbox)
    Email.objects.update(inbound_status=status)
    path = f"/v1/emails/{email.pk}"
    for _ in range(2):
        told = agent.post(f"{path}/report-spam").json()
        assert told == {"id": email.pk, "status": "spam_quarantined", "user_label": "spam"}
    assert agent.get(f"/v1/mailboxes/{mailbox.pk}/emails").json()["emails"] == []
    for query in ("", "?status=spam_quarantined"):
        spam = agent.get(f"/v1/emails{query}").json()
        assert [one["id"] for one in spam["emails"]] == [email.pk]
    for _ in range(2):
        assert agent.post(f"{path}/not-spam").json()["status"] == "unread"
    assert agent.get("/v1/emails").json()["emails"] == []
    assert len(agent.get("/v1/emails?status=unread").json()["emails"]) == 1
    actions = list(Event.objects.order_by("seq").values_list("action", flat=True))
    assert actions[-2:] == ["email.called_spam", "email.called_no_spam"]


def test_what_ended_otherwise_is_a_conflict(agent: Caller, mailbox: Mailbox) -> None:
    email = arrived(mailbox)
    Email.objects.update(inbound_status="archived")
    assert agent.post(f"/v1/emails/{email.pk}/report-spam").status_code == 409


def test_only_received_mail_within_reach_is_spam(
    agent: Caller, stranger: Caller, api_key: ApiKey, mailbox: Mailbox
) -> None:
    email, ours = arrived(mailbox), held(mailbox, api_key)
    assert agent.post(f"/v1/emails/{ours.pk}/report-spam").status_code == 404
    assert stranger.post(f"/v1/emails/{email.pk}/report-spam").status_code == 404
    assert stranger.get("/v1/emails").json()["emails"] == []


@pytest.mark.parametrize("path", ["account/challenge", "account/resend-confirmation", "confirm"])
def test_sign_up_is_off(db: None, path: str) -> None:
    answer = Caller().post(f"/v1/{path}", {})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("what", ["portal", "checkout", "cancel"])
def test_there_is_nothing_to_pay_for(manager: Caller, agent: Caller, what: str) -> None:
    assert manager.post(f"/v1/billing/{what}", {"plan": "pro"}).json()["code"] == "self_hosted"
    assert agent.post(f"/v1/billing/{what}", {}).status_code == 403
