"""What approve, reject and cancel promise."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import actions, gate
from approvals.actions.transitions import current, move
from approvals.errors import Conflict, Invalid, NotPermitted, Refused
from approvals.models import Decision, OutboundMessage, OutboxEntry, User
from approvals.permissions import check_decide, check_start_run, denial
from approvals.states import Status
from assistants.models import ApiKey, Assistant
from audit.models import Event
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals import living

pytestmark = [pytest.mark.django_db, pytest.mark.database]
Action = Event.Action


@pytest.fixture
def message(api_key: ApiKey, mailbox: Mailbox) -> OutboundMessage:
    return living.a_held_message(api_key, mailbox)


def events(message: OutboundMessage) -> list[str]:
    return list(Event.objects.filter(email_id=message.pk).order_by("seq").values_list("action", flat=True))


def promises() -> list[tuple[str, str]]:
    return list(OutboxEntry.objects.filter(done_at=None).values_list("kind", "ref"))


def test_an_approval_is_a_decision_a_promise_and_an_event(message: OutboundMessage, reviewer: User) -> None:
    after = actions.approve(message, by=reviewer, revision=1, digest=message.digest)
    assert after.status == Status.APPROVED
    assert after.approved_digest == after.digest
    decision = Decision.objects.get()
    assert (decision.by, decision.revision, decision.digest) == (reviewer, 1, message.digest)
    assert promises() == [("deliver_email", message.pk)]
    assert events(message) == [Action.MESSAGE_HELD, Action.MESSAGE_APPROVED]


def test_the_second_reviewer_sees_who_was_first(
    message: OutboundMessage, reviewer: User, second_reviewer: User
) -> None:
    living.approved(message, reviewer)
    with pytest.raises(Conflict) as caught:
        actions.reject(message, by=second_reviewer, reason="no")
    assert caught.value.sentence.startswith("Already approved by rita@acme.test, ")
    assert caught.value.details["decision"].decider == "rita@acme.test"
    assert current(message).status == Status.APPROVED


def test_a_decision_about_other_bytes_decides_nothing(message: OutboundMessage, reviewer: User) -> None:
    with pytest.raises(Conflict) as caught:
        actions.approve(message, by=reviewer, digest="0" * 64)
    assert caught.value.code == "stale_revision"
    with pytest.raises(Conflict):
        actions.reject(message, by=reviewer, reason="", revision=2)
    assert current(message).status == Status.PENDING


def test_past_the_first_revision_a_decision_must_name_it(message: OutboundMessage, reviewer: User) -> None:
    OutboundMessage.objects.update(revision=2)
    with pytest.raises(Conflict) as caught:
        actions.approve(message, by=reviewer)
    assert caught.value.code == "revision_required"
    assert caught.value.details["revision"] == 2
    assert actions.approve(message, by=reviewer, revision=2).status == Status.APPROVED


def test_two_approvals_take_two_people(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, second_reviewer: User
) -> None:
    Mailbox.objects.update(approvals_needed=2)
    message = living.a_held_message(api_key, mailbox)
    assert living.approved(message, reviewer).status == Status.PENDING
    with pytest.raises(Conflict) as caught:
        living.approved(message, reviewer)
    assert caught.value.code == "approved_by_you"
    assert current(message).approvals_given == 1
    assert not promises()
    assert living.approved(message, second_reviewer).status == Status.APPROVED
    assert events(message)[1:] == [Action.MESSAGE_APPROVAL_GIVEN, Action.MESSAGE_APPROVED]


def test_a_rejection_sends_nothing_and_keeps_the_reason(message: OutboundMessage, reviewer: User) -> None:
    after = actions.reject(message, by=reviewer, reason="  wrong recipient ")
    assert after.status == Status.REJECTED
    assert Decision.objects.get().reason == "wrong recipient"
    assert not promises()
    with pytest.raises(Conflict, match="Already rejected"):
        living.approved(message, reviewer)


@pytest.mark.parametrize("reason", ["x" * 2001, "nul\x00"])
def test_a_reason_is_plain_text_of_bounded_length(
    message: OutboundMessage, reviewer: User, reason: str
) -> None:
    with pytest.raises(Invalid):
        actions.reject(message, by=reviewer, reason=reason)


def test_who_may_not_decide_is_told_why(
    message: OutboundMessage, administrator: User, auditor: User, outsider: User, api_key: ApiKey
) -> None:
    for actor in (administrator, auditor, outsider, api_key):
        with pytest.raises(NotPermitted):
            actions.approve(message, by=actor)
        with pytest.raises(NotPermitted):
            actions.reject(message, by=actor, reason="")


def test_a_deciding_key_is_recorded_as_a_key(message: OutboundMessage, oversight_key: ApiKey) -> None:
    actions.approve(message, by=oversight_key)
    decision = Decision.objects.get()
    assert decision.by is None
    assert decision.by_key == oversight_key
    assert Event.objects.get(action=Action.MESSAGE_APPROVED).actor == f"key:{oversight_key.pk}"


def test_no_key_both_sends_and_decides(mailbox: Mailbox, assistant: Assistant, administrator: User) -> None:
    program = factories.an_integration()
    for scopes in (["oversight", "send"], ["oversight", "admin"], ["oversight", "read", "send"]):
        with pytest.raises(Invalid):
            actions.create_key(program, name="both", scopes=scopes, mailboxes=[mailbox], by=administrator)
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.a_key(program, scopes=scopes, mailboxes=[mailbox])
    with pytest.raises(Invalid):
        actions.create_key(assistant, name="decides", scopes=["oversight"], by=administrator)
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.a_key(assistant, scopes=["oversight"], mailboxes=[mailbox])


@pytest.mark.parametrize(
    "change", [{"oversight_mode": "read_only"}, {"held_at": "now"}, {"is_active": False}]
)
def test_nothing_is_approved_where_nothing_may_leave(
    message: OutboundMessage, reviewer: User, change: dict[str, object]
) -> None:
    change = {name: timezone.now() if value == "now" else value for name, value in change.items()}
    Mailbox.objects.update(**change)
    with pytest.raises(Refused):
        living.approved(message, reviewer)
    assert current(message).status == Status.PENDING
    assert actions.reject(message, by=reviewer, reason="").status == Status.REJECTED


def test_cancelling_is_idempotent_and_takes_the_promise_back(
    message: OutboundMessage, reviewer: User, api_key: ApiKey
) -> None:
    living.approved(message, reviewer)
    assert actions.cancel(message, by=api_key).status == Status.CANCELLED
    assert actions.cancel(message, by=api_key).status == Status.CANCELLED
    assert not promises()
    assert events(message).count(Action.MESSAGE_CANCELLED) == 1


def test_what_is_being_sent_cannot_be_cancelled(
    message: OutboundMessage, reviewer: User, api_key: ApiKey
) -> None:
    living.sending(message, reviewer)
    with pytest.raises(Conflict):
        actions.cancel(message, by=api_key)


def test_what_nobody_decides_expires_and_is_not_sent(message: OutboundMessage) -> None:
    assert not actions.expire(message)
    OutboundMessage.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    assert actions.expire(message)
    assert current(message).status == Status.EXPIRED
    assert not actions.expire(message)


def test_the_run_hears_each_outcome(assistant: Assistant, mailbox: Mailbox, reviewer: User) -> None:
    arguments = json.dumps({"to": "a@b.example", "subject": "s", "body": "b", "mailbox_id": mailbox.pk})
    told = {}
    for name in ("reject", "expire", "cancel"):
        run = living.a_waiting_run(assistant, mailbox, ("send_email", arguments))
        gate.dispatch_calls(run)
        message = OutboundMessage.objects.get(run=run)
        if name == "reject":
            actions.reject(message, by=reviewer, reason="tone")
        elif name == "cancel":
            actions.cancel(message, by=reviewer)
        else:
            OutboundMessage.objects.filter(pk=message.pk).update(deadline_at=timezone.now())
            actions.expire(message)
        told[name] = json.loads(run.calls.get().output or "")
        assert ("resume_run", run.pk) in promises()
    assert told["reject"]["status"] == "rejected"
    assert told["reject"]["reason"] == "tone"
    assert told["expire"]["status"] == "expired"
    assert told["cancel"]["status"] == "cancelled"
    assert all(output["sent"] is False for output in told.values())


def test_the_database_lets_nothing_be_sent_that_was_not_approved(message: OutboundMessage) -> None:
    for status in (Status.SENDING, Status.SENT, Status.NEEDS_ATTENTION):
        with pytest.raises(IntegrityError), transaction.atomic():
            OutboundMessage.objects.filter(pk=message.pk).update(status=status)


def test_a_move_that_the_state_machine_does_not_know_is_a_bug(message: OutboundMessage) -> None:
    with pytest.raises(ValueError, match="never becomes"):
        move(message, Status.REJECTED, Status.SENT)


def test_after_the_deadline_a_decision_hears_that_it_expired(
    message: OutboundMessage, reviewer: User
) -> None:
    OutboundMessage.objects.update(deadline_at=timezone.now())
    actions.expire(message)
    with pytest.raises(Conflict, match="This message is expired"):
        living.approved(message, reviewer)


def test_a_call_that_has_its_output_is_not_answered_again(
    assistant: Assistant, mailbox: Mailbox, reviewer: User
) -> None:
    arguments = json.dumps({"to": "a@b.example", "subject": "s", "body": "b"})
    run = living.a_waiting_run(assistant, mailbox, ("send_email", arguments))
    gate.dispatch_calls(run)
    run.calls.update(output='{"status": "sent"}')
    actions.reject(OutboundMessage.objects.get(run=run), by=reviewer, reason="late")
    assert run.calls.get().output == '{"status": "sent"}'


def test_a_button_that_is_off_says_why(message: OutboundMessage, reviewer: User, auditor: User) -> None:
    assert denial(check_decide, reviewer, message) == ""
    assert denial(check_decide, auditor, message).startswith("Deciding takes the reviewer role")


def test_starting_runs_is_for_those_who_act(assistant: Assistant, auditor: User) -> None:
    member = factories.a_person("x@acme.test", "reviewer", mailboxes=[])
    assert "role" in denial(check_start_run, auditor, assistant)
    assert "no mailbox of yours" in denial(check_start_run, member, assistant)
