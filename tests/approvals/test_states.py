import pytest

from approvals.states import (
    FINAL,
    INBOUND_INITIAL,
    INBOUND_TRANSITIONS,
    INITIAL,
    TRANSITIONS,
    Status,
    inbound_sources,
    sources,
)
from mailboxes.models import Email


def test_every_status_has_its_transitions() -> None:
    assert TRANSITIONS.keys() == set(Status)
    assert INBOUND_TRANSITIONS.keys() == set(Email.InboundStatus)


def test_every_status_can_be_reached() -> None:
    assert set().union(*TRANSITIONS.values()) | INITIAL == set(Status)
    assert set().union(*INBOUND_TRANSITIONS.values()) | INBOUND_INITIAL == set(Email.InboundStatus)


def test_nothing_becomes_sent_but_by_sending_or_a_persons_word() -> None:
    assert sources(Status.SENT) == [Status.SENDING, Status.NEEDS_ATTENTION]
    assert set(sources(Status.SENDING)) == {Status.APPROVED, Status.SCHEDULED}


def test_needs_attention_is_never_left_for_sending_without_an_approval() -> None:
    assert Status.SENDING not in TRANSITIONS[Status.NEEDS_ATTENTION]


@pytest.mark.parametrize(
    "status", [Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.SUPERSEDED, Status.SENT]
)
def test_what_is_decided_stays_decided(status: Status) -> None:
    assert status in FINAL


def test_held_inbound_mail_is_decided_once() -> None:
    assert inbound_sources(Email.InboundStatus.REJECTED) == [Email.InboundStatus.PENDING]
