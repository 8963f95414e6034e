"""Which key sees which tools, and what becomes of a call that it may not make."""

from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from pytest_django import Settings

from approvals.mcp import sets
from approvals.mcp.shapes import Tool
from approvals.models import MailboxAssistant
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import arrived, held
from tests.approvals.mcp.client import connected
from tests.servers import AsgiServer

# the reference: every tool, with the arguments that must be there
CLASSIC = {
    "list_mailboxes": "",
    "configure_mailbox": "",
    "update_mailbox": "",
    "create_mailbox": "address_local_part",
    "delete_mailbox": "mailbox_id",
    "send_email": "to subject markdown",
    "schedule_email": "to subject markdown send_at",
    "edit_scheduled_email": "email_id",
    "cancel_message": "email_id",
    "reply_email": "email_id markdown",
    "check_inbox": "",
    "read_email": "email_id",
    "download_attachment": "email_id filename",
    "get_thread": "thread_id",
    "wait_for_email": "",
    "tag_email": "email_id action",
    "add_contact": "name email",
    "search_contacts": "",
    "delete_contact": "contact_id",
    "check_suppression": "",
    "remove_suppression": "email_address",
    "list_pending": "",
    "decide_email": "email_id action",
    "request_upgrade": "target_mode",
    "apply_upgrade": "code",
    "get_account": "",
    "update_account": "",
    "delete_account": "",
    "get_usage": "",
    "list_api_keys": "",
    "create_api_key": "name scopes",
    "revoke_api_key": "key_id",
    "get_audit_log": "",
    "create_webhook": "url events",
    "list_webhooks": "",
    "delete_webhook": "webhook_id",
    "activate_account": "code",
    "resend_confirmation": "oversight_email",
}
GONE = {"tag_email", "request_upgrade", "apply_upgrade", "check_suppression", "schedule_email"}
NEW = {
    "get_tags",
    "set_tags",
    "delete_tag",
    "manage_upgrade",
    "manage_spam_status",
    "list_suppression",
    "request_challenge",
    "create_account",
    "list_spam",
    "get_billing_portal",
    "upgrade_plan",
    "cancel_subscription",
    "list_allowlist",
    "add_allowlist_entry",
    "remove_allowlist_entry",
    "report_issue",
}
SEND_ARGUMENTS = """to subject markdown cc bcc attachments idempotency_key send_at gate_timing mailbox_id"""
INBOX_ARGUMENTS = """status sender subject_contains date_after date_before direction has_attachments since_id
limit cursor mailbox_id"""
SIGN_UP = {"activate_account", "resend_confirmation"}

EVERY = list({tool.name: tool for tool in (*sets.CLASSIC, *sets.NEWEST)}.values())


def test_the_38_of_the_reference_with_the_arguments_that_must_be_there() -> None:
    assert {tool.name: tool.required for tool in sets.CLASSIC} == {
        name: tuple(required.split()) for name, required in CLASSIC.items()
    }
    assert len(sets.CLASSIC) == 38


def test_the_newest_set() -> None:
    assert {tool.name for tool in sets.NEWEST} == (CLASSIC.keys() - GONE) | NEW
    assert len(sets.NEWEST) == 49


def test_the_arguments_have_the_names_of_the_reference() -> None:
    named = {tool.name: tool for tool in EVERY}
    assert list(named["send_email"].arguments) == SEND_ARGUMENTS.split()
    assert list(named["check_inbox"].arguments) == INBOX_ARGUMENTS.split()
    assert {"timeout_seconds", "filter"} <= named["wait_for_email"].arguments.keys()


@pytest.mark.parametrize("tool", EVERY, ids=lambda tool: tool.name)
def test_each_tool_says_what_it_is_and_stands_for_a_documented_call(tool: Tool, document: Any) -> None:
    assert tool.title
    assert tool.description.endswith(".")
    assert all(schema.get("description") for schema in tool.arguments.values())
    assert set(tool.required) <= tool.arguments.keys()
    assert not (tool.hints.reads and tool.hints.destroys)
    undocumented = ("/v1/confirm", "/v1/account/", "/v1/billing/")
    for method, path in tool.calls.values():
        if path.startswith(undocumented) or tool.name == "create_account":
            continue
        assert any(_same(path, known) and method.lower() in calls for known, calls in document.items()), path


def _same(path: str, known: str) -> bool:
    ours, theirs = path.split("/"), known.split("/")
    return len(ours) == len(theirs) and all(
        a == b or (a.startswith("{") and b.startswith("{")) for a, b in zip(ours, theirs, strict=True)
    )


@pytest.fixture(scope="module")
def document() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)["paths"]  # type: ignore[no-untyped-call]


def test_every_tool_carries_its_title_and_hints(live_server_asgi: AsgiServer, admin_key: ApiKey) -> None:
    with connected(live_server_asgi, admin_key) as talk:
        listed = talk.do(lambda client: client.list_tools()).tools
    for tool in listed:
        hints = tool.annotations
        assert tool.title
        assert hints
        assert hints.title == tool.title
        told = (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
        assert None not in told
        assert tool.input_schema["type"] == "object"
    named = {tool.name: tool.annotations for tool in listed}
    reading, deleting = named["check_inbox"], named["delete_mailbox"]
    assert reading
    assert deleting
    assert (reading.read_only_hint, deleting.destructive_hint) == (True, True)


def test_a_key_sees_what_its_scopes_let_it_do(
    live_server_asgi: AsgiServer, api_key: ApiKey, admin_key: ApiKey, oversight_key: ApiKey, mailbox: Mailbox
) -> None:
    reader = factories.a_key(factories.an_integration(), scopes=["read"], mailboxes=[mailbox])
    with connected(live_server_asgi, reader) as talk:
        reads = talk.names()
    with connected(live_server_asgi, api_key) as talk:
        sends = talk.names()
    with connected(live_server_asgi, admin_key) as talk:
        administers = talk.names()
    with connected(live_server_asgi, oversight_key) as talk:
        decides = talk.names()
    assert "send_email" in sends - reads
    assert "delete_mailbox" in administers - sends
    assert CLASSIC.keys() - administers == {"list_pending", "decide_email"}
    assert {"list_pending", "decide_email"} | reads == decides
    assert reads >= SIGN_UP


@pytest.mark.parametrize("kind", ["api_key", "admin_key"])
def test_deciding_does_not_exist_for_keys_that_write_mail(
    live_server_asgi: AsgiServer, request: pytest.FixtureRequest, kind: str, mailbox: Mailbox, api_key: ApiKey
) -> None:
    message = held(mailbox, api_key)
    with connected(live_server_asgi, request.getfixturevalue(kind)) as talk:
        assert "decide_email" not in talk.names()
        refused = talk.refused("decide_email", email_id=message.pk, action="approve")
        assert refused["code"] == "unknown_tool"
        assert talk.refused("list_pending")["code"] == "missing_scope"
    message.refresh_from_db()
    assert message.status == "pending"


def test_what_a_scope_forbids_is_refused_with_its_name(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    with connected(live_server_asgi, api_key) as talk:
        calls: dict[str, dict[str, Any]] = {
            "delete_mailbox": {"mailbox_id": mailbox.pk},
            "create_api_key": {"name": "Mine", "scopes": ["oversight"]},
            "delete_account": {},
            "remove_suppression": {"email_address": "a@example.com"},
        }
        for tool, arguments in calls.items():
            refused = talk.refused(tool, **arguments)
            assert (refused["status"], refused["code"]) == (403, "missing_scope")
            assert "admin" in refused["error"]
    mailbox.refresh_from_db()
    assert mailbox.is_active


def test_what_is_out_of_reach_does_not_exist(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    theirs = factories.a_mailbox("sales@acme.test")
    email = arrived(theirs)
    with connected(live_server_asgi, api_key) as talk:
        calls: dict[str, dict[str, Any]] = {
            "read_email": {"email_id": email.pk},
            "check_inbox": {"mailbox_id": theirs.pk},
            "wait_for_email": {"mailbox_id": theirs.pk},
            "get_thread": {"thread_id": email.conversation_id},
            "reply_email": {"email_id": email.pk, "markdown": "Hello."},
            "tag_email": {"email_id": email.pk, "action": "set", "tags": {"a": "b"}},
            "send_email": {"to": ["a@b.test"], "subject": "s", "markdown": "m", "mailbox_id": theirs.pk},
        }
        for tool, arguments in calls.items():
            refused = talk.refused(tool, **arguments)
            assert (refused["status"], refused["code"]) == (404, "not_found"), tool
        # and an email is not found through somebody else's mailbox
        own = arrived(mailbox)
        assert talk.refused("read_email", email_id=own.pk, mailbox_id=theirs.pk)["status"] == 404
    email.refresh_from_db()
    assert (email.inbound_status, email.tags) == ("unread", {})


def test_a_mode_refuses_with_its_sentence(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    Mailbox.objects.update(oversight_mode="read_only")
    with connected(live_server_asgi, api_key) as talk:
        refused = talk.refused("send_email", to=["a@example.com"], subject="Hi", markdown="Hello.")
    assert (refused["status"], refused["code"]) == (403, "mode_forbids")


def test_a_mailbox_need_be_named_only_when_there_are_several(
    live_server_asgi: AsgiServer, assistant: Any, mailbox: Mailbox
) -> None:
    second = factories.a_mailbox("sales@acme.test")
    MailboxAssistant.objects.create(assistant=assistant, mailbox=second)
    key = factories.a_key(assistant, mailboxes=[mailbox, second])
    email = arrived(second)
    with connected(live_server_asgi, key) as talk:
        refused = talk.refused("check_inbox")
        assert (refused["field"], refused["fields"][0]["code"]) == ("mailbox_id", "required")
        assert mailbox.pk in refused["error"]
        assert second.pk in refused["error"]
        assert len(talk.told("check_inbox", mailbox_id=second.pk)["emails"]) == 1
        # an email, or a thread, says where it is
        assert talk.told("read_email", email_id=email.pk)["mailbox_id"] == second.pk
        assert talk.told("get_thread", thread_id=email.conversation_id)["message_count"] == 1


def test_a_key_that_reaches_nothing_is_told_so(live_server_asgi: AsgiServer) -> None:
    key = factories.a_key(factories.an_integration(), mailboxes=[])
    with connected(live_server_asgi, key) as talk:
        assert talk.refused("check_inbox")["error"] == "This key reaches no mailbox."
        assert talk.told("list_mailboxes")["mailboxes"] == []


def test_another_set_is_another_list(
    live_server_asgi: AsgiServer, api_key: ApiKey, settings: Settings
) -> None:
    with connected(live_server_asgi, api_key) as talk:
        assert "tag_email" in talk.names()
        settings.MCP_TOOLS = "newest"
        assert "tag_email" not in talk.names()
        assert "set_tags" in talk.names()
        assert talk.refused("tag_email", email_id="em_1", action="get")["code"] == "unknown_tool"
