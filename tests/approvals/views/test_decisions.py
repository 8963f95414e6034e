"""Pressing a button, being too late, and not being allowed to."""

from __future__ import annotations

import pytest
from django.test import Client

from approvals import actions
from approvals.actions.transitions import current
from approvals.models import OutboundMessage, User
from approvals.states import Status
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests.approvals.living import a_held_message, approved, failed, in_doubt
from tests.approvals.views.conftest import bound


def press(client: Client, message: OutboundMessage, what: str, **more: object) -> str:
    response = client.post(f"/messages/{message.pk}/{what}", bound(message, **more), follow=True)
    assert response.status_code == 200
    return response.content.decode()


def status(message: OutboundMessage) -> str:
    return current(message).status


def test_approving_sends_it_on_its_way_and_says_so(rita: Client, held: OutboundMessage) -> None:
    page = press(rita, held, "approve")
    assert status(held) == Status.APPROVED
    assert "Approved. It leaves for customer@northwind.example." in page
    assert f"/messages/{held.pk}" in page


def test_after_a_decision_the_next_case_opens(rita: Client, api_key: ApiKey, mailbox: Mailbox) -> None:
    first, second, third = (a_held_message(api_key, mailbox, subject=f"Number {n}") for n in range(3))
    response = rita.post(f"/messages/{second.pk}/approve", bound(second))
    assert response.headers["Location"] == f"/queue/{third.pk}"
    response = rita.post(f"/messages/{third.pk}/approve", bound(third, mailbox=mailbox.pk))
    assert response.headers["Location"] == f"/queue/{first.pk}?mailbox={mailbox.pk}"
    assert rita.post(f"/messages/{first.pk}/approve", bound(first)).headers["Location"] == "/"


def test_rejecting_keeps_the_reason(rita: Client, held: OutboundMessage) -> None:
    assert "Rejected. It will not be sent." in press(rita, held, "reject", reason="wrong facts")
    assert status(held) == Status.REJECTED
    assert held.decisions.get().reason == "wrong facts"


@pytest.mark.parametrize("late", ["approve", "reject"])
def test_the_second_reviewer_sees_who_was_first(
    bob: Client, reviewer: User, held: OutboundMessage, late: str
) -> None:
    approved(held, reviewer)
    response = bob.post(f"/messages/{held.pk}/{late}", bound(held, reason="no"))
    page = response.content.decode()
    assert response.status_code == 200
    assert f"Already approved by {reviewer.email}" in page
    assert "See what was sent" in page
    assert response.headers["HX-Push-Url"] == f"/queue/{held.pk}"


def test_a_case_decided_by_another_says_so_when_it_is_opened(
    bob: Client, reviewer: User, held: OutboundMessage
) -> None:
    approved(held, reviewer)
    page = bob.get(f"/queue/{held.pk}").content.decode()
    assert f"Approved by {reviewer.email}" in page
    assert 'data-key="a"' not in page


def test_an_approval_is_about_the_text_that_was_shown(rita: Client, held: OutboundMessage) -> None:
    page = rita.post(f"/messages/{held.pk}/approve", bound(held) | {"revision": 2}).content.decode()
    assert "the current revision is 1" in page
    assert status(held) == Status.PENDING


@pytest.mark.parametrize("missing", ["revision", "digest"])
def test_an_approval_that_names_no_text_is_none(rita: Client, held: OutboundMessage, missing: str) -> None:
    page = rita.post(f"/messages/{held.pk}/approve", bound(held) | {missing: ""}).content.decode()
    assert "did not say which text" in page
    assert status(held) == Status.PENDING


def test_what_is_alarming_takes_a_second_look(rita: Client, suspicious: OutboundMessage) -> None:
    assert "then confirm" in press(rita, suspicious, "approve")
    assert status(suspicious) == Status.PENDING
    press(rita, suspicious, "approve", confirmed="1")
    assert status(suspicious) == Status.APPROVED


@pytest.mark.parametrize("what", ["approve", "reject", "settle/cancel"])
def test_an_auditor_decides_nothing_and_reads_why(otto: Client, held: OutboundMessage, what: str) -> None:
    response = otto.post(f"/messages/{held.pk}/{what}", bound(held))
    assert response.status_code == 403
    assert "takes the" in response.content.decode()
    assert status(held) == Status.PENDING


def test_an_administrator_sees_the_button_off_and_why(ada: Client, held: OutboundMessage) -> None:
    page = ada.get(f"/queue/{held.pk}").content.decode()
    assert "Deciding takes the reviewer role" in page
    assert "disabled" in page
    assert ada.post(f"/messages/{held.pk}/approve", bound(held)).status_code == 403


@pytest.mark.parametrize("what", ["approve", "reject", "settle/retry"])
def test_an_outsider_decides_about_nothing(eve: Client, held: OutboundMessage, what: str) -> None:
    assert eve.post(f"/messages/{held.pk}/{what}", bound(held)).status_code == 404


@pytest.mark.parametrize("what", ["approve", "reject", "settle/retry"])
def test_looking_decides_nothing(rita: Client, held: OutboundMessage, what: str) -> None:
    assert rita.get(f"/messages/{held.pk}/{what}").status_code == 405
    assert status(held) == Status.PENDING


def test_the_first_of_two_approvals_asks_for_another_person(
    rita: Client, bob: Client, mailbox: Mailbox, api_key: ApiKey
) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(approvals_needed=2)
    mailbox.refresh_from_db()
    message = a_held_message(api_key, mailbox)
    assert "1 more is needed" in press(rita, message, "approve")
    assert "You approved this at" in rita.get(f"/queue/{message.pk}").content.decode()
    press(bob, message, "approve")
    assert status(message) == Status.APPROVED


def test_nothing_is_approved_while_everything_is_held(
    rita: Client, administrator: User, held: OutboundMessage
) -> None:
    actions.hold(None, by=administrator, reason="incident")
    case = rita.get(f"/queue/{held.pk}").content.decode()
    assert "Everything is held (incident); lift the hold before you approve." in case
    assert "Everything is held (incident)" in press(rita, held, "approve")
    assert status(held) == Status.PENDING


@pytest.mark.parametrize(
    ("choice", "after"),
    [("mark_sent", Status.SENT), ("send_again", Status.APPROVED), ("give_up", Status.FAILED)],
)
def test_a_delivery_in_doubt_is_settled_with_a_reason(
    rita: Client, reviewer: User, held: OutboundMessage, choice: str, after: Status
) -> None:
    message = in_doubt(held, reviewer)
    page = rita.get(f"/attention/{message.pk}").content.decode()
    assert "the connection was lost after the final dot" in page
    assert "Say how you know" in press(rita, message, f"settle/{choice}", box="attention")
    assert status(message) == Status.NEEDS_ATTENTION
    press(rita, message, f"settle/{choice}", box="attention", reason="their log says so")
    assert status(message) == after


@pytest.mark.parametrize(("choice", "after"), [("retry", Status.APPROVED), ("cancel", Status.CANCELLED)])
def test_a_failed_delivery_is_tried_again_or_left(
    ada: Client, reviewer: User, held: OutboundMessage, choice: str, after: Status
) -> None:
    message = failed(held, reviewer)
    assert "550 no such user" in ada.get(f"/attention/{message.pk}").content.decode()
    press(ada, message, f"settle/{choice}", box="attention", reason="the address exists now")
    assert status(message) == after


def test_an_unknown_settlement_is_not_found(rita: Client, held: OutboundMessage) -> None:
    assert rita.post(f"/messages/{held.pk}/settle/explode", bound(held)).status_code == 404
