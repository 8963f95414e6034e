"""The last look, the point of no return, and what becomes of a delivery."""

from __future__ import annotations

import pytest
from django.utils import timezone

from approvals import actions, outbox, tasks
from approvals.actions import dispatch
from approvals.actions.transitions import current
from approvals.errors import Conflict, DomainError, Invalid, NotPermitted, Refused
from approvals.models import Decision, OutboundMessage, OutboxEntry, User
from approvals.states import Status
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Account, Mailbox, Suppression
from tests.approvals import living

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def message(api_key: ApiKey, mailbox: Mailbox) -> OutboundMessage:
    return living.a_held_message(api_key, mailbox)


@pytest.fixture
def released(api_key: ApiKey, mailbox: Mailbox) -> OutboundMessage:
    """By the policy: nobody looked."""
    Mailbox.objects.update(oversight_mode="autonomous")
    mailbox.refresh_from_db()
    message = living.a_held_message(api_key, mailbox)
    assert message.status == Status.APPROVED
    return message


def begins(message: OutboundMessage, entry: OutboxEntry) -> bool:
    return dispatch.begin_sending(current(message), entry, message.email.recipients)


def test_a_release_by_the_policy_is_a_decision_of_nobody(released: OutboundMessage) -> None:
    decision = Decision.objects.get()
    assert (decision.by, decision.by_key, decision.decider) == (None, None, "policy")
    assert decision.reasons == ["support@acme.test is autonomous."]


@pytest.mark.parametrize(
    "change",
    [
        lambda: Mailbox.objects.update(held_at=timezone.now()),
        lambda: Mailbox.objects.update(is_active=False),
        lambda: Mailbox.objects.update(oversight_mode="read_only"),
        lambda: Account.objects.update(held_at=timezone.now()),
        lambda: Suppression.objects.create(address="customer@northwind.example", reason="asked to"),
        lambda: OutboundMessage.objects.update(approved_digest="0" * 64),
        lambda: OutboxEntry.objects.update(attempts=99),
        lambda: OutboxEntry.objects.update(done_at=timezone.now()),
    ],
)
def test_the_update_to_sending_carries_the_last_look(
    message: OutboundMessage, reviewer: User, change: object
) -> None:
    living.approved(message, reviewer)
    entry = living.leased(message)
    change()  # type: ignore[operator]
    assert not begins(message, entry)
    assert current(message).status == Status.APPROVED


def test_without_a_change_it_is_sent_once(message: OutboundMessage, reviewer: User) -> None:
    living.approved(message, reviewer)
    entry = living.leased(message)
    assert begins(message, entry)
    assert not begins(message, entry)


def test_what_the_policy_released_leaves_only_under_the_mode_that_released_it(
    released: OutboundMessage,
) -> None:
    entry = living.leased(released)
    Mailbox.objects.update(oversight_mode="gated_send")
    assert not begins(released, entry)
    assert dispatch.take_back(released)
    after = current(released)
    assert (after.status, after.approved_digest, after.released_mode) == (Status.PENDING, "", "")
    assert Decision.objects.get().voided_at


def test_a_looser_mode_releases_again_under_its_own_name(released: OutboundMessage) -> None:
    Account.objects.update(oversight_email="boss@acme.test")
    entry = living.leased(released)
    Mailbox.objects.update(oversight_mode="monitored")
    assert not dispatch.take_back(released)
    assert current(released).released_mode == "monitored"
    assert begins(released, entry)


def test_a_persons_approval_stands_when_the_mailbox_is_tightened(
    message: OutboundMessage, reviewer: User
) -> None:
    living.approved(message, reviewer)
    Mailbox.objects.update(oversight_mode="gated_all")
    assert not dispatch.take_back(message)
    assert begins(message, living.leased(message))


@pytest.mark.parametrize("shut", [{"oversight_mode": "read_only"}, {"held_at": "2026-11-22T00:00Z"}])
def test_read_only_and_hold_everything_return_even_a_persons_approval(
    message: OutboundMessage, reviewer: User, shut: dict[str, str]
) -> None:
    living.approved(message, reviewer)
    Mailbox.objects.update(**shut)
    assert dispatch.take_back(message)
    after = current(message)
    assert (after.status, after.approvals_given) == (Status.PENDING, 0)
    assert not OutboxEntry.objects.filter(done_at=None).exists()


def test_after_a_return_the_same_reviewer_can_approve_again(message: OutboundMessage, reviewer: User) -> None:
    living.approved(message, reviewer)
    Mailbox.objects.update(held_at=timezone.now())
    dispatch.take_back(message)
    Mailbox.objects.update(held_at=None)
    assert living.approved(message, reviewer).status == Status.APPROVED


def test_mail_to_the_suppressed_and_from_a_closed_mailbox_fails(
    message: OutboundMessage, reviewer: User, api_key: ApiKey, mailbox: Mailbox
) -> None:
    other = living.a_held_message(api_key, mailbox, to=("b@c.example",))
    living.approved(message, reviewer)
    living.approved(other, reviewer)
    Suppression.objects.create(address="customer@northwind.example", reason="asked to")
    assert dispatch.take_back(message)
    assert current(message).delivery["error"] == "customer@northwind.example is suppressed: asked to"
    Mailbox.objects.update(is_active=False)
    assert dispatch.take_back(other)
    assert current(other).status == Status.FAILED


def test_what_the_allowlist_let_pass_waits_again_once_it_is_off_the_list(
    api_key: ApiKey, mailbox: Mailbox, administrator: User
) -> None:
    listed = actions.allow(mailbox, "customer@northwind.example", by=administrator)
    kept, taken = (living.a_held_message(api_key, mailbox) for _ in range(2))
    assert not dispatch.take_back(kept)
    assert kept.decisions.count() == 1
    actions.disallow(listed, by=administrator)
    assert dispatch.take_back(taken)
    assert current(taken).status == Status.PENDING


def test_the_block_is_stored_once_and_for_ever(message: OutboundMessage) -> None:
    revision = dispatch.revision_of(message)
    first = dispatch.store_block(revision, b"Date: one\r\n")
    second = dispatch.store_block(revision, b"Date: two\r\n")
    assert bytes(second.block or b"") == b"Date: one\r\n"
    assert first.sent_digest == second.sent_digest


def test_a_lost_reply_needs_attention_and_nothing_else_happens(
    message: OutboundMessage, reviewer: User
) -> None:
    after = living.in_doubt(message, reviewer)
    assert after.status == Status.NEEDS_ATTENTION
    assert after.delivery["error"]


def test_a_reply_that_comes_after_the_lease_is_evidence_not_a_status(
    message: OutboundMessage, reviewer: User
) -> None:
    living.in_doubt(message, reviewer)
    lost = OutboxEntry.objects.get(kind=OutboxEntry.Kind.DELIVER_EMAIL)
    dispatch.record_sent(message, lost, living.EVIDENCE)
    after = current(message)
    assert after.status == Status.NEEDS_ATTENTION
    assert after.delivery["late"]["reply"] == "250 2.0.0 queued as 1"


def test_a_delay_keeps_the_approval(message: OutboundMessage, reviewer: User) -> None:
    message = living.sending(message, reviewer)
    dispatch.record_delay(message, {"error": "451 busy"})
    message = current(message)
    assert current(message).status == Status.APPROVED
    dispatch.record_delay(message, {"error": "no connection"})
    assert current(message).delivery == {"error": "no connection"}
    actions.cancel(message, by=reviewer)
    before = Event.objects.count()
    dispatch.record_delay(message, {"error": "too late"})
    dispatch.record_unknown(message, {})
    assert Event.objects.count() == before


def test_a_worker_that_was_long_asleep_ends_nobody_elses_delivery(
    message: OutboundMessage, reviewer: User
) -> None:
    asleep = living.sending(message, reviewer)
    lost = OutboxEntry.objects.get(kind=OutboxEntry.Kind.DELIVER_EMAIL)
    OutboxEntry.objects.update(leased_until=None)
    tasks.deliver()
    actions.send_again(message, by=reviewer, digest=message.digest)
    assert dispatch.begin_sending(current(message), living.leased(message), message.email.recipients)
    dispatch.record_delay(asleep, {"error": "451 busy"})
    dispatch.record_failed(asleep, "550 no", {})
    dispatch.record_unknown(asleep, {})
    assert current(message).status == Status.SENDING
    dispatch.record_sent(asleep, lost, living.EVIDENCE)
    assert current(message).status == Status.SENDING
    assert current(message).delivery["late"] == living.EVIDENCE


class TestSettling:
    def test_a_person_says_that_it_arrived(self, message: OutboundMessage, reviewer: User) -> None:
        living.in_doubt(message, reviewer)
        assert (
            actions.mark_sent(message, by=reviewer, digest=message.digest, reason="they answered").status
            == "sent"
        )
        assert Decision.objects.filter(verdict="mark_sent").get().reason == "they answered"

    def test_a_person_gives_up(self, message: OutboundMessage, administrator: User, reviewer: User) -> None:
        living.in_doubt(message, reviewer)
        assert actions.give_up(message, by=administrator, digest=message.digest).status == Status.FAILED

    def test_sending_again_is_a_decision_of_its_own(self, message: OutboundMessage, reviewer: User) -> None:
        living.in_doubt(message, reviewer)
        outbox.drain({OutboxEntry.Kind.DELIVER_EMAIL: lambda entry: None})
        OutboxEntry.objects.update(done_at=timezone.now())
        assert actions.send_again(message, by=reviewer, digest=message.digest).status == Status.APPROVED
        assert OutboxEntry.objects.filter(done_at=None, ref=message.pk).exists()
        with pytest.raises(Conflict):
            actions.send_again(message, by=reviewer, digest=message.digest)

    def test_what_failed_can_be_tried_again(self, message: OutboundMessage, reviewer: User) -> None:
        living.failed(message, reviewer)
        assert actions.retry(message, by=reviewer, digest=message.digest).status == Status.APPROVED
        assert Event.objects.filter(action=Event.Action.MESSAGE_RETRIED).exists()

    def test_the_digest_must_be_the_messages(self, message: OutboundMessage, reviewer: User) -> None:
        living.in_doubt(message, reviewer)
        with pytest.raises(DomainError) as caught:
            actions.mark_sent(message, by=reviewer, digest="0" * 64)
        assert caught.value.code == "digest_mismatch"

    def test_only_who_may(
        self, message: OutboundMessage, reviewer: User, auditor: User, outsider: User
    ) -> None:
        living.in_doubt(message, reviewer)
        for actor in (auditor, outsider):
            with pytest.raises(NotPermitted):
                actions.send_again(message, by=actor, digest=message.digest)

    def test_nothing_is_sent_again_while_everything_is_held(
        self, message: OutboundMessage, reviewer: User
    ) -> None:
        living.in_doubt(message, reviewer)
        Account.objects.update(held_at=timezone.now(), held_reason="incident")
        with pytest.raises(Refused):
            actions.send_again(message, by=reviewer, digest=message.digest)
        assert actions.mark_sent(message, by=reviewer, digest=message.digest).status == Status.SENT


class TestModes:
    def test_tightening_takes_back_what_the_policy_released(
        self, released: OutboundMessage, mailbox: Mailbox, administrator: User
    ) -> None:
        actions.set_mode(mailbox, "gated_send", by=administrator)
        after = current(released)
        assert after.status == Status.PENDING
        assert after.reasons == ["support@acme.test was tightened to gated_send."]

    def test_tightening_leaves_a_persons_approval_but_read_only_does_not(
        self, message: OutboundMessage, mailbox: Mailbox, administrator: User, reviewer: User
    ) -> None:
        living.approved(message, reviewer)
        actions.set_mode(mailbox, "gated_all", by=administrator)
        assert current(message).status == Status.APPROVED
        actions.set_mode(mailbox, "read_only", by=administrator)
        assert current(message).status == Status.PENDING

    def test_the_same_mode_is_no_change(self, mailbox: Mailbox, administrator: User) -> None:
        actions.set_mode(mailbox, mailbox.oversight_mode, by=administrator)
        assert not Event.objects.filter(action=Event.Action.MAILBOX_MODE_CHANGED).exists()

    def test_monitored_needs_an_oversight_address(self, mailbox: Mailbox, administrator: User) -> None:
        Account.objects.update(oversight_email="")
        with pytest.raises(Invalid):
            actions.set_mode(mailbox, "monitored", by=administrator)
        with pytest.raises(Invalid):
            actions.set_mode(mailbox, "gate", by=administrator)

    def test_only_an_administrator_of_it(self, mailbox: Mailbox, reviewer: User, outsider: User) -> None:
        for actor in (reviewer, outsider):
            with pytest.raises(NotPermitted):
                actions.set_mode(mailbox, "gated_all", by=actor)
            with pytest.raises(NotPermitted):
                actions.hold(None, by=actor, reason="")

    @pytest.mark.parametrize("everywhere", [True, False])
    def test_hold_everything_returns_all_and_lifting_leaves_them_with_the_reviewers(
        self,
        message: OutboundMessage,
        mailbox: Mailbox,
        administrator: User,
        reviewer: User,
        everywhere: bool,
    ) -> None:
        living.approved(message, reviewer)
        where = None if everywhere else mailbox
        assert actions.hold(where, by=administrator, reason="incident 7") == 1
        assert current(message).reasons == ["Everything is held: incident 7"]
        with pytest.raises(Refused, match="incident 7"):
            living.approved(message, reviewer)
        actions.lift_hold(where, by=administrator)
        assert current(message).status == Status.PENDING
        assert living.approved(message, reviewer).status == Status.APPROVED


@pytest.mark.parametrize(
    "change",
    [{"is_active": False}, {"held_at": "2026-11-22T00:00Z"}, {"oversight_mode": "monitored"}],
    ids=["closed", "held", "moved"],
)
def test_what_was_cancelled_meanwhile_is_left_as_it_is(
    released: OutboundMessage, reviewer: User, change: dict[str, object]
) -> None:
    """Whoever looks with an older picture finds nothing to take back."""
    Account.objects.update(oversight_email="boss@acme.test")
    actions.cancel(released, by=reviewer)
    Mailbox.objects.update(**change)
    before = Event.objects.count()
    dispatch.take_back(released)
    assert current(released).status == Status.CANCELLED
    assert Event.objects.count() == before


def test_suppression_does_not_look_at_letter_case(api_key: ApiKey, mailbox: Mailbox, reviewer: User) -> None:
    message = living.a_held_message(api_key, mailbox, to=("Customer@northwind.example",))
    living.approved(message, reviewer)
    Suppression.objects.create(address="customer@northwind.example", reason="asked to")
    assert not begins(message, living.leased(message))
    assert dispatch.take_back(message)


def test_loosening_releases_nothing_by_itself(
    message: OutboundMessage, mailbox: Mailbox, administrator: User
) -> None:
    actions.set_mode(mailbox, "autonomous", by=administrator)
    assert current(message).status == Status.PENDING
