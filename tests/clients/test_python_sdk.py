"""MultiMail's Python SDK does its whole work here, with another base URL and key and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from approvals import tasks
from approvals.models import OperatorRequest
from approvals.operator_requests import open_code
from assistants.models import ApiKey
from mailboxes import lookups
from mailboxes.models import Mailbox, Suppression
from tests import factories
from tests.approvals.api.caller import arrived
from tests.clients.python_sdk import CALLS, PythonSdk, Refused
from tests.mailboxes.name_server import NameServer
from tests.servers import AsgiServer, RecordingServer

LETTER = {"to": ["anna@example.com"], "subject": "Your order", "markdown": "It **has** shipped."}
FILE = {
    "name": "the bill.txt",
    "content_base64": base64.b64encode(b"12.50").decode(),
    "content_type": "text/plain",
}
Sdk = Callable[[ApiKey], PythonSdk]


@pytest.fixture
def sdk(live_server_asgi: AsgiServer) -> Iterator[Sdk]:
    with ExitStack() as opened:
        yield lambda key: opened.enter_context(
            PythonSdk.opened(key.secret, live_server_asgi.url)  # type: ignore[attr-defined]
        )


@pytest.fixture
def agent(sdk: Sdk, api_key: ApiKey) -> PythonSdk:
    return sdk(api_key)


@pytest.fixture
def desk(sdk: Sdk, oversight_key: ApiKey) -> PythonSdk:
    return sdk(oversight_key)


@pytest.fixture
def owner(sdk: Sdk, mailbox: Mailbox) -> PythonSdk:
    return sdk(factories.a_key(factories.an_integration("Ops"), scopes=["admin"]))


def code() -> str:
    return open_code(OperatorRequest.objects.order_by("-pk")[0])


def refused(status: int, call: Callable[..., Any], *places: str, **fields: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*places, **fields)
    assert (caught.value.status, bool(str(caught.value))) == (status, True)
    assert caught.value.body["code"]
    return caught.value


def test_mail_is_written_decided_sent_and_read_again(
    agent: PythonSdk, desk: PythonSdk, mailbox: Mailbox, smtp_server: RecordingServer
) -> None:
    written = LETTER | {"cc": ["bob@example.com"], "attachments": [FILE], "idempotency_key": "order-1"}
    sent = agent("send_email", mailbox.pk, **written)
    assert sent["status"] == "pending_send_approval"
    repeated = agent("send_email", mailbox.pk, **written)
    assert (repeated["id"], repeated["status"]) == (sent["id"], "already_sent")
    (pending,) = desk("list_pending")
    assert (pending["id"], pending["to_addresses"]) == (sent["id"], ["anna@example.com"])
    assert desk("decide", email_id=sent["id"], action="approve", reason="Fine.")["status"] == "approved"
    tasks.deliver()
    assert FILE["content_base64"].encode() in smtp_server.messages[0][2]
    shown = agent("get_email", mailbox.pk, sent["id"])
    assert (shown["status"], shown["from_address"]) == ("sent", mailbox.address)
    assert "It **has** shipped." in shown["text_body"]
    assert agent.download_attachment(mailbox.pk, sent["id"], "the bill.txt") == b"12.50"


def test_mail_is_answered_tagged_and_followed_in_its_thread(
    agent: PythonSdk, desk: PythonSdk, mailbox: Mailbox
) -> None:
    (email,) = [arrived(mailbox)]
    (listed,) = agent("list_emails", mailbox.pk, direction="inbound")["emails"]
    assert (listed["id"], listed["direction"], listed["status"]) == (email.pk, "inbound", "unread")
    assert agent("list_emails", mailbox.pk, limit=1, offset=1)["emails"] == []
    assert agent("get_email", mailbox.pk, email.pk)["status"] == "read"
    reply = agent("reply_email", mailbox.pk, email.pk, markdown="We look.", bcc=["boss@acme.test"])
    refused(409, agent, "reply_email", mailbox.pk, email.pk, markdown="We look.", bcc=["boss@acme.test"])
    thread = agent("get_thread", mailbox.pk, listed["thread_id"])
    assert [one["id"] for one in thread["emails"]] == [email.pk, reply["id"]]
    assert (thread["message_count"], thread["has_unanswered_inbound"]) == (2, True)
    assert agent("set_tags", mailbox.pk, email.pk, tags={"topic": "order"})["tags"] == {"topic": "order"}
    agent("delete_tag", mailbox.pk, email.pk, "topic")
    assert agent("get_tags", mailbox.pk, email.pk) == {"tags": {}}
    for _ in range(2):
        assert agent("cancel_email", mailbox.pk, reply["id"])["status"] == "cancelled"
    assert agent("report_spam", email.pk)["user_label"] == "spam"
    assert agent("not_spam", email.pk)["status"] == "unread"


def test_people_are_kept_found_and_forgotten(agent: PythonSdk, owner: PythonSdk) -> None:
    anna = agent("add_contact", email="anna@example.com", name="Anna", tags=["vip"])
    agent("add_contact", email="bob@example.com")
    assert [one["email"] for one in agent("list_contacts", q="ANN")] == ["anna@example.com"]
    agent("delete_contact", anna["id"])
    assert [one["email"] for one in agent("list_contacts")] == ["bob@example.com"]
    Suppression.objects.create(address="gone+1@example.com", reason="bounced")
    assert [one["email_address"] for one in owner("list_suppressions")] == ["gone+1@example.com"]
    owner("remove_suppression", "gone+1@example.com")
    assert owner("list_suppressions") == []


def test_mailboxes_are_made_changed_loosened_and_closed(owner: PythonSdk, mailbox: Mailbox) -> None:
    first = owner("create_mailbox", address="sales", display_name="Sales")
    assert (first["address"], first["oversight_mode"]) == ("sales@acme.test", "gated_send")
    wanted = {"address": "press@acme.test", "display_name": "Press", "oversight_mode": "autonomous"}
    assert owner("create_mailbox", **wanted)["status"] == "pending_approval"
    second = owner("create_mailbox", **wanted, approval_code=code())
    assert second["oversight_mode"] == "gated_send"
    assert {one["id"] for one in owner("list_mailboxes")} == {mailbox.pk, first["id"], second["id"]}
    assert owner("update_mailbox", first["id"], signature_block="Sales")["status"] == "updated"
    owner("update_mailbox", first["id"], signature_block=None, auto_cc=None)
    assert owner("list_mailboxes")[1]["signature_block"] is None
    asked = owner("request_upgrade", first["id"], target_mode="autonomous")
    assert asked["status"] == "upgrade_requested"
    refused(403, owner, "apply_upgrade", first["id"], code="AAA-AAA")
    assert owner("apply_upgrade", first["id"], code=code())["status"] == "upgraded"
    owner("delete_mailbox", first["id"])
    assert {one["id"] for one in owner("list_mailboxes")} == {mailbox.pk, second["id"]}


def test_keys_and_webhooks_take_a_persons_word(owner: PythonSdk, sdk: Sdk) -> None:
    wanted: dict[str, Any] = {"name": "Bot", "scopes": ["read", "send"]}
    assert owner("create_api_key", **wanted)["status"] == "pending_approval"
    made = owner("create_api_key", **wanted, approval_code=code())
    assert made["api_key"].startswith("mm_live_")
    assert made["id"] in {one["id"] for one in owner("list_api_keys")}
    assert owner("revoke_api_key", made["id"])["status"] == "pending_approval"
    wanted = {"url": "https://hooks.example/x", "events": ["message.received"], "secret": "s" * 20}
    owner("create_webhook", **wanted)
    hook = owner("create_webhook", **wanted, approval_code=code())
    assert (hook["signing_secret"], hook["events"]) == ("s" * 20, ["message.received"])
    assert [one["id"] for one in owner("list_webhooks")] == [hook["id"]]
    owner("delete_webhook", hook["id"])
    assert owner("list_webhooks") == []


def test_domains_are_added_verified_and_deleted(owner: PythonSdk, monkeypatch: pytest.MonkeyPatch) -> None:
    made = owner("add_domain", domain="acme.test")
    assert (made["status"], made["dkim_verified"]) == ("pending", False)
    with NameServer.running() as dns:
        monkeypatch.setattr(lookups, "resolver", dns.resolver)
        for record in made["dns_records"]:
            dns.publish(record["name"], record["type"], record["value"])
        assert owner("verify_domain", made["id"])["status"] == "active"
    assert [one["spf_verified"] for one in owner("list_domains")] == [True]
    owner("delete_domain", made["id"])
    assert owner("list_domains") == []


def test_the_account_is_shown_changed_counted_and_closed(owner: PythonSdk, agent: PythonSdk) -> None:
    assert owner("get_account")["is_active"] is True
    assert owner("update_account", name="Acme", physical_address="1 Main St")["name"] == "Acme"
    assert owner("update_account", physical_address=None)["physical_address"] == ""
    assert owner("get_usage")["emails_sent"] == 0
    assert [one["action"] for one in owner("get_audit_log")] == ["account.changed", "account.changed"]
    assert owner("delete_account")["status"] == "pending_approval"
    assert owner("delete_account", approval_code=code())["status"] == "deleted"
    refused(401, agent, "list_mailboxes")


def test_lists_that_are_asked_for_without_a_limit_are_whole(
    owner: PythonSdk, agent: PythonSdk, desk: PythonSdk, mailbox: Mailbox
) -> None:
    for number in range(24):
        factories.a_mailbox()
        agent("add_contact", email=f"person{number}@example.com")
        Suppression.objects.create(address=f"gone{number}@example.com", reason="bounced")
        agent("send_email", mailbox.pk, **LETTER | {"subject": str(number)})
    wholes = [
        owner("list_mailboxes"),
        owner("list_suppressions"),
        agent("list_contacts"),
        desk("list_pending"),
    ]
    assert [len(whole) for whole in wholes] == [25, 24, 24, 24]


def test_each_refusal_has_its_status_and_a_sentence(
    agent: PythonSdk, owner: PythonSdk, mailbox: Mailbox, settings: Settings
) -> None:
    other = factories.a_mailbox()
    refused(404, agent, "get_email", mailbox.pk, "em_00000000000000000000000000")
    refused(404, agent, "list_emails", other.pk)
    refused(403, agent, "decide", email_id="em_1", action="approve")
    refused(403, agent, "update_mailbox", mailbox.pk, display_name="Mine")
    wrong = refused(400, agent, "send_email", mailbox.pk, **LETTER | {"to": ["nobody"]})
    assert wrong.body["field"] == "to[0]"
    Mailbox.objects.filter(pk=other.pk).update(oversight_mode="read_only")
    refused(403, owner, "send_email", other.pk, **LETTER)
    settings.WRITE_LIMIT, settings.WRITE_BURST = 1, 1
    ApiKey.objects.update(bucket_full_at=0)
    agent("send_email", mailbox.pk, **LETTER)
    assert refused(429, agent, "send_email", mailbox.pk, **LETTER).retry_after >= 1


def test_no_call_is_left_out() -> None:
    source = Path(__file__).read_text()
    assert [name for name in CALLS if f'"{name}"' not in source] == []
