"""What a client may read by address, and the requests that it finds ready."""

from __future__ import annotations

import json
import re

import pytest
from django.conf import settings
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent, TextResourceContents

from approvals.mcp import sets
from approvals.mcp.prompts import PROMPTS
from approvals.mcp.resources import IN_FORCE, KINDS
from assistants.models import ApiKey
from mailboxes.models import Mailbox, OversightMode
from tests import factories
from tests.approvals.api.caller import arrived
from tests.approvals.mcp.client import Talk, connected
from tests.servers import AsgiServer


def read(talk: Talk, uri: str) -> str:
    (content,) = talk.do(lambda client: client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text


def prompt(talk: Talk, name: str, **arguments: str) -> str:
    (message,) = talk.do(lambda client: client.get_prompt(name, arguments)).messages
    assert isinstance(message.content, TextContent)
    return message.content.text


def test_mailboxes_within_reach_are_listed_and_read(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    factories.a_mailbox("sales@acme.test")
    base = f"counterseal://mailboxes/{mailbox.pk}"
    with connected(live_server_asgi, api_key) as talk:
        listed = talk.do(lambda client: client.list_resources()).resources
        assert {one.uri for one in listed} == {base, f"{base}/oversight"}
        assert json.loads(read(talk, base))["address"] == mailbox.address
        templates = talk.do(lambda client: client.list_resource_templates()).resource_templates
        assert "counterseal://mailboxes/{mailbox_id}/threads/{thread_id}" in {
            one.uri_template for one in templates
        }


@pytest.mark.parametrize("mode", OversightMode.values)
def test_the_oversight_in_force_is_told_in_words(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox, mode: str
) -> None:
    Mailbox.objects.update(oversight_mode=mode)
    with connected(live_server_asgi, api_key) as talk:
        text = read(talk, f"counterseal://mailboxes/{mailbox.pk}/oversight")
    assert mode in text
    assert IN_FORCE[OversightMode(mode)] in text


def test_a_conversation_is_read_whole_with_its_bodies_marked(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    email = arrived(mailbox)
    with connected(live_server_asgi, api_key) as talk:
        text = read(talk, f"counterseal://mailboxes/{mailbox.pk}/threads/{email.conversation_id}")
    assert text.index("UNTRUSTED EMAIL BODY") < text.index("Please look.")
    email.refresh_from_db()
    assert email.inbound_status == "unread"


def test_what_is_out_of_reach_or_no_resource_is_an_error_with_a_sentence(
    live_server_asgi: AsgiServer, api_key: ApiKey
) -> None:
    theirs = factories.a_mailbox("sales@acme.test")
    with connected(live_server_asgi, api_key) as talk:
        for uri in (
            f"counterseal://mailboxes/{theirs.pk}",
            f"counterseal://mailboxes/{theirs.pk}/oversight",
            f"counterseal://mailboxes/{theirs.pk}/threads/thr_1",
            "counterseal://accounts/1",
            "file:///etc/passwd",
        ):
            with pytest.raises(MCPError, match=r"There is no such (mailbox|resource)\.") as caught:
                talk.do(lambda client, uri=uri: client.read_resource(uri))
            assert caught.value.data["code"] == "not_found"


def test_prompts_name_the_mailbox_and_the_oversight_in_force(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox
) -> None:
    email = arrived(mailbox)
    with connected(live_server_asgi, api_key) as talk:
        listed = talk.do(lambda client: client.list_prompts()).prompts
        assert {one.name for one in listed} == {"triage_inbox", "draft_reply"}
        assert mailbox.address in prompt(talk, "triage_inbox")
        drafting = prompt(talk, "draft_reply", email_id=email.pk, wishes="We are late.")
        assert email.pk in drafting
        assert "We are late." in drafting
        assert "oversight mode gated_send" in drafting


def test_prompts_are_for_keys_that_can_follow_them(
    live_server_asgi: AsgiServer, oversight_key: ApiKey, api_key: ApiKey
) -> None:
    with connected(live_server_asgi, oversight_key) as talk:
        listed = talk.do(lambda client: client.list_prompts()).prompts
        assert {one.name for one in listed} == {"triage_inbox", "review_pending"}
        assert "list_pending" in prompt(talk, "review_pending")
    with connected(live_server_asgi, api_key) as talk:
        for name in ("review_pending", "none", "draft_reply"):
            with pytest.raises(MCPError):
                prompt(talk, name)


def test_the_manual_names_what_there_is() -> None:
    manual = (settings.BASE_DIR / "docs/mcp.md").read_text()
    assert set(re.findall(r"`(counterseal://[^`]+)`", manual)) == {kind.template for kind in KINDS}
    assert all(f"`{one.name}`" in manual for one in PROMPTS)
    assert f"the {len(sets.CLASSIC)} that" in manual
    assert f"with {len(sets.NEWEST)}" in manual
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", manual)) - {one.name for one in PROMPTS} - {"retry_after"}
    assert named <= {tool.name for tool in sets.CLASSIC}
