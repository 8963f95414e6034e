"""Mail that leaves later gets another time from a person."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from approvals.actions.transitions import current
from approvals.models import OutboundMessage, User
from approvals.states import Status
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Mailbox
from tests.approvals.living import approved
from tests.approvals.test_scheduling import due_at, later
from tests.approvals.views.conftest import bound
from tests.approvals.views.test_set_up import press, shown

NEXT_WEEK = (timezone.now() + timedelta(days=7)).replace(second=0, microsecond=0)


def moved(client: Client, message: OutboundMessage, to: str = f"{NEXT_WEEK:%Y-%m-%dT%H:%M}") -> str:
    return press(client, f"/messages/{message.pk}/time", **bound(message), send_at=to)


@pytest.fixture
def deferred(api_key: ApiKey, mailbox: Mailbox) -> OutboundMessage:
    return later(api_key, timing="schedule_first")


def test_what_nobody_was_asked_about_is_asked_about_later(
    rita: Client, reviewer: User, deferred: OutboundMessage
) -> None:
    assert "Change the time" in shown(rita, f"/scheduled/{deferred.pk}")
    moved(rita, deferred)
    after = current(deferred)
    assert (after.status, after.send_at) == (Status.DEFERRED, NEXT_WEEK)
    assert due_at(after, "ask_deferred") == NEXT_WEEK
    last = Event.objects.latest("seq")
    assert (last.action, last.actor) == ("message.revised", reviewer.actor)


def test_what_was_approved_for_its_time_needs_another_decision(
    rita: Client, reviewer: User, api_key: ApiKey, mailbox: Mailbox
) -> None:
    message = approved(later(api_key), reviewer)
    assert message.status == Status.SCHEDULED
    assert "whoever decides is asked again" in shown(rita, f"/scheduled/{message.pk}")
    assert "It needs a decision" in moved(rita, message)
    after = current(message)
    assert (after.status, after.send_at) == (Status.PENDING, NEXT_WEEK)


@pytest.mark.parametrize(
    ("to", "sentence"),
    [("2020-01-01T09:00", "has passed"), ("soon", "Write the time"), ("", "required")],
)
def test_a_time_that_cannot_be_is_said(
    rita: Client, deferred: OutboundMessage, to: str, sentence: str
) -> None:
    assert sentence in moved(rita, deferred, to)
    assert current(deferred).send_at == deferred.send_at


def test_who_may_not_settle_may_not_move(otto: Client, eve: Client, deferred: OutboundMessage) -> None:
    form = {**bound(deferred), "send_at": "2030-01-01T09:00"}
    assert "Change the time" not in shown(otto, f"/scheduled/{deferred.pk}")
    assert otto.post(f"/messages/{deferred.pk}/time", form).status_code == 403
    assert eve.post(f"/messages/{deferred.pk}/time", form).status_code == 404


def test_it_is_cancelled_from_the_same_page(rita: Client, deferred: OutboundMessage) -> None:
    assert "Never send this mail?" in shown(rita, f"/scheduled/{deferred.pk}")
    press(rita, f"/messages/{deferred.pk}/settle/cancel", **bound(deferred))
    assert current(deferred).status == Status.CANCELLED
