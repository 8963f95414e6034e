"""MultiMail's own MCP server does its whole work here: each of its 38 tools, in its own form."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from approvals.models import OperatorRequest
from approvals.operator_requests import open_code
from assistants.models import ApiKey
from mailboxes.models import Mailbox, Suppression
from tests import factories
from tests.approvals.api.caller import arrived
from tests.clients.mcp_server import McpServer, ToolFailed, escaped
from tests.servers import AsgiServer

FILE = {"name": "the bill & more.txt", "content_base64": "MTIuNTA=", "content_type": "text/plain"}
LETTER = {"to": ["anna@example.com"], "subject": "Your order", "markdown": "It **has** shipped."}

Started = Callable[[ApiKey], McpServer]


@pytest.fixture
def started(live_server_asgi: AsgiServer, mailbox: Mailbox) -> Started:
    return lambda key: McpServer(live_server_asgi.url, key.secret, mailbox.pk)  # type: ignore[attr-defined]


@pytest.fixture
def agent(started: Started, api_key: ApiKey) -> McpServer:
    return started(api_key)


@pytest.fixture
def owner(started: Started) -> McpServer:
    return started(factories.a_key(factories.an_integration("Ops"), scopes=["admin"]))


@pytest.fixture
def desk(started: Started, oversight_key: ApiKey) -> McpServer:
    return started(oversight_key)


def code() -> str:
    return open_code(OperatorRequest.objects.order_by("-pk")[0])


def later(hours: int) -> str:
    return (timezone.now() + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_inbox_is_looked_through_read_and_answered(agent: McpServer, mailbox: Mailbox) -> None:
    before = agent.call("GET", "~/emails?limit=1")["emails"]
    assert (before, agent.arrived_since(None)) == ([], [])
    email = arrived(mailbox, "Where is it?")
    assert [one["id"] for one in agent.arrived_since(None, sender="anna", subject_contains="WHERE")] == [
        email.pk
    ]
    newest = agent.call("GET", "~/emails?limit=1")["emails"][0]["id"]
    assert agent.arrived_since(newest) == []
    long_ago, soon = "2020-01-01", later(1)
    filters = {"status": "unread", "sender": "ANNA@", "direction": "inbound", "limit": 100}
    found = agent.check_inbox(**filters, date_after=long_ago, date_before=soon)["emails"]
    assert [one["id"] for one in found] == [email.pk]
    assert agent.check_inbox(has_attachments=True)["emails"] == []
    read = agent.call("GET", f"~/emails/{email.pk}")
    assert (read["markdown"].strip(), read["status"]) == ("Please look.", "read")
    reply = {"markdown": "We look.", "cc": ["bob@example.com"], "attachments": [FILE], "idempotency_key": "r"}
    assert agent.call("POST", f"~/reply/{email.pk}", reply)["status"] == "pending_send_approval"
    assert agent.call("POST", f"~/reply/{email.pk}", reply)["status"] == "already_sent"
    thread = agent.call("GET", f"~/threads/{escaped(read['thread_id'])}")
    assert [one["direction"] for one in thread["emails"]] == ["inbound", "outbound"]
    link, octets = agent.download(thread["emails"][1]["id"], FILE["name"])
    assert (link["size_bytes"], link["expires_in"], octets) == (5, 3600, b"12.50")


def test_tags_are_set_got_and_deleted(agent: McpServer, mailbox: Mailbox) -> None:
    path = f"~/emails/{arrived(mailbox).pk}/tags"
    agent.call("PUT", path, {"tags": {"follow/up": "friday", "vip": "yes"}})
    assert agent.call("DELETE", f"{path}/{escaped('follow/up')}")["tags"] == {"vip": "yes"}
    assert agent.call("GET", path)["tags"] == {"vip": "yes"}


def test_mail_is_scheduled_edited_and_cancelled(agent: McpServer) -> None:
    wanted = LETTER | {"send_at": later(24), "gate_timing": "schedule_first", "bcc": ["boss@acme.test"]}
    made = agent.call("POST", "~/send", wanted)
    assert made["status"] == "scheduled"
    edited = {"send_at": later(48), "subject": "Your new order", "to": ["bob@example.com"]}
    assert agent.call("PATCH", f"~/emails/{made['id']}/schedule", edited)["status"] == "scheduled"
    assert agent.check_inbox(status="scheduled")["emails"][0]["subject"] == "Your new order"
    assert agent.call("POST", f"~/emails/{made['id']}/cancel")["status"] == "cancelled"


def test_what_is_pending_is_listed_with_its_body_and_decided(agent: McpServer, desk: McpServer) -> None:
    made = agent.call("POST", "~/send", LETTER)
    (pending,) = desk.call("GET", "/v1/oversight/pending")["emails"]
    assert (pending["id"], pending["body_markdown"].strip()) == (made["id"], "It **has** shipped.")
    decision = {"email_id": made["id"], "action": "reject", "reason": "Too soon."}
    with pytest.raises(ToolFailed, match="oversight"):
        agent.call("POST", "/v1/oversight/decide", decision)
    assert desk.call("POST", "/v1/oversight/decide", decision)["status"] == "rejected"


def test_contacts_and_suppressed_addresses(agent: McpServer, owner: McpServer) -> None:
    anna = {"name": "Anna", "email": "anna@example.com", "tags": ["vip"]}
    kept = agent.call("POST", "/v1/contacts", anna)
    assert agent.call("GET", "/v1/contacts?q=ann")["contacts"][0]["tags"] == ["vip"]
    assert agent.call("DELETE", f"/v1/contacts/{kept['id']}")["deleted"] is True
    Suppression.objects.create(address="gone+1@example.com", reason="bounced")
    listed = owner.call("GET", "/v1/suppression?limit=20")
    assert [one["email_address"] for one in listed["suppressions"]] == ["gone+1@example.com"]
    owner.call("DELETE", f"/v1/suppression/{escaped('gone+1@example.com')}")
    assert owner.call("GET", "/v1/suppression")["suppressions"] == []


def test_a_mailbox_is_configured_changed_loosened_and_made(owner: McpServer, mailbox: Mailbox) -> None:
    assert owner.call("GET", "~")["mcp_configured"] is False
    settings = {"display_name": "Acme", "default_gate_timing": "schedule_first", "scheduling_enabled": 0}
    configured = owner.call("PATCH", "~/configure", settings | {"mcp_configured": 1})
    assert (configured["mcp_configured"], configured["scheduling_enabled"]) == (True, False)
    changed = {"oversight_mode": "gated_all", "forward_inbound": False, "signature_block": None}
    assert owner.call("PATCH", "~", changed | {"webhook_url": None})["status"] == "updated"
    asked = owner.call("POST", "~/request-upgrade", {"target_mode": "gated_send"})
    assert asked["status"] == "upgrade_requested"
    assert owner.call("POST", "~/upgrade", {"code": code()})["status"] == "upgraded"
    assert owner.call("GET", "/v1/mailboxes")["mailboxes"][0]["oversight_mode"] == "gated_send"
    assert owner.call("POST", "/v1/mailboxes", {"address": "sales"})["address"] == "sales@acme.test"
    assert owner.call("DELETE", "~")["status"] == "deleted"


def test_the_office_is_run_by_tools_and_a_person(owner: McpServer, api_key: ApiKey) -> None:
    assert owner.call("GET", "/v1/account")["is_active"] is True
    named = owner.call("PATCH", "/v1/account", {"name": "Acme", "physical_address": None})
    assert (named["name"], named["physical_address"]) == ("Acme", "")
    assert owner.call("GET", "/v1/usage?period=summary")["emails_sent"] == 0
    assert owner.call("GET", "/v1/usage?period=daily")["data"] == []
    assert owner.call("GET", "/v1/audit-log?limit=50")["entries"][0]["action"] == "account.changed"
    wanted = {"name": "Bot", "scopes": ["read"]}
    assert owner.call("POST", "/v1/api-keys", wanted)["status"] == "pending_approval"
    assert owner.call("DELETE", f"/v1/api-keys/{api_key.pk}")["status"] == "pending_approval"
    assert len(owner.call("GET", "/v1/api-keys")["api_keys"]) == 2
    hook = {"url": "https://hooks.example/x", "events": ["message.received"]}
    owner.call("POST", "/v1/webhooks", hook)
    made = owner.call("POST", "/v1/webhooks", hook | {"approval_code": code()})
    assert made["signing_secret"].startswith("whsec_")
    assert [one["id"] for one in owner.call("GET", "/v1/webhooks")["subscriptions"]] == [made["id"]]
    assert owner.call("DELETE", f"/v1/webhooks/{made['id']}")["status"] == "deleted"
    assert owner.call("DELETE", "/v1/account")["status"] == "pending_approval"


def test_there_is_nothing_to_sign_up_for(agent: McpServer) -> None:
    for path in ("/v1/account/resend-confirmation", "/v1/confirm", "/v1/account/challenge"):
        with pytest.raises(ToolFailed, match="Sign-up is off") as refused:
            agent.public(path, {"code": "SKP-7D2-4V8"})
        assert refused.value.status == 404


def test_a_mailbox_that_only_reads_says_how_to_ask_for_more(agent: McpServer, mailbox: Mailbox) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(oversight_mode="read_only")
    with pytest.raises(ToolFailed, match="request-upgrade") as refused:
        agent.call("POST", "~/send", LETTER)
    assert refused.value.status == 403
