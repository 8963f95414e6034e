"""Two at once, on real connections: one wins, the other is told who did."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from approvals import actions, gate
from approvals.actions import dispatch
from approvals.actions.transitions import current
from approvals.errors import Conflict, DomainError, Duplicate
from approvals.models import Decision, OutboundMessage, OutboxEntry, User
from approvals.states import Status
from assistants.models import ApiKey
from audit.verify import verify
from mailboxes.envelope import Draft
from mailboxes.inbound import parse
from mailboxes.models import Conversation, Email, Mailbox
from tests.approvals import living

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ROUNDS = {"sqlite": 200, "postgresql": 20}


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run all `calls` from one starting shot, each in a thread; their results or errors, in order."""
    shot = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            shot.wait()
            return call()
        except DomainError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_of_two_reviewers_one_wins_and_the_other_sees_who(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, second_reviewer: User
) -> None:
    for _ in range(ROUNDS[connection.vendor]):
        message = living.a_held_message(api_key, mailbox)
        results = at_once(
            partial(actions.approve, message, by=reviewer, revision=1, digest=message.digest),
            partial(
                actions.reject, message, by=second_reviewer, reason="no", revision=1, digest=message.digest
            ),
        )
        lost = [result for result in results if isinstance(result, Conflict)]
        assert len(lost) == 1
        won = Decision.objects.get(message=message)
        assert won.by is not None
        assert won.by.email in lost[0].sentence
        after = current(message)
        assert after.status == (Status.APPROVED if won.verdict == "approve" else Status.REJECTED)
        promised = OutboxEntry.objects.filter(ref=message.pk).count()
        assert promised == (won.verdict == "approve")
    assert verify().ok


def test_two_first_approvals_of_two_are_both_counted(
    api_key: ApiKey, mailbox: Mailbox, reviewer: User, second_reviewer: User
) -> None:
    Mailbox.objects.update(approvals_needed=2)
    for _ in range(ROUNDS[connection.vendor] // 10):
        message = living.a_held_message(api_key, mailbox)
        at_once(
            partial(living.approved, message, reviewer),
            partial(living.approved, message, second_reviewer),
        )
        assert current(message).status == Status.APPROVED
        assert OutboxEntry.objects.filter(ref=message.pk).count() == 1


def test_one_call_sent_from_many_sides_is_one_message(api_key: ApiKey, mailbox: Mailbox) -> None:
    context = gate.Context("asst_1", "thread_1", "run_1", "call_1")
    draft = Draft(to=("a@b.example",), subject="Once", markdown="Only once.")
    results = at_once(*[lambda: gate.send(draft, mailbox, by=api_key, context=context)] * 8)
    assert len({result.message.pk for result in results}) == 1
    assert [result.repeated for result in results].count(False) == 1
    assert OutboundMessage.objects.count() == 1


def test_one_idempotency_key_from_many_sides_is_one_message(api_key: ApiKey, mailbox: Mailbox) -> None:
    draft = Draft(to=("a@b.example",), subject="Once", markdown="Only once.")
    results = at_once(*[lambda: gate.send(draft, mailbox, by=api_key, idempotency_key="k1")] * 50)
    assert len({result.message.pk for result in results}) == 1
    assert [result.repeated for result in results].count(False) == 1
    assert OutboundMessage.objects.count() == 1


def test_one_message_from_many_sides_without_a_key_is_one_and_the_others_are_told_which(
    api_key: ApiKey, mailbox: Mailbox
) -> None:
    draft = Draft(to=("a@b.example",), subject="Once", markdown="Only once.")
    results = at_once(*[lambda: gate.send(draft, mailbox, by=api_key)] * 50)
    (made,) = [result.message.pk for result in results if isinstance(result, gate.Submission)]
    told = [result.details["email_id"] for result in results if isinstance(result, Duplicate)]
    assert told == [made] * 49
    assert OutboundMessage.objects.count() == 1


def test_tightening_races_with_a_release_and_nothing_slips_through(
    api_key: ApiKey, mailbox: Mailbox, administrator: User
) -> None:
    for _ in range(ROUNDS[connection.vendor] // 10):
        Mailbox.objects.update(oversight_mode="autonomous")
        box = Mailbox.objects.get()
        at_once(
            partial(living.a_held_message, api_key, box),
            partial(actions.set_mode, box, "gated_send", by=administrator),
        )
        message = OutboundMessage.objects.order_by("-pk")[0]
        if message.status == Status.APPROVED:
            entry = OutboxEntry.objects.get(ref=message.pk)
            assert not dispatch.begin_sending(message, entry, message.email.recipients)
            dispatch.take_back(message)
        assert current(message).status == Status.PENDING


def test_a_reply_and_new_mail_in_one_conversation_do_not_wait_for_each_other(
    api_key: ApiKey, mailbox: Mailbox
) -> None:
    email = living.an_inbound(mailbox)
    data = f"From: a@b.example\r\nIn-Reply-To: {email.message_id}\r\n\r\nAnd?\r\n".encode()
    raw = gate.receive(mailbox, "a@b.example", mailbox.address, data)
    came: list[Any] = []
    arrival = threading.Thread(target=lambda: came.append(at_once(partial(gate.admit, raw, parse(data)))))
    with transaction.atomic():
        # the first row that a reply locks; its mailbox comes after it, and for mail that arrives before it
        Conversation.objects.filter(pk=email.conversation_id).update(subject="Order")
        arrival.start()
        arrival.join(0.5)
        gate.reply(email, Draft(to=(), markdown="Soon."), by=api_key)
    arrival.join()
    assert came
    assert Email.objects.filter(conversation=email.conversation_id).count() == 3
