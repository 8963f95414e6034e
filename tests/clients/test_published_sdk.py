"""The Python SDK as it is published, both its clients: another base URL and key, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from approvals.models import OperatorRequest
from approvals.operator_requests import open_code
from assistants.models import ApiKey
from mailboxes import lookups
from mailboxes.models import Mailbox, Suppression
from tests import factories
from tests.approvals.api.caller import arrived
from tests.mailboxes.name_server import NameServer
from tests.servers import AsgiServer

with warnings.catch_warnings():
    # it says of itself that it is retired; the programs that use it are not
    warnings.simplefilter("ignore", FutureWarning)
    import multimail  # type: ignore[import-untyped]

FILE = {
    "name": "the bill.txt",
    "content_base64": base64.b64encode(b"12.50").decode(),
    "content_type": "text/plain",
}
ALL = {name for name, _ in inspect.getmembers(multimail.MultiMail, callable) if not name.startswith("_")}


class Client:
    """Either of the SDK's clients, and which of its methods were called."""

    called: set[str] = set()

    def __init__(self, kind: type, key: ApiKey, url: str) -> None:
        self._sdk = kind(key.secret, base_url=url)  # type: ignore[attr-defined]
        self._loop = asyncio.new_event_loop() if kind is multimail.AsyncMultiMail else None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._sdk, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.called.add(name)
            done = method(*args, **kwargs)
            return self._loop.run_until_complete(done) if self._loop else done

        return call

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """For the one thing that the SDK has no argument for: the code of a person."""
        done = self._sdk._request("POST", path, json=body)
        return self._loop.run_until_complete(done) if self._loop else done

    def shut(self) -> None:
        done = self._sdk.close()
        if self._loop:
            self._loop.run_until_complete(done)
            self._loop.close()


Opens = Callable[[ApiKey], Client]


@pytest.fixture(params=["MultiMail", "AsyncMultiMail"])
def opens(request: pytest.FixtureRequest, live_server_asgi: AsgiServer) -> Iterator[Opens]:
    opened: list[Client] = []

    def open_one(key: ApiKey) -> Client:
        opened.append(Client(getattr(multimail, request.param), key, live_server_asgi.url))
        return opened[-1]

    yield open_one
    for client in opened:
        client.shut()


def code() -> str:
    return open_code(OperatorRequest.objects.order_by("-pk")[0])


def test_its_whole_surface_is_served(
    opens: Opens,
    api_key: ApiKey,
    oversight_key: ApiKey,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Client.called = set()
    agent, desk = opens(api_key), opens(oversight_key)
    owner = opens(factories.a_key(factories.an_integration("Ops"), scopes=["admin"]))
    _mail(agent, desk, mailbox)
    _people(agent, owner)
    _office(owner, mailbox, monkeypatch)
    assert ALL - Client.called == {"close"}


def _mail(agent: Client, desk: Client, mailbox: Mailbox) -> None:
    email = arrived(mailbox)
    assert agent.list_emails(mailbox.pk, direction="inbound")["emails"][0]["id"] == email.pk
    assert agent.get_email(mailbox.pk, email.pk)["status"] == "read"
    letter = {"to": ["anna@example.com"], "subject": "Hi", "markdown": "Hi.", "attachments": [FILE]}
    sent = agent.send_email(mailbox.pk, **letter, idempotency_key="k1")
    assert agent.send_email(mailbox.pk, **letter, idempotency_key="k1")["status"] == "already_sent"
    assert agent.download_attachment(mailbox.pk, sent["id"], "the bill.txt") == b"12.50"
    reply = agent.reply_email(mailbox.pk, email.pk, markdown="We look.", cc=["bob@example.com"])
    assert agent.get_thread(mailbox.pk, reply["thread_id"])["message_count"] == 2
    assert agent.set_tags(mailbox.pk, email.pk, {"a": "b"}) == {"tags": {"a": "b"}}
    agent.delete_tag(mailbox.pk, email.pk, "a")
    assert agent.get_tags(mailbox.pk, email.pk) == {"tags": {}}
    assert {one["id"] for one in desk.list_pending()} == {sent["id"], reply["id"]}
    assert desk.decide(sent["id"], "approve")["status"] == "approved"
    assert agent.cancel_email(mailbox.pk, reply["id"])["status"] == "cancelled"
    with pytest.raises(multimail.NotFoundError):
        agent.get_email(mailbox.pk, "em_00000000000000000000000000")
    with pytest.raises(multimail.MultiMailError) as refused:
        agent.decide(reply["id"], "approve")
    assert refused.value.status_code == 403


def _people(agent: Client, owner: Client) -> None:
    kept = agent.add_contact("anna@example.com", "Anna", tags=["vip"])
    assert [one["name"] for one in agent.list_contacts(q="ann")] == ["Anna"]
    agent.delete_contact(kept["id"])
    Suppression.objects.create(address="gone+1@example.com", reason="bounced")
    assert len(owner.list_suppressions()) == 1
    owner.remove_suppression("gone+1@example.com")
    assert owner.list_suppressions() == []


def _office(owner: Client, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert owner.update_account(name="Acme")["name"] == owner.get_account()["name"] == "Acme"
    made = owner.create_mailbox("sales@acme.test", "Sales")
    assert owner.update_mailbox(made["id"], signature_block="Sales")["status"] == "updated"
    owner.delete_mailbox(made["id"])
    assert [one["id"] for one in owner.list_mailboxes()] == [mailbox.pk]
    assert owner.create_api_key("Bot", ["read"])["status"] == "pending_approval"
    key = owner.post("/v1/api-keys", {"name": "Bot", "scopes": ["read"], "approval_code": code()})
    assert key["id"] in {one["id"] for one in owner.list_api_keys()}
    owner.revoke_api_key(key["id"])
    wanted = {"url": "https://hooks.example/x", "events": ["message.received"]}
    assert owner.create_webhook(wanted["url"], wanted["events"])["status"] == "pending_approval"
    hook = owner.post("/v1/webhooks", wanted | {"approval_code": code()})
    assert [one["id"] for one in owner.list_webhooks()] == [hook["id"]]
    owner.delete_webhook(hook["id"])
    domain = owner.add_domain("acme.test")
    with NameServer.running() as dns:
        monkeypatch.setattr(lookups, "resolver", dns.resolver)
        assert owner.verify_domain(domain["id"])["status"] == "pending"
    assert len(owner.list_domains()) == 1
    owner.delete_domain(domain["id"])
    assert owner.get_usage()["emails_received"] == 1
    assert owner.get_audit_log(limit=5)[0]["action"].startswith("domain.")
    owner.delete_account()


def test_a_key_that_is_no_good_is_an_authentication_error(live_server_asgi: AsgiServer) -> None:
    with (
        closing(multimail.MultiMail("mm_live_nobody", base_url=live_server_asgi.url)) as client,
        pytest.raises(multimail.AuthenticationError),
    ):
        client.get_account()
