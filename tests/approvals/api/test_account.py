"""/v1/account, /v1/usage and /v1/audit-log."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import actions, tasks
from approvals.models import OperatorRequest, User
from approvals.operator_requests import open_code
from assistants.models import ApiKey
from mailboxes.models import Account, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, arrived, held
from tests.servers import RecordingServer


@pytest.fixture
def owner(mailbox: Mailbox) -> Caller:
    return Caller(factories.a_key(factories.an_integration(), scopes=["admin"]))


def oversee(address: str) -> None:
    Account.objects.update_or_create(pk=1, defaults={"oversight_email": address})


def newest_code() -> str:
    return open_code(OperatorRequest.objects.order_by("-pk")[0])


def test_the_account_says_what_clients_read(owner: Caller) -> None:
    shown = owner.get("/v1/account").json()
    assert (shown["plan"], shown["is_active"], shown["sending_disabled"]) == ("self-hosted", True, False)
    assert shown["monthly_email_quota"] is None


def test_a_hold_shows_in_the_account(owner: Caller, administrator: User) -> None:
    actions.hold(None, by=administrator, reason="Incident 7")
    shown = owner.get("/v1/account").json()
    assert (shown["sending_disabled"], shown["sending_disabled_reason"]) == (True, "Incident 7")


def test_name_and_address_change_at_once(owner: Caller) -> None:
    changed = owner.patch("/v1/account", {"name": "Acme", "physical_address": "1 Road"})
    assert (changed.json()["name"], changed.json()["physical_address"]) == ("Acme", "1 Road")
    assert owner.patch("/v1/account", {"physical_address": None}).json()["physical_address"] == ""


def test_the_oversight_address_changes_with_a_persons_word(owner: Caller) -> None:
    wanted = {"oversight_email": "boss@acme.test"}
    assert owner.patch("/v1/account", wanted).json()["status"] == "pending_approval"
    assert not Account.objects.exclude(oversight_email="").exists()
    done = owner.patch("/v1/account", {**wanted, "approval_code": newest_code()})
    assert done.json()["oversight_email"] == "boss@acme.test"


def test_the_code_is_mailed_to_the_oversight_address_that_is_in_force(
    owner: Caller, smtp_server: RecordingServer
) -> None:
    oversee("boss@acme.test")
    owner.patch("/v1/account", {"oversight_email": "thief@evil.test"})
    tasks.deliver()
    (sender, recipients, data), *more = smtp_server.messages
    assert not more
    assert (sender, recipients) == ("counterseal@localhost", ["boss@acme.test"])
    assert newest_code().encode() in data
    assert b"thief@evil.test" in data
    assert b"Auto-Submitted: auto-generated" in data


def test_without_an_oversight_address_no_code_is_mailed(owner: Caller, smtp_server: RecordingServer) -> None:
    owner.patch("/v1/account", {"oversight_email": "boss@acme.test"})
    assert tasks.deliver() == 1
    assert smtp_server.messages == []


def test_a_code_whose_server_is_down_is_mailed_later_and_a_refusal_is_the_end(
    owner: Caller, smtp_server: RecordingServer
) -> None:
    oversee("boss@acme.test")
    smtp_server.refuse["boss@acme.test"] = "450 later"
    owner.delete("/v1/account")
    tasks.deliver()
    from approvals.models import OutboxEntry

    assert OutboxEntry.objects.filter(kind="mail_code", done_at=None).exists()
    smtp_server.refuse["boss@acme.test"] = "550 never"
    OutboxEntry.objects.update(due_at="2020-01-01T00:00:00Z")
    tasks.deliver()
    assert not OutboxEntry.objects.filter(kind="mail_code", done_at=None).exists()


def test_closing_the_account_ends_sending_and_every_key(
    owner: Caller, agent: Caller, api_key: ApiKey, mailbox: Mailbox
) -> None:
    held(mailbox, api_key)
    assert owner.delete("/v1/account").status_code == 202
    assert owner.delete("/v1/account", {"approval_code": newest_code()}).json() == {"status": "deleted"}
    assert agent.get("/v1/mailboxes").status_code == 401
    assert Account.objects.get().held_at is not None
    assert ApiKey.objects.filter(revoked_at=None).count() == 0


def test_the_account_is_for_keys_over_all_mailboxes(agent: Caller, manager: Caller) -> None:
    for caller in (agent, manager):
        assert caller.get("/v1/account").json()["code"] == "needs_all_mailboxes"
    assert manager.patch("/v1/account", {"name": "Mine"}).status_code == 403


def test_usage_counts_what_was_sent_received_and_decided(
    agent: Caller,
    stranger: Caller,
    api_key: ApiKey,
    mailbox: Mailbox,
    reviewer: User,
    smtp_server: RecordingServer,
) -> None:
    message = held(mailbox, api_key)
    held(mailbox, api_key, subject="Waits")
    arrived(mailbox)
    actions.approve(message, by=reviewer, revision=1, digest=message.digest)
    tasks.deliver()
    shown = agent.get("/v1/usage").json()
    counted = (shown["emails_sent"], shown["emails_received"], shown["oversight_actions"], shown["api_calls"])
    assert counted == (1, 1, 1, 2)
    assert stranger.get("/v1/usage").json()["emails_sent"] == 0
    for query in ("?breakdown=daily", "?period=daily"):
        daily = agent.get(f"/v1/usage{query}").json()["data"]
        assert [(one["event_type"], one["count"]) for one in daily] == [
            ("email_received", 1),
            ("email_sent", 1),
            ("oversight_action", 1),
        ]


def test_usage_of_another_time_is_of_that_time(agent: Caller, mailbox: Mailbox) -> None:
    arrived(mailbox)
    shown = agent.get("/v1/usage?from=0&to=1000").json()
    assert (shown["from"], shown["to"], shown["emails_received"]) == (0, 1000, 0)
    assert agent.get("/v1/usage?from=yesterday").status_code == 400


class TestTheAuditLog:
    def test_it_is_newest_first_and_paged(self, owner: Caller, api_key: ApiKey, mailbox: Mailbox) -> None:
        for number in range(3):
            held(mailbox, api_key, subject=str(number))
        first = owner.get("/v1/audit-log?limit=2").json()
        rest = owner.get(f"/v1/audit-log?limit=100&cursor={first['cursor']}").json()
        ids = [int(one["id"]) for one in first["entries"] + rest["entries"]]
        assert ids == sorted(ids, reverse=True)
        assert first["entries"][0]["resource_type"] == "email"
        assert first["entries"][0]["actor_key_id"] == api_key.pk

    def test_it_is_found_by_what_it_is_about(self, owner: Caller, api_key: ApiKey, mailbox: Mailbox) -> None:
        message = held(mailbox, api_key)
        other = held(mailbox, api_key, subject="Other")
        found = owner.get(f"/v1/audit-log?email_id={message.pk}").json()["entries"]
        assert {one["email_id"] for one in found} == {message.pk}
        assert owner.get("/v1/audit-log?action=message.sent").json()["entries"] == []
        assert owner.get("/v1/audit-log?since=2100-01-01T00:00:00Z").json()["entries"] == []
        by_actor = owner.get(f"/v1/audit-log?actor={api_key.actor}").json()["entries"]
        assert {one["email_id"] for one in by_actor} == {message.pk, other.pk}

    def test_a_narrower_key_sees_its_mailboxes_only(
        self, manager: Caller, stranger: Caller, owner: Caller, api_key: ApiKey, mailbox: Mailbox
    ) -> None:
        held(mailbox, api_key)
        owner.patch("/v1/account", {"name": "Acme"})
        seen = manager.get("/v1/audit-log").json()["entries"]
        assert {one["mailbox_id"] for one in seen} == {mailbox.pk}
        assert stranger.get("/v1/audit-log").status_code == 403

    @pytest.mark.parametrize("how_many", [1, 5])
    def test_the_number_of_queries_does_not_grow(
        self,
        django_assert_num_queries: Any,
        owner: Caller,
        api_key: ApiKey,
        mailbox: Mailbox,
        how_many: int,
    ) -> None:
        for number in range(how_many):
            held(mailbox, api_key, subject=str(number))
        owner.get("/v1/audit-log")
        with django_assert_num_queries(2):  # key, events
            owner.get("/v1/audit-log")
