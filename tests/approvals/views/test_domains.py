"""The pages of domains."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from approvals import actions
from approvals.actions.domains import records_of
from approvals.models import User
from mailboxes import lookups
from mailboxes.models import DkimKey, Domain
from tests.approvals.views.conftest import at_browser
from tests.approvals.views.test_set_up import press, shown
from tests.factories import a_mailbox, a_person
from tests.mailboxes.name_server import NameServer


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with NameServer.running() as server:
        monkeypatch.setattr(lookups, "resolver", server.resolver)
        yield server


def test_an_administrator_adds_one_and_is_told_what_to_enter(ada: Client) -> None:
    assert "No domain yet" in shown(ada, "/domains")
    page = press(ada, "/domains", domain="Acme.test")
    key = DkimKey.objects.get()
    assert f"{key.selector}._domainkey.acme.test" in page
    assert key.public_key.replace("+", "&#x2B;")[:40] in page or key.public_key[:40] in page
    assert "not looked yet" in page
    assert "waits for its records" in shown(ada, "/domains")


def test_what_is_wrong_is_said_on_the_page(ada: Client, administrator: User) -> None:
    actions.add_domain("acme.test", by=administrator)
    assert "is here already" in press(ada, "/domains", domain="acme.test")
    assert "not a whole domain" in press(ada, "/domains", domain="localhost")
    assert "required" in press(ada, "/domains", domain="")


def test_verifying_shows_what_was_found_of_each_record(
    ada: Client, administrator: User, dns: NameServer
) -> None:
    domain = actions.add_domain("acme.test", by=administrator)
    path = f"/domains/{domain.pk}"
    page = press(ada, f"{path}/verify")
    assert "There is no SPF record yet." in page
    for record in records_of(domain)[0]:
        value = "v=spf1 +all" if record["purpose"] == "spf" else record["value"]
        dns.publish(record["name"], record["type"], value)
    page = press(ada, f"{path}/verify")
    assert "It lets everybody send in this name" in page
    assert "v=spf1 +all" in page
    assert "a record is wrong" in page
    assert "signs</span>" in page
    assert "a record is wrong" in shown(ada, "/domains")


def test_a_key_is_rotated_and_the_domain_removed(ada: Client, administrator: User, dns: NameServer) -> None:
    domain = actions.add_domain("acme.test", by=administrator)
    path = f"/domains/{domain.pk}"
    assert "still waits for its record" in press(ada, f"{path}/rotate")
    for record in records_of(domain)[0]:
        dns.publish(record["name"], record["type"], record["value"])
    press(ada, f"{path}/verify")
    assert "A new key is made" in press(ada, f"{path}/rotate")
    assert DkimKey.objects.count() == 2
    assert "is removed" in press(ada, f"{path}/remove")
    assert not Domain.objects.exists()


def test_others_may_not_open_them(rita: Client, otto: Client, administrator: User) -> None:
    domain = actions.add_domain("acme.test", by=administrator)
    some = at_browser(a_person("sam@acme.test", "administrator", mailboxes=[a_mailbox()]))
    for client in (rita, otto, some):
        assert client.get("/domains").status_code == 403
        assert client.get(f"/domains/{domain.pk}").status_code == 403
        for act in ("verify", "rotate", "remove"):
            assert client.post(f"/domains/{domain.pk}/{act}").status_code == 403
        assert "/domains" not in shown(client, "/mailboxes")


@pytest.mark.parametrize("how_many", [1, 4])
def test_the_number_of_queries_does_not_grow(
    ada: Client, administrator: User, django_assert_num_queries: DjangoAssertNumQueries, how_many: int
) -> None:
    for number in range(how_many):
        actions.add_domain(f"acme{number}.test", by=administrator)
    shown(ada, "/domains")
    with django_assert_num_queries(10):
        shown(ada, "/domains")
