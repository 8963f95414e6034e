"""What the published clients send in forms of their own, each of which is understood."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from approvals.models import OperatorRequest, OutboundMessage
from approvals.operator_requests import open_code
from assistants.models import ApiKey
from mailboxes.models import AllowlistEntry, Email, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, arrived

LETTER = {"to": ["anna@example.com"], "subject": "Your order", "markdown": "It has shipped."}


@pytest.fixture
def owner(mailbox: Mailbox) -> Caller:
    """An integration's program that administers all mailboxes."""
    return Caller(factories.a_key(factories.an_integration("Admin"), scopes=["admin"]))


def twice_encoded(body: object) -> bytes:
    """As Go writes bytes into JSON."""
    return json.dumps(base64.b64encode(json.dumps(body).encode()).decode()).encode()


class TestABodyThatIsEncodedTwice:
    """The MCP server of the CLI turns arguments into JSON, and the bytes of that into a JSON string."""

    def test_it_sends(self, agent: Caller, mailbox: Mailbox) -> None:
        answer = agent.raw(f"/v1/mailboxes/{mailbox.pk}/send", twice_encoded(LETTER))
        assert answer.status_code == 202
        assert OutboundMessage.objects.get().email.subject == "Your order"

    def test_no_arguments_are_an_empty_object(self, agent: Caller, mailbox: Mailbox) -> None:
        sent = agent.post(f"/v1/mailboxes/{mailbox.pk}/send", LETTER).json()
        path = f"/v1/mailboxes/{mailbox.pk}/emails/{sent['id']}/cancel"
        assert agent.raw(path, twice_encoded({})).json()["status"] == "cancelled"

    @pytest.mark.parametrize(
        "body", [b'"no base64"', twice_encoded([1]), twice_encoded("again"), b'"/w=="', b'"e30"', b'""']
    )
    def test_anything_else_in_a_string_is_malformed(
        self, agent: Caller, mailbox: Mailbox, body: bytes
    ) -> None:
        answer = agent.raw(f"/v1/mailboxes/{mailbox.pk}/send", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


class TestCallersThatCanOnlySayStrings:
    """The same server knows no other type of argument; models too write JSON where text is asked for."""

    def test_recipients_tags_and_files_come_as_json(self, agent: Caller, mailbox: Mailbox) -> None:
        file = {"name": "a.txt", "content_base64": "aGk=", "content_type": "text/plain"}
        letter = LETTER | {
            "to": '["anna@example.com", "bob@example.com"]',
            "attachments": json.dumps([file]),
        }
        sent = agent.post(f"/v1/mailboxes/{mailbox.pk}/send", letter)
        email = Email.objects.get(pk=sent.json()["id"])
        assert email.to == ["anna@example.com", "bob@example.com"]
        assert [one["name"] for one in email.attachments] == ["a.txt"]
        tagged = agent.put(f"/v1/mailboxes/{mailbox.pk}/emails/{email.pk}/tags", {"tags": '{"vip": "yes"}'})
        assert tagged.json()["tags"] == {"vip": "yes"}

    @pytest.mark.parametrize("scopes", ["read,send", "read send", '["read", "send"]', ["read", "send"]])
    def test_scopes_are_named_in_one_string_or_several(self, owner: Caller, scopes: Any) -> None:
        assert owner.post("/v1/api-keys", {"name": "Bot", "scopes": scopes}).status_code == 202
        assert OperatorRequest.objects.get().params["scopes"] == ["read", "send"]

    def test_events_and_flags(self, owner: Caller, mailbox: Mailbox) -> None:
        hook = {"url": "https://hooks.example/x", "events": "message.received, oversight.pending"}
        assert owner.post("/v1/webhooks", hook).status_code == 202
        assert OperatorRequest.objects.get().params["events"] == ["message.received", "oversight.pending"]
        for flag in ("false", 0, False):
            settings = {"scheduling_enabled": flag, "mcp_configured": 1}
            configured = owner.patch(f"/v1/mailboxes/{mailbox.pk}/configure", settings).json()
            assert (configured["scheduling_enabled"], configured["mcp_configured"]) == (False, True)

    @pytest.mark.parametrize("to", ["[", '["anna@example.com"', "[1]", "[[]]", "{}", "[NaN]", "[" * 5000])
    def test_what_only_looks_like_json_is_refused(self, agent: Caller, mailbox: Mailbox, to: str) -> None:
        answer = agent.post(f"/v1/mailboxes/{mailbox.pk}/send", LETTER | {"to": to})
        assert answer.status_code == 400
        assert answer.json()["field"].startswith("to")


def test_a_content_type_without_a_body_says_nothing(agent: Caller, owner: Caller, mailbox: Mailbox) -> None:
    """MultiMail's MCP server sends the header with every call, and no body where it has no arguments."""
    path = f"/v1/mailboxes/{mailbox.pk}"
    sent = agent.post(f"{path}/send", LETTER).json()
    calls = [
        (agent, "GET", path, 200),
        (agent, "POST", f"{path}/emails/{sent['id']}/cancel", 200),
        (agent, "POST", f"/v1/emails/{arrived(mailbox).pk}/report-spam", 200),
        (owner, "DELETE", "/v1/account", 202),
        (owner, "DELETE", path, 200),
    ]
    for caller, method, where, status in calls:
        answer = caller.generic(method, where, "", content_type="application/json")
        assert (method, where, answer.status_code) == (method, where, status)


@pytest.mark.parametrize("escaped", ["a/b", "a%2Fb", "a%20b", "%C3%BC", "100%25"])
def test_a_tag_is_deleted_by_its_name_escaped_or_not(agent: Caller, mailbox: Mailbox, escaped: str) -> None:
    tags = f"/v1/mailboxes/{mailbox.pk}/emails/{arrived(mailbox).pk}/tags"
    name = {"a/b": "a/b", "a%2Fb": "a/b", "a%20b": "a b", "%C3%BC": "ü", "100%25": "100%"}[escaped]
    agent.put(tags, {"tags": {name: "x", "kept": "y"}})
    assert agent.delete(f"{tags}/{escaped}").json() == {"deleted": True, "tags": {"kept": "y"}}


@pytest.mark.parametrize("named_by", ["pk", "pattern", "escaped"])
def test_an_allowlist_entry_is_taken_off_by_id_or_pattern(
    owner: Caller, mailbox: Mailbox, named_by: str
) -> None:
    entry = AllowlistEntry.objects.create(mailbox=mailbox, pattern="*@acme.test")
    named = {"pk": entry.pk, "pattern": "*@Acme.test", "escaped": "*%40acme.test"}[named_by]
    path = f"/v1/mailboxes/{mailbox.pk}/allowlist/{named}"
    assert owner.delete(path).status_code == 202
    code = open_code(OperatorRequest.objects.get())
    assert owner.delete(path, {"approval_code": code}).json() == {"status": "removed"}
    assert not AllowlistEntry.objects.exists()


def test_a_changed_key_says_that_it_was(owner: Caller, api_key: ApiKey) -> None:
    changed = owner.patch(f"/v1/api-keys/{api_key.pk}", {"name": "Renamed"}).json()
    assert (changed["name"], changed["status"]) == ("Renamed", "updated")


def test_usage_by_day_names_its_period(agent: Caller, mailbox: Mailbox) -> None:
    daily = agent.get("/v1/usage?from=1700000000000&to=1700086400000&breakdown=daily").json()
    assert daily == {"from": 1700000000000, "to": 1700086400000, "breakdown": "daily", "data": []}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/slug-check/acme"),
        ("POST", "/v1/billing/pricing-checkout"),
        ("GET", "/v1/billing/session-key?session_id=x"),
        ("GET", "/v1/confirm"),
    ],
)
def test_signing_up_needs_no_key_and_is_off(db: None, method: str, path: str) -> None:
    answer = Caller().generic(method, path, "", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "dashboard" in answer.json()["error"]
