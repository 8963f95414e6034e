"""Each tool called once, by the official client, with what it then says and what then is."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from approvals.mcp import sets
from approvals.models import OperatorRequest, OutboundMessage, WebhookEndpoint
from approvals.operator_requests import open_code
from approvals.states import Status
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Account, Contact, Email, Mailbox, Suppression
from tests.approvals.api.caller import arrived, held
from tests.approvals.mcp.client import Talk, connected
from tests.servers import AsgiServer

DRAFT = {"to": ["anna@example.com"], "subject": "Your order", "markdown": "It has **shipped**."}
HELD = "pending_send_approval"


def code() -> str:
    return open_code(OperatorRequest.objects.order_by("-pk")[0])


def later() -> str:
    return (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def with_code(talk: Talk, tool: str, **arguments: Any) -> Any:
    """Ask, and do it with what the administrator was shown."""
    assert talk.told(tool, **arguments)["status"] == "pending_approval"
    return talk.told(tool, **arguments, approval_code=code())


@pytest.fixture
def newest(settings: Settings) -> None:
    settings.MCP_TOOLS = "newest"


def test_mail_is_sent_changed_and_taken_back(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    with connected(live_server_asgi, api_key) as talk:
        sent = talk.told("send_email", **DRAFT, idempotency_key="once")
        assert (sent["status"], sent["thread_id"][:4]) == (HELD, "thr_")
        assert talk.told("send_email", **DRAFT, idempotency_key="once")["status"] == "already_sent"
        scheduled = talk.told("schedule_email", **{**DRAFT, "subject": "Later"}, send_at=later())
        assert scheduled["status"] == HELD
        changed = talk.told("edit_scheduled_email", email_id=scheduled["id"], subject="Even later")
        assert changed == {"id": scheduled["id"], "status": HELD}
        cancelled = talk.told("cancel_message", email_id=scheduled["id"])
        assert cancelled == {"id": scheduled["id"], "status": "cancelled"}
    assert OutboundMessage.objects.get(pk=scheduled["id"]).email.subject == "Even later"
    assert OutboundMessage.objects.get(pk=sent["id"]).status == Status.PENDING


def test_an_email_is_found_read_and_answered(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    email, other = arrived(mailbox), arrived(mailbox, "Something else", sender="bob@example.com")
    with connected(live_server_asgi, api_key) as talk:
        first, warning = talk.blocks("check_inbox", sender="anna", status="unread", limit=5)
        (summary,) = json.loads(first)["emails"]
        assert (summary["id"], summary["subject"]) == (email.pk, "Where is it?")
        assert not {"markdown", "text_body", "html_body"} & summary.keys()
        assert "UNTRUSTED" in warning
        page = talk.told("check_inbox", limit=1)
        assert [one["id"] for one in page["emails"]] == [other.pk]
        page = talk.told("check_inbox", limit=1, cursor=page["cursor"])
        assert [one["id"] for one in page["emails"]] == [email.pk]
        metadata, body = talk.blocks("read_email", email_id=email.pk)
        assert json.loads(metadata)["status"] == "read"
        assert "Please look." in body
        reply = talk.told("reply_email", email_id=email.pk, markdown="On its way.")
        assert (reply["status"], reply["thread_id"]) == (HELD, email.conversation_id)
        thread = talk.told("get_thread", thread_id=email.conversation_id)
        assert [one["id"] for one in thread["emails"]] == [email.pk, reply["id"]]
        assert thread["has_unanswered_inbound"] is True


@pytest.mark.parametrize(("size", "inline"), [(10, True), (50_000, True), (50_001, False)])
def test_an_attachment_comes_along_or_as_a_link(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox, size: int, inline: bool
) -> None:
    data = b"x" * size
    file = {
        "name": "a b.txt",
        "content_base64": base64.b64encode(data).decode(),
        "content_type": "text/plain",
    }
    with connected(live_server_asgi, api_key) as talk:
        sent = talk.told("send_email", **DRAFT, attachments=[file])
        told = talk.told("download_attachment", email_id=sent["id"], filename="a b.txt")
        assert talk.refused("download_attachment", email_id=sent["id"], filename="none")["status"] == 404
    assert (told["filename"], told["content_type"], told["size_bytes"]) == ("a b.txt", "text/plain", size)
    assert ("content_base64" in told, "download_url" in told) == (inline, not inline)
    if inline:
        assert base64.b64decode(told["content_base64"]) == data
    else:
        assert told["expires_in_seconds"] == 3600


def test_tags_are_set_listed_and_deleted(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    email = arrived(mailbox).pk
    with connected(live_server_asgi, api_key) as talk:
        both = {"tags": {"topic": "order", "due": "today"}}
        assert talk.told("tag_email", email_id=email, action="set", **both) == both
        assert talk.told("tag_email", email_id=email, action="get") == both
        left = talk.told("tag_email", email_id=email, action="delete", key="due")
        assert left["tags"] == {"topic": "order"}
        assert talk.refused("tag_email", email_id=email, action="paint")["field"] == "action"
        assert talk.refused("tag_email", email_id=email, action="delete")["field"] == "key"


def test_tags_by_a_tool_each(
    newest: None, live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    email = arrived(mailbox).pk
    with connected(live_server_asgi, api_key) as talk:
        both = {"tags": {"a": "1", "a/b": "2"}}
        assert talk.told("set_tags", email_id=email, **both) == both
        assert talk.told("get_tags", email_id=email) == both
        assert talk.told("delete_tag", email_id=email, key="a/b")["tags"] == {"a": "1"}
        assert talk.told("delete_tag", email_id=email, key="a")["tags"] == {}


def test_spam_is_put_away_and_taken_back(
    newest: None, live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    email, quarantined = arrived(mailbox).pk, arrived(mailbox, "Win").pk
    Email.objects.filter(pk=quarantined).update(inbound_status="spam_quarantined")
    with connected(live_server_asgi, api_key) as talk:
        assert (
            talk.told("manage_spam_status", email_id=email, action="report")["status"] == "spam_quarantined"
        )
        assert {one["id"] for one in talk.told("list_spam")["emails"]} == {email, quarantined}
        assert talk.told("manage_spam_status", email_id=email, action="clear")["status"] == "unread"


def test_contacts_are_kept_found_and_removed(live_server_asgi: AsgiServer, api_key: ApiKey) -> None:
    with connected(live_server_asgi, api_key) as talk:
        kept = talk.told("add_contact", name="Anna", email="anna@example.com", tags=["customer"])
        found = talk.told("search_contacts", query="ann")
        assert (found["contacts"], "items" in found) == ([kept], False)
        assert talk.told("delete_contact", contact_id=kept["id"])["status"] == "deleted"
    assert not Contact.objects.exists()


def test_what_waits_is_listed_and_decided_by_a_deciding_key(
    live_server_asgi: AsgiServer, api_key: ApiKey, oversight_key: ApiKey, mailbox: Mailbox
) -> None:
    yes, no = held(mailbox, api_key), held(mailbox, api_key, "Another")
    with connected(live_server_asgi, oversight_key) as talk:
        listed, _, *bodies = talk.blocks("list_pending")
        assert [one["id"] for one in json.loads(listed)["pending"]] == [yes.pk, no.pk]
        assert "body_markdown" not in json.loads(listed)["pending"][0]
        assert ["It has shipped." in body for body in bodies] == [True, True]
        assert talk.told("decide_email", email_id=yes.pk, action="approve")["status"] == "approved"
        rejected = talk.told("decide_email", email_id=no.pk, action="reject", reason="No.", revision=1)
        assert rejected == {"id": no.pk, "status": "rejected"}
        late = talk.refused("decide_email", email_id=no.pk, action="approve")
        assert (late["status"], late["decision"]["verdict"]) == (409, "reject")


def test_mailboxes_are_made_set_and_closed(
    live_server_asgi: AsgiServer, admin_key: ApiKey, mailbox: Mailbox
) -> None:
    with connected(live_server_asgi, admin_key) as talk:
        made = talk.told("create_mailbox", address_local_part="sales", display_name="Sales")
        assert made["address"] == "sales@acme.test"
        again = with_code(talk, "create_mailbox", address_local_part="press")
        assert {box["id"] for box in talk.told("list_mailboxes")["mailboxes"]} == {
            mailbox.pk,
            made["id"],
            again["id"],
        }
        sales = {"mailbox_id": made["id"]}
        configured = talk.told(
            "configure_mailbox", **sales, oversight_mode="gated_all", signature_block="Acme"
        )
        assert (configured["oversight_mode"], configured["mcp_configured"]) == ("gated_all", True)
        assert talk.told("update_mailbox", **sales, signature_block=None) == {"status": "updated"}
        with_code(talk, "update_mailbox", **sales, auto_bcc="boss@acme.test")
        assert talk.refused("update_mailbox", **sales, oversight_mode="autonomous")["status"] in (400, 403)
        assert talk.told("delete_mailbox", **sales) == {"status": "deleted"}
    closed = Mailbox.objects.get(pk=made["id"])
    assert (closed.is_active, closed.signature_block, closed.auto_bcc) == (False, "", "boss@acme.test")


def test_oversight_is_loosened_by_a_persons_code_only(
    live_server_asgi: AsgiServer, admin_key: ApiKey, mailbox: Mailbox
) -> None:
    with connected(live_server_asgi, admin_key) as talk:
        assert talk.told("request_upgrade", target_mode="autonomous") == {"status": "upgrade_requested"}
        assert talk.refused("apply_upgrade", code="A7X-29K")["status"] == 403
        assert talk.told("apply_upgrade", code=code()) == {"status": "upgraded"}
    mailbox.refresh_from_db()
    assert mailbox.oversight_mode == "autonomous"


def test_oversight_by_one_tool(
    newest: None, live_server_asgi: AsgiServer, admin_key: ApiKey, mailbox: Mailbox
) -> None:
    with connected(live_server_asgi, admin_key) as talk:
        asked = talk.told("manage_upgrade", action="request", target_mode="autonomous")
        assert asked == {"status": "upgrade_requested"}
        assert talk.told("manage_upgrade", action="apply", code=code()) == {"status": "upgraded"}


def test_the_allowlist(
    newest: None, live_server_asgi: AsgiServer, admin_key: ApiKey, mailbox: Mailbox
) -> None:
    with connected(live_server_asgi, admin_key) as talk:
        added = with_code(talk, "add_allowlist_entry", pattern="*@example.com", note="Customers")
        assert talk.told("list_allowlist")["entries"] == [added]
        assert with_code(talk, "remove_allowlist_entry", entry_id=added["id"]) == {"status": "removed"}
        assert talk.told("list_allowlist")["count"] == 0


@pytest.mark.parametrize(
    ("which", "tool"), [("classic", "check_suppression"), ("newest", "list_suppression")]
)
def test_suppressed_addresses(
    live_server_asgi: AsgiServer, admin_key: ApiKey, settings: Settings, which: str, tool: str
) -> None:
    settings.MCP_TOOLS = which
    Suppression.objects.create(address="gone@example.com", reason="bounced")
    with connected(live_server_asgi, admin_key) as talk:
        (one,) = talk.told(tool, limit=5)["suppressions"]
        assert one["email_address"] == "gone@example.com"
        assert talk.told("remove_suppression", email_address="gone@example.com") == {"status": "removed"}
    assert not Suppression.objects.exists()


def test_the_account_is_read_changed_and_closed(live_server_asgi: AsgiServer, admin_key: ApiKey) -> None:
    with connected(live_server_asgi, admin_key) as talk:
        assert talk.told("get_account")["plan"] == "self-hosted"
        assert talk.told("update_account", name="Acme")["name"] == "Acme"
        changed = with_code(talk, "update_account", oversight_email="rita@acme.test")
        assert changed["oversight_email"] == "rita@acme.test"
        assert talk.told("get_usage")["emails_sent"] == 0
        assert isinstance(talk.told("get_usage", period="daily")["data"], list)
        assert with_code(talk, "delete_account") == {"status": "deleted"}
    assert Account.objects.get().closed_at


def test_keys_are_made_listed_and_ended(live_server_asgi: AsgiServer, admin_key: ApiKey) -> None:
    with connected(live_server_asgi, admin_key) as talk:
        made = with_code(talk, "create_api_key", name="Reader", scopes=["read"])
        assert made["api_key"].startswith("mm_live_")
        assert {one["name"] for one in talk.told("list_api_keys")["api_keys"]} == {"Reader", admin_key.name}
        assert with_code(talk, "revoke_api_key", key_id=made["id"]) == {"status": "revoked"}
        log = talk.told("get_audit_log", limit=2)
        assert log["entries"][0]["action"] == "key.revoked"


def test_webhooks_are_made_listed_and_ended(
    live_server_asgi: AsgiServer, admin_key: ApiKey, mailbox: Mailbox
) -> None:
    wanted = {"url": "https://hooks.example.com/in", "events": ["message.received"]}
    with connected(live_server_asgi, admin_key) as talk:
        made = with_code(talk, "create_webhook", **wanted, mailbox_id=mailbox.pk)
        assert made["signing_secret"].startswith("whsec_")
        (listed,) = talk.told("list_webhooks")["webhooks"]
        assert (listed["id"], listed["events"]) == (made["id"], ["message.received"])
        assert talk.told("delete_webhook", webhook_id=made["id"]) == {"status": "deleted"}
    assert not WebhookEndpoint.objects.visible_to(admin_key).exists()


def test_what_this_install_does_not_have_says_so(
    newest: None, live_server_asgi: AsgiServer, admin_key: ApiKey
) -> None:
    solved = {"algorithm": "SHA-256", "challenge": "c", "number": 1, "salt": "s", "signature": "s"}
    agreed = dict.fromkeys(("accepted_tos", "accepted_operator_agreement", "accepted_anti_spam_policy"), True)
    who = {"oversight_email": "rita@acme.test"}
    with connected(live_server_asgi, admin_key) as talk:
        sign_up = [
            talk.refused("activate_account", code="SKP-7D2-4V8"),
            talk.refused("resend_confirmation", **who),
            talk.refused("request_challenge"),
            talk.refused("create_account", operator_name="Acme", **who, **agreed, pow_solution=solved),
        ]
        billing = [
            talk.refused("get_billing_portal"),
            talk.refused("upgrade_plan", plan="pro"),
            talk.refused("cancel_subscription"),
        ]
    assert {(one["status"], "Sign-up is off" in one["error"]) for one in sign_up} == {(404, True)}
    assert {one["code"] for one in billing} == {"self_hosted"}


def test_an_issue_goes_into_the_log(newest: None, live_server_asgi: AsgiServer, api_key: ApiKey) -> None:
    with connected(live_server_asgi, api_key) as talk:
        told = talk.told("report_issue", description="The list is empty.", tool_name="check_inbox")
    assert told == {"status": "reported"}
    event = Event.objects.get(action="issue.reported")
    assert event.payload.body
    assert event.payload.body["description"] == "The list is empty."


def test_no_tool_was_left_out() -> None:
    called = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    names = {tool.name for tool in (*sets.CLASSIC, *sets.NEWEST)}
    assert {name for name in names if f'"{name}"' not in called} == set()
