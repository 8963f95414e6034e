"""/v1/contacts and /v1/suppression."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from approvals import actions
from approvals.models import OutboundMessage, User
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Contact, Mailbox, Suppression
from tests import factories
from tests.approvals.api.caller import Caller, held


def test_a_contact_is_kept_found_and_removed(agent: Caller) -> None:
    kept = agent.post("/v1/contacts", {"name": "Zed", "email": "Zed@Far.test", "tags": ["printer"]})
    assert kept.status_code == 201
    assert kept.json()["email"] == "Zed@far.test"
    for query in ("?q=zed", "?query=FAR", ""):
        found = agent.get(f"/v1/contacts{query}").json()
        assert [one["name"] for one in found["contacts"]] == ["Zed"]
        assert found["items"] == found["contacts"]
    assert agent.get("/v1/contacts?q=nobody").json()["contacts"] == []
    assert agent.delete(f"/v1/contacts/{kept.json()['id']}").json() == {"status": "deleted", "deleted": True}
    assert not Contact.objects.exists()
    assert set(Event.objects.values_list("action", flat=True)) == {"contact.added", "contact.removed"}


def test_the_same_address_again_is_the_same_contact(agent: Caller) -> None:
    first = agent.post("/v1/contacts", {"email": "zed@far.test", "name": "Z"}).json()
    again = agent.post("/v1/contacts", {"email": "zed@far.test", "name": "Zed"}).json()
    assert (again["id"], again["name"]) == (first["id"], "Zed")


def test_an_address_book_is_its_owners(agent: Caller, stranger: Caller, manager: Caller) -> None:
    kept = agent.post("/v1/contacts", {"email": "zed@far.test"}).json()
    for other in (stranger, manager):
        assert other.get("/v1/contacts").json()["contacts"] == []
        assert other.delete(f"/v1/contacts/{kept['id']}").status_code == 404
    over_all = Caller(factories.a_key(factories.an_integration(), scopes=["read"]))
    assert len(over_all.get("/v1/contacts").json()["contacts"]) == 1


@pytest.mark.parametrize("email", ["", "zed", "a@b@c", "zed@far.test, x@far.test", "zed\n@far.test"])
def test_what_is_no_address_is_400(agent: Caller, email: str) -> None:
    answer = agent.post("/v1/contacts", {"email": email})
    assert (answer.status_code, answer.json()["field"]) == (400, "email")


def test_contacts_are_paged(agent: Caller) -> None:
    for number in range(3):
        agent.post("/v1/contacts", {"email": f"zed{number}@far.test"})
    first = agent.get("/v1/contacts?limit=2").json()
    second = agent.get(f"/v1/contacts?limit=2&cursor={first['cursor']}").json()
    emails = [one["email"] for one in first["contacts"] + second["contacts"]]
    assert emails == ["zed2@far.test", "zed1@far.test", "zed0@far.test"]
    assert second["cursor"] is None


@pytest.fixture
def owner(mailbox: Mailbox) -> Caller:
    return Caller(factories.a_key(factories.an_integration(), scopes=["admin"]))


@pytest.mark.parametrize(
    "escaped", ["gone+1@far.test", quote("gone+1@far.test"), quote(quote("gone+1@far.test"))]
)
def test_a_suppressed_address_is_listed_and_let_go_escaped_or_not(
    owner: Caller, administrator: User, escaped: str
) -> None:
    actions.suppress("Gone+1@far.test", "bounced", by=administrator)
    listed = owner.get("/v1/suppression").json()["suppressions"]
    assert [(one["email_address"], one["reason"]) for one in listed] == [("gone+1@far.test", "bounced")]
    assert owner.delete(f"/v1/suppression/{escaped}").json() == {"status": "removed"}
    assert owner.delete(f"/v1/suppression/{escaped}").status_code == 404
    assert not Suppression.objects.exists()


def test_letting_an_address_go_concerns_every_mailbox(manager: Caller, administrator: User) -> None:
    actions.suppress("gone@far.test", "bounced", by=administrator)
    refused = manager.delete("/v1/suppression/gone@far.test")
    assert (refused.status_code, refused.json()["code"]) == (403, "needs_all_mailboxes")
    assert Suppression.objects.exists()


def test_approved_mail_to_an_address_suppressed_meanwhile_never_leaves(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, administrator: User
) -> None:
    from approvals import tasks

    message = held(mailbox, api_key)
    actions.approve(message, by=reviewer, revision=1, digest=message.digest)
    actions.suppress("ANNA@example.com", "asked us to stop", by=administrator)
    actions.suppress("anna@example.com", "twice does no harm", by=administrator)
    tasks.deliver()
    after = OutboundMessage.objects.get()
    assert after.status == "failed"
    assert "asked us to stop" in after.delivery["error"]
