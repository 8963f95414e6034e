"""/v1/domains, as its callers see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoAssertNumQueries

from mailboxes import lookups
from mailboxes.models import Domain, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller
from tests.mailboxes.name_server import NameServer


@pytest.fixture
def manager(db: None) -> Caller:
    """An integration's program with the admin scope, over all mailboxes."""
    return Caller(factories.a_key(factories.an_integration(), scopes=["admin"]))


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with NameServer.running() as server:
        monkeypatch.setattr(lookups, "resolver", server.resolver)
        yield server


def test_a_domain_is_added_verified_listed_and_deleted(manager: Caller, dns: NameServer) -> None:
    added = manager.post("/v1/domains", {"domain": "Acme.test"})
    assert added.status_code == 201
    made = added.json()
    assert (made["domain"], made["status"], made["dkim_verified"]) == ("acme.test", "pending", False)
    for record in made["dns_records"]:
        dns.publish(record["name"], record["type"], record["value"])
    checked = manager.post(f"/v1/domains/{made['id']}/verify", {}).json()
    assert (checked["status"], checked["verified_at"]) == ("active", checked["checked_at"])
    assert all(checked[f"{name}_verified"] for name in ("dkim", "spf", "mx", "return_path"))
    assert manager.get(f"/v1/domains/{made['id']}").json() == checked
    listed = manager.get("/v1/domains").json()
    assert listed["domains"] == listed["items"] == [checked]
    assert manager.delete(f"/v1/domains/{made['id']}").json() == {"status": "deleted"}
    assert manager.get(f"/v1/domains/{made['id']}").status_code == 404
    assert not Domain.objects.exists()


def test_no_answer_holds_a_private_key(manager: Caller) -> None:
    made = manager.post("/v1/domains", {"domain": "acme.test"})
    assert "PRIVATE" not in made.content.decode()
    assert "private" not in made.content.decode()


@pytest.mark.parametrize("name", ["", "localhost", "no domain", "a@b.test", 5, None, ["a.test"], "x" * 300])
def test_what_is_no_domain_is_refused(manager: Caller, name: object) -> None:
    answer = manager.post("/v1/domains", {"domain": name})
    assert answer.status_code == 400
    assert answer.json()["fields"][0]["field"] == "domain"


def test_the_same_domain_twice_is_a_conflict(manager: Caller) -> None:
    manager.post("/v1/domains", {"domain": "acme.test"})
    answer = manager.post("/v1/domains", {"domain": "ACME.test"})
    assert (answer.status_code, answer.json()["code"]) == (409, "domain_exists")


def test_a_key_over_some_mailboxes_may_not(mailbox: Mailbox, dns: NameServer) -> None:
    some = Caller(factories.a_key(factories.an_integration(), scopes=["admin"], mailboxes=[mailbox]))
    domain = Domain.objects.create(name="acme.test")
    for answer in (
        some.get("/v1/domains"),
        some.post("/v1/domains", {"domain": "b.test"}),
        some.get(f"/v1/domains/{domain.pk}"),
        some.delete(f"/v1/domains/{domain.pk}"),
        some.post(f"/v1/domains/{domain.pk}/verify", {}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "needs_all_mailboxes")
    assert dns.asked == []


def test_a_key_without_admin_may_not(agent: Caller) -> None:
    assert agent.get("/v1/domains").status_code == 403


def test_a_domain_that_is_not_there_is_not_found(manager: Caller) -> None:
    for answer in (
        manager.get("/v1/domains/dom_none"),
        manager.delete("/v1/domains/dom_none"),
        manager.post("/v1/domains/dom_none/verify", {}),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize("how_many", [1, 5])
def test_the_number_of_queries_does_not_grow(
    manager: Caller, django_assert_num_queries: DjangoAssertNumQueries, how_many: int
) -> None:
    for number in range(how_many):
        manager.post("/v1/domains", {"domain": f"acme{number}.test"})
        factories.a_mailbox(f"support@acme{number}.test")
    manager.get("/v1/domains")
    # key, domains, their keys, their mailboxes
    with django_assert_num_queries(4):
        assert len(manager.get("/v1/domains").json()["domains"]) == how_many
