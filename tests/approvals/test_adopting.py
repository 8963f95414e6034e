"""Adopting a run: from one UPDATE on, Counterseal answers it, and each call still has one message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.db import connections
from django.utils import timezone

from approvals import actions, effects, gate, tasks
from approvals.actions.transitions import current
from approvals.errors import Conflict, DomainError, Invalid, NotFound, NotPermitted
from approvals.gate import Context
from approvals.models import OutboundMessage, OutboxEntry, User
from assistants.models import ApiKey, Assistant, Connection, Run
from assistants.observe import SeenCall, observe, record_outputs
from assistants.runtimes import Snapshot
from audit.models import Event
from mailboxes.envelope import Draft
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals import living
from tests.approvals.far_side import FarSide

pytestmark = [pytest.mark.django_db, pytest.mark.database]

THREAD, RUN = "thread_theirs", "run_theirs"
ARGUMENTS = {"to": "a@b.example", "subject": "One", "body": "b"}
DRAFT = Draft(to=("a@b.example",), subject="One", markdown="b")


@pytest.fixture
def foreign(assistant: Assistant) -> Assistant:
    assistant.connection = factories.a_connection(
        protocol=Connection.Protocol.ASSISTANTS, base_url="http://runs.example/v1"
    )
    assistant.save()
    return assistant


@pytest.fixture
def key(foreign: Assistant, mailbox: Mailbox) -> ApiKey:
    return factories.a_key(foreign, mailboxes=[mailbox])


@pytest.fixture
def theirs(far_side: FarSide) -> FarSide:
    """A run at the far side that its caller made, and that waits for one send."""
    call = SeenCall("call_1", "send_email", json.dumps(ARGUMENTS))
    far_side.runs[RUN] = Snapshot(RUN, THREAD, "asst_1", "requires_action", [call])
    return far_side


def adopt(by: ApiKey | User, assistant: Assistant | None = None) -> Run:
    owner = assistant or (by.assistant if isinstance(by, ApiKey) else None)
    assert owner
    return effects.adopt(owner, thread_id=THREAD, run_id=RUN, by=by)


def work() -> None:
    for _ in range(4):
        OutboxEntry.objects.filter(done_at=None).update(due_at=timezone.now(), leased_until=None)
        tasks.deliver()
        tasks.receive()
        tasks.drain()
        tasks.drive()
        tasks.sync_runs()


def test_a_run_never_seen_before_is_read_taken_over_and_answered(
    theirs: FarSide, key: ApiKey, reviewer: User
) -> None:
    run = adopt(key)
    assert (run.driver, run.cause, run.status) == ("counterseal", "adopted", "requires_action")
    work()
    actions.reject(OutboundMessage.objects.get(), by=reviewer, reason="no")
    work()
    assert json.loads(theirs.outputs(run)["call_1"])["status"] == "rejected"


def test_adopting_again_changes_nothing(theirs: FarSide, key: ApiKey) -> None:
    assert adopt(key) == adopt(key)
    assert Event.objects.filter(action=Event.Action.RUN_ADOPTED).count() == 1


def test_mail_held_for_the_same_call_is_the_calls_one_message(
    theirs: FarSide, key: ApiKey, mailbox: Mailbox, reviewer: User
) -> None:
    context = Context("", THREAD, RUN, "call_1")
    before = gate.send(DRAFT, mailbox, by=key, context=context).message
    run = adopt(key)
    work()
    assert gate.send(DRAFT, mailbox, by=key, context=context).message == before
    assert OutboundMessage.objects.count() == 1
    assert current(before).run == run
    actions.reject(current(before), by=reviewer, reason="no")
    work()
    assert json.loads(theirs.outputs(run)["call_1"])["message_id"] == before.pk


def test_mail_of_the_same_content_without_a_call_is_bound_to_it(
    theirs: FarSide, key: ApiKey, mailbox: Mailbox
) -> None:
    before = gate.send(DRAFT, mailbox, by=key).message
    assert before.email.tool_call_id == ""
    run = adopt(key)
    work()
    after = current(before)
    assert (after.run, after.email.tool_call_id, after.email.run_id) == (run, "call_1", RUN)
    assert OutboundMessage.objects.count() == 1
    assert Event.objects.filter(action=Event.Action.TOOL_LINKED, run_id=RUN).count() == 1


def test_what_was_settled_before_the_adoption_is_told_at_once(
    theirs: FarSide, key: ApiKey, mailbox: Mailbox, reviewer: User
) -> None:
    message = gate.send(DRAFT, mailbox, by=key, context=Context("", THREAD, RUN, "call_1")).message
    actions.reject(message, by=reviewer, reason="no")
    run = adopt(key)
    work()
    assert json.loads(theirs.outputs(run)["call_1"])["status"] == "rejected"
    assert OutboundMessage.objects.count() == 1


def test_what_was_settled_while_the_caller_still_drove_the_run_is_told_too(
    far_side: FarSide, assistant: Assistant, mailbox: Mailbox, api_key: ApiKey, reviewer: User
) -> None:
    """On our own server mail is bound to its run from the start, and the caller was to be the one to ask."""
    run, message = a_callers_run(far_side, assistant, mailbox, api_key)
    actions.reject(message, by=reviewer, reason="no")
    effects.adopt(assistant, thread_id=run.thread_id, run_id=run.run_id, by=api_key)
    work()
    (output,) = far_side.outputs(run).values()
    assert json.loads(output)["status"] == "rejected"


@pytest.mark.parametrize("said", ["queued for approval", '"queued"', "[1]", '{"sent": "perhaps"}'])
def test_whatever_the_caller_had_said_of_its_mail_a_decision_goes_its_way(
    far_side: FarSide, assistant: Assistant, mailbox: Mailbox, api_key: ApiKey, reviewer: User, said: str
) -> None:
    run, message = a_callers_run(far_side, assistant, mailbox, api_key)
    record_outputs(assistant, run.run_id, {run.calls.get().call_id: said})
    inbox = SeenCall("call_2", "check_inbox", "{}")
    observe(assistant, "caller", Snapshot(run.run_id, run.thread_id, "asst_1", "requires_action", [inbox]))
    effects.adopt(assistant, thread_id=run.thread_id, run_id=run.run_id, by=api_key)
    living.approved(message, reviewer)
    tasks.deliver()
    assert current(message).status == "sent"
    assert Run.objects.get(follows=run).prompt.count('"status": "sent"') == 1


def a_callers_run(
    far_side: FarSide, assistant: Assistant, mailbox: Mailbox, key: ApiKey
) -> tuple[Run, OutboundMessage]:
    """A run on our own server that its caller drives, with the mail of its one call."""
    assistant.connection = factories.a_connection([])
    assistant.save()
    run = living.a_waiting_run(assistant, mailbox, ("send_email", json.dumps(ARGUMENTS)), driver="caller")
    far_side.begin(run, *run.calls.all())
    context = Context("", run.thread_id, run.run_id, run.calls.get().call_id)
    return run, gate.send(DRAFT, mailbox, by=key, context=context).message


def test_another_assistants_run_is_not_there_though_the_connection_reaches_it(
    theirs: FarSide, key: ApiKey, foreign: Assistant
) -> None:
    """It would be read with all that was said in it, and answered twice."""
    adopt(key)
    elsewhere = factories.a_mailbox()
    other = factories.an_assistant("Other", mailboxes=[elsewhere], connection=foreign.connection)
    reads = theirs.reads
    with pytest.raises(NotFound):
        adopt(factories.a_key(other, mailboxes=[elsewhere]))
    assert theirs.reads == reads
    assert Run.objects.count() == 1


def test_a_thread_that_we_drive_under_another_run_is_not_driven_twice(
    theirs: FarSide, key: ApiKey, foreign: Assistant
) -> None:
    adopt(key)
    theirs.runs["run_alias"] = Snapshot(
        "run_alias", THREAD, "asst_1", "requires_action", theirs.runs[RUN].calls
    )
    with pytest.raises(Conflict, match="already"):
        effects.adopt(foreign, thread_id=THREAD, run_id="run_alias", by=key)


def test_a_run_that_we_began_and_did_not_hear_of_is_ours_when_somebody_adopts_it(
    far_side: FarSide, key: ApiKey, foreign: Assistant, mailbox: Mailbox, reviewer: User
) -> None:
    planned = actions.start_run(foreign, "Do it.", mailbox, by=reviewer)
    with far_side.fault("lost"):
        tasks.drain()
        tasks.drive()
    (seen,) = far_side.runs.values()
    run = effects.adopt(foreign, thread_id=seen.thread_id, run_id=seen.run_id, by=key)
    assert (run.pk, run.cause) == (planned.pk, "person")
    work()
    assert Run.objects.count() == 1


def test_a_plan_whose_run_is_another_row_by_now_ends(
    far_side: FarSide, key: ApiKey, foreign: Assistant, mailbox: Mailbox, reviewer: User
) -> None:
    """Its server did not say whose it is, so that it was adopted as somebody else's."""
    planned = actions.start_run(foreign, "Do it.", mailbox, by=reviewer)
    with far_side.fault("lost"):
        tasks.drain()
        tasks.drive()
    (seen,) = far_side.runs.values()
    far_side.runs[seen.run_id] = replace(seen, metadata={})
    effects.adopt(foreign, thread_id=seen.thread_id, run_id=seen.run_id, by=key)
    far_side.runs[seen.run_id] = seen
    work()
    planned.refresh_from_db()
    assert (planned.status, planned.last_error) == ("failed", "The run that it began was adopted meanwhile.")


def test_mail_that_fits_no_call_or_several_stays_as_it_is(
    theirs: FarSide, key: ApiKey, mailbox: Mailbox, reviewer: User
) -> None:
    """Old mail with the same words was not made for this call, and of two nobody knows which was."""
    assert key.assistant
    other = factories.a_key(key.assistant, mailboxes=[mailbox])
    unrelated = gate.send(Draft(to=("z@b.example",), subject="Z", markdown="b"), mailbox, by=key).message
    of_another_key = gate.send(DRAFT, mailbox, by=other).message
    ended = gate.send(DRAFT, mailbox, by=key).message
    actions.reject(ended, by=reviewer, reason="no")
    run = adopt(key)
    work()
    for message in (unrelated, of_another_key, ended):
        assert current(message).run is None
    assert run.messages.count() == 1


def test_a_reply_is_bound_by_what_it_answers(theirs: FarSide, key: ApiKey, mailbox: Mailbox) -> None:
    email = living.an_inbound(mailbox)
    arguments = json.dumps({"email_id": email.pk, "body": "Here."})
    theirs.becomes(
        Run(run_id=RUN), "requires_action",
        SeenCall("call_1", "reply_email", arguments), SeenCall("call_2", "check_inbox", "{}"),
    )  # fmt: skip
    reply = gate.reply(email, Draft(to=(), subject="", markdown="Here."), by=key).message
    run = adopt(key)
    assert current(reply).run == run


def test_a_person_adopts_with_what_any_key_of_the_assistant_handed_in(
    theirs: FarSide, key: ApiKey, mailbox: Mailbox, administrator: User
) -> None:
    message = gate.send(DRAFT, mailbox, by=key).message
    run = adopt(administrator, key.assistant)
    assert current(message).run == run


def test_what_does_not_exist_or_has_ended_is_not_adopted(
    theirs: FarSide, key: ApiKey, reviewer: User
) -> None:
    assert key.assistant
    with pytest.raises(NotFound):
        effects.adopt(key.assistant, thread_id=THREAD, run_id="run_none", by=key)
    theirs.becomes(Run(run_id=RUN), "completed")
    with pytest.raises(Conflict, match="completed"):
        adopt(key)
    with pytest.raises(Conflict, match="completed"):  # known by now
        adopt(key)
    with pytest.raises(NotFound):
        effects.adopt(key.assistant, thread_id="thread_other", run_id=RUN, by=key)
    with pytest.raises(NotFound):
        effects.adopt(key.assistant, thread_id="thread_other", run_id=RUN, by=reviewer)


@pytest.mark.parametrize("fault", ["down", "refused"])
def test_a_far_side_that_cannot_be_asked_is_named_as_that(theirs: FarSide, key: ApiKey, fault: str) -> None:
    with theirs.fault(fault), pytest.raises(DomainError) as raised:
        adopt(key)
    assert (raised.value.status, raised.value.code) == (502, "run_server_failed")
    assert not Run.objects.exists()


def test_without_a_connection_there_is_nowhere_to_look(assistant: Assistant, administrator: User) -> None:
    with pytest.raises(Invalid, match="no model connection"):
        adopt(administrator, assistant)


def test_a_key_with_fewer_rights_than_its_assistant_gains_none_by_adopting(
    theirs: FarSide, key: ApiKey, foreign: Assistant, mailbox: Mailbox, assistant: Assistant
) -> None:
    elsewhere = factories.a_mailbox()
    foreign.mailbox_links.create(mailbox=elsewhere)
    with pytest.raises(NotPermitted, match="fewer"):
        adopt(key)
    both = [mailbox, elsewhere]
    with pytest.raises(NotPermitted, match="fewer"):
        adopt(factories.a_key(foreign, mailboxes=both, scopes=["send"]))
    with pytest.raises(NotPermitted, match="scope send"):
        adopt(factories.a_key(foreign, mailboxes=both, scopes=["read"]))
    other = factories.a_key(factories.an_assistant("Other", mailboxes=both), mailboxes=both)
    with pytest.raises(NotPermitted, match="own assistant"):
        adopt(other, foreign)
    adopt(factories.a_key(foreign, mailboxes=both))


def test_a_run_out_of_a_persons_reach_is_not_there(assistant: Assistant, mailbox: Mailbox) -> None:
    elsewhere = factories.a_mailbox()
    assistant.mailbox_links.create(mailbox=elsewhere)
    run = living.a_waiting_run(assistant, elsewhere, ("send_email", "{}"), driver="caller")
    Run.objects.update(mailbox_id=elsewhere.pk)
    member = factories.a_person("m@acme.test", "reviewer", mailboxes=[mailbox])
    with pytest.raises(NotFound):
        effects.adopt(assistant, thread_id=run.thread_id, run_id=run.run_id, by=member)


def test_a_run_of_our_own_server_is_adopted_by_its_row(
    assistant: Assistant, mailbox: Mailbox, api_key: ApiKey
) -> None:
    assistant.connection = factories.a_connection([])
    assistant.save()
    with pytest.raises(NotFound):
        adopt(api_key)
    run = living.a_waiting_run(assistant, mailbox, ("send_email", "{}"), driver="caller")
    adopted = effects.adopt(assistant, thread_id=run.thread_id, run_id=run.run_id, by=api_key)
    assert (adopted.pk, adopted.driver) == (run.pk, "counterseal")


@contextmanager
def own_connection() -> Iterator[None]:
    try:
        yield
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_send_and_an_adoption_at_once_make_one_message(
    theirs: FarSide, key: ApiKey, mailbox: Mailbox
) -> None:
    context = Context("", THREAD, RUN, "call_1")

    def send() -> None:
        with own_connection():
            gate.send(DRAFT, mailbox, by=key, context=context)

    def take_over() -> None:
        with own_connection():
            adopt(key)
            tasks.sync_runs()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(send), pool.submit(take_over)]:
            done.result(timeout=60)
    work()
    assert OutboundMessage.objects.count() == 1
