"""The page of what keys ask for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from approvals import mailbox_requests, operator_requests, upgrades
from approvals.mailbox_requests import Wanted
from approvals.models import OperatorRequest
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests.approvals.views.conftest import at_browser
from tests.approvals.views.test_set_up import press, shown
from tests.factories import a_key, a_mailbox, a_person, an_assistant


@pytest.fixture
def admin_key(mailbox: Mailbox) -> ApiKey:
    owner = an_assistant("Setter", scopes=["admin"], mailboxes=[mailbox])
    key = a_key(owner, scopes=["admin"], mailboxes=[mailbox])
    mailbox_requests.create_by_key(Wanted("first@acme.test"), by=key)  # made at once: it is the first
    return key


def a_request(key: ApiKey, address: str = "returns@acme.test") -> OperatorRequest:
    asked = mailbox_requests.create_by_key(Wanted(address), by=key)
    assert isinstance(asked, OperatorRequest)
    return asked


def test_without_requests_the_page_says_what_would_appear(ada: Client) -> None:
    assert "Nobody waits for your word" in shown(ada, "/requests")


def test_a_request_says_what_would_be_different_and_by_whom_it_was_asked(
    ada: Client, admin_key: ApiKey
) -> None:
    asked = a_request(admin_key)
    page = shown(ada, "/requests")
    for words in ("A new mailbox", "returns@acme.test", "gated_send", "Setter", admin_key.name):
        assert words in page
    assert operator_requests.open_code(asked) in page


def test_the_rail_counts_what_waits_for_administrators_only(
    ada: Client, rita: Client, admin_key: ApiKey
) -> None:
    a_request(admin_key)
    assert 'Requests <span class="n w">1</span>' in shown(ada, "/")
    assert "Requests" not in shown(rita, "/")


def test_it_happens_in_one_step(ada: Client, admin_key: ApiKey) -> None:
    asked = a_request(admin_key)
    assert "Done: a new mailbox" in press(ada, f"/requests/{asked.pk}/grant")
    assert Mailbox.objects.filter(address="returns@acme.test", key_links__key=admin_key).exists()
    page = shown(ada, "/requests")
    assert "ada@acme.test" in page.partition("Answered and expired")[2]
    assert "was answered" in press(ada, f"/requests/{asked.pk}/grant")


def test_it_is_refused_with_a_reason(ada: Client, admin_key: ApiKey) -> None:
    asked = a_request(admin_key)
    assert "Refused" in press(ada, f"/requests/{asked.pk}/refuse", reason="One is enough.")
    assert not Mailbox.objects.filter(address="returns@acme.test").exists()
    assert "One is enough." in shown(ada, "/requests")


def test_a_looser_mode_is_confirmed_first(ada: Client, admin_key: ApiKey, mailbox: Mailbox) -> None:
    asked = upgrades.ask(mailbox, "autonomous", by=admin_key)
    page = press(ada, f"/requests/{asked.pk}/grant")
    assert "from gated_send to autonomous" in page
    mailbox.refresh_from_db()
    assert mailbox.oversight_mode == "gated_send"
    press(ada, f"/requests/{asked.pk}/grant", confirmed="1")
    mailbox.refresh_from_db()
    assert mailbox.oversight_mode == "autonomous"


def test_codes_stand_before_administrators_only(
    ada: Client, rita: Client, otto: Client, admin_key: ApiKey
) -> None:
    asked = a_request(admin_key)
    code = operator_requests.open_code(asked)
    for client in (rita, otto):
        assert client.get("/requests").status_code == 403
        assert client.post(f"/requests/{asked.pk}/grant").status_code == 403
        assert client.post(f"/requests/{asked.pk}/refuse").status_code == 403
    OperatorRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    page = shown(ada, "/requests")
    assert code not in page
    assert "expired" in page


def test_an_administrator_of_some_mailboxes_sees_their_requests_only(
    admin_key: ApiKey, mailbox: Mailbox
) -> None:
    a_request(admin_key)
    elsewhere = a_mailbox("far@elsewhere.test")
    both = [mailbox, elsewhere]
    shared = a_key(an_assistant(scopes=["admin"], mailboxes=both), mailboxes=both)
    upgrades.ask(elsewhere, "autonomous", by=shared)
    near = at_browser(a_person("near@acme.test", "administrator", mailboxes=[mailbox]))
    far = at_browser(a_person("far@acme.test", "administrator", mailboxes=[a_mailbox()]))
    assert "returns@acme.test" in shown(near, "/requests")
    assert "far@elsewhere.test" not in shown(near, "/requests")
    assert "returns@acme.test" not in shown(far, "/requests")
    asked = OperatorRequest.objects.earliest("pk")
    assert far.post(f"/requests/{asked.pk}/grant").status_code == 404


@pytest.mark.parametrize("rows", [1, 3])
def test_the_page_costs_the_same_however_long(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries, admin_key: ApiKey, rows: int
) -> None:
    for n in range(rows):
        a_request(admin_key, f"box{n}@new.test")
        OperatorRequest.objects.filter(pk=a_request(admin_key, f"old{n}@new.test").pk).update(
            used_at=timezone.now()
        )
    with django_assert_num_queries(13):
        ada.get("/requests")
