"""/v1/approve/{token}: following the link decides nothing, and pressing the button takes a reviewer."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import signing
from django.test import Client

from approvals import links, wire
from approvals.models import OutboundMessage
from approvals.states import Status
from assistants.models import ApiKey
from mailboxes.models import Email, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, arrived
from tests.approvals.views.conftest import at_browser, bound


@pytest.fixture
def path(held: OutboundMessage) -> str:
    return links.approve_url(held.pk).removeprefix("http://127.0.0.1:8000")


def status(message: OutboundMessage) -> str:
    return OutboundMessage.objects.get(pk=message.pk).status


def test_following_it_decides_nothing(rita: Client, path: str, held: OutboundMessage) -> None:
    for look in (rita.get, rita.head, rita.get):
        assert look(path).status_code == 200
    assert status(held) == Status.PENDING
    page = rita.get(path).content.decode()
    assert "Refund for order 88213" in page
    assert held.digest in page


@pytest.mark.parametrize(("action", "becomes"), [("approve", "approved"), ("reject", "rejected")])
def test_pressing_its_button_decides_about_the_text_that_it_showed(
    rita: Client, path: str, held: OutboundMessage, action: str, becomes: str
) -> None:
    done = rita.post(path, bound(held, action=action, reason="wrong amount"), follow=True)
    assert status(held) == becomes
    assert "Nothing to decide" in done.content.decode()


def test_who_has_the_link_and_is_not_signed_in_is_asked_to(client: Client, path: str, held: Any) -> None:
    for method in ("get", "post"):
        response = getattr(client, method)(path, bound(held, action="approve"))
        assert (response.status_code, response.headers["Location"][:8]) == (302, "/sign-in")
    assert status(held) == Status.PENDING


def test_a_key_is_no_person(path: str, held: OutboundMessage, oversight_key: ApiKey) -> None:
    assert Caller(oversight_key).post(path, {"action": "approve"}).status_code == 302
    assert status(held) == Status.PENDING


def test_out_of_reach_it_is_not_there_and_without_the_role_it_only_shows(
    eve: Client, otto: Client, path: str, held: OutboundMessage
) -> None:
    assert eve.get(path).status_code == 404
    assert eve.post(path, bound(held, action="approve")).status_code == 404
    assert "Approve and send" not in otto.get(path).content.decode()
    assert otto.post(path, bound(held, action="approve")).status_code == 403
    assert status(held) == Status.PENDING


def test_another_text_than_the_one_shown_is_not_decided_about(
    rita: Client, path: str, held: OutboundMessage
) -> None:
    stale = {"revision": held.revision, "digest": "0" * 64, "action": "approve"}
    rita.post(path, stale)
    rita.post(path, {"action": "approve"})
    rita.post(path, bound(held, action="fly"))
    assert status(held) == Status.PENDING


def test_alarms_are_confirmed_first(rita: Client, suspicious: OutboundMessage) -> None:
    path = links.approve_url(suspicious.pk).removeprefix("http://127.0.0.1:8000")
    assert "I have looked at the warnings" in rita.get(path).content.decode()
    rita.post(path, bound(suspicious, action="approve"))
    assert status(suspicious) == Status.PENDING
    rita.post(path, bound(suspicious, action="approve", confirmed="1"))
    assert status(suspicious) == Status.APPROVED


@pytest.mark.parametrize(("action", "becomes"), [("approve", "unread"), ("reject", "rejected")])
def test_held_mail_that_came_in_has_one_too(rita: Client, action: str, becomes: str) -> None:
    email = arrived(factories.a_mailbox(mode="gated_all"))
    path = links.approve_url(email.pk).removeprefix("http://127.0.0.1:8000")
    assert "Let it through" in rita.get(path).content.decode()
    rita.post(path, {"action": action, "reason": "spam"})
    assert Email.objects.get(pk=email.pk).inbound_status == becomes
    assert "Nothing to decide" in rita.get(path).content.decode()


def test_a_made_up_link_is_not_there(rita: Client, held: OutboundMessage) -> None:
    others = signing.Signer(salt="another").sign_object(held.pk)
    for token in ("x", f"{held.pk}:abc", others, signing.Signer(salt="approve link").sign_object([1])):
        assert rita.get(f"/v1/approve/{token}").status_code == 404


def test_whoever_oversees_by_key_is_given_the_link(
    oversight_key: ApiKey, held: OutboundMessage, mailbox: Mailbox
) -> None:
    pending = Caller(oversight_key).get("/v1/oversight/pending").json()["pending"][0]
    assert pending["approve_url"] == links.approve_url(held.pk)
    assert wire.word(held.status) == pending["status"]


def test_without_our_page_nothing_is_posted(reviewer: Any, path: str, held: OutboundMessage) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(reviewer, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.post(path, bound(held, action="approve")).status_code == 403
    assert at_browser(reviewer).post(path, bound(held, action="approve")).status_code == 302
