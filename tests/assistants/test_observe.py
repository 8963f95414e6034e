"""A run is known by what was seen of it, however often and in whatever order it is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistants.models import Assistant, Run, ToolCall
from assistants.observe import SeenCall, Snapshot, observe, record_outputs
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.database]

WAITING = Snapshot(
    run_id="run_1",
    thread_id="thread_1",
    remote_assistant_id="asst_1",
    status="requires_action",
    calls=[SeenCall("call_1", "send_email", '{"to":"a@far.test"}'), SeenCall("call_2", "check_inbox", "{}")],
    transcript=[{"role": "user", "text": "Hi", "at": "2026-01-01T00:00:00+00:00"}],
)
RUNNING = replace(WAITING, status="in_progress", calls=[])
DONE = replace(WAITING, status="completed", calls=[])


def test_a_run_seen_twice_is_one_run_with_its_calls_once(assistant: Assistant) -> None:
    run = observe(assistant, "caller", WAITING)
    observe(assistant, "caller", WAITING)
    assert Run.objects.get() == run
    assert (run.run_id, run.thread_id, run.remote_assistant_id) == ("run_1", "thread_1", "asst_1")
    assert [(call.call_id, call.position) for call in run.calls.order_by("position")] == [
        ("call_1", 0),
        ("call_2", 1),
    ]
    assert run.transcript == WAITING.transcript


def test_an_output_is_never_touched_by_what_is_seen(assistant: Assistant) -> None:
    observe(assistant, "counterseal", WAITING)
    ToolCall.objects.filter(call_id="call_1").update(output="ours")
    observe(assistant, "counterseal", WAITING)
    assert ToolCall.objects.get(call_id="call_1").output == "ours"


def test_later_calls_come_after_earlier_ones(assistant: Assistant) -> None:
    observe(assistant, "caller", WAITING)
    observe(assistant, "caller", replace(WAITING, calls=[SeenCall("call_3", "check_inbox", "{}")]))
    assert ToolCall.objects.get(call_id="call_3").position == 2


def test_an_end_is_an_end(assistant: Assistant) -> None:
    run = observe(assistant, "caller", DONE)
    assert run.ended_at
    # an answer that was read earlier and comes late
    late = observe(assistant, "caller", RUNNING)
    assert (late.status, late.ended_at) == ("completed", run.ended_at)


@pytest.mark.parametrize(("snapshot", "due"), [(WAITING, True), (DONE, True), (RUNNING, False)])
def test_a_run_becomes_due_when_there_is_something_to_act_on(
    assistant: Assistant, snapshot: Snapshot, due: bool
) -> None:
    observe(assistant, "counterseal", replace(WAITING, status="queued", calls=[]))
    assert bool(observe(assistant, "counterseal", snapshot).sync_due_at) == due


def test_seeing_nothing_new_makes_nothing_due(assistant: Assistant) -> None:
    observe(assistant, "counterseal", WAITING)
    Run.objects.update(sync_due_at=None)
    assert observe(assistant, "counterseal", WAITING).sync_due_at is None


def test_the_row_of_our_driver_becomes_the_run_that_names_it(assistant: Assistant) -> None:
    row = Run.objects.create(assistant=assistant, driver="counterseal", mailbox_id="mbx_1")
    named = replace(RUNNING, metadata={"counterseal_run": row.pk})
    assert observe(assistant, "counterseal", named).pk == row.pk
    row.refresh_from_db()
    assert (row.run_id, row.status, row.mailbox_id) == ("run_1", "in_progress", "mbx_1")
    # that row has its run: the same name again is another run
    assert observe(assistant, "counterseal", replace(named, run_id="run_2")).pk != row.pk


@pytest.mark.parametrize(("protocol", "due"), [("responses", True), ("scripted", False)])
def test_a_run_that_begins_where_nobody_tells_us_of_it_is_looked_at_from_the_start(
    assistant: Assistant, protocol: str, due: bool
) -> None:
    connection = factories.a_connection(protocol=protocol)
    row = Run.objects.create(assistant=assistant, driver="counterseal", connection=connection)
    queued = replace(RUNNING, status="queued", metadata={"counterseal_run": row.pk})
    assert bool(observe(assistant, "counterseal", queued).sync_due_at) == due


def test_a_row_of_another_assistant_or_for_a_caller_is_not_taken(assistant: Assistant) -> None:
    other = factories.an_assistant()
    row = Run.objects.create(assistant=other, driver="counterseal")
    named = replace(RUNNING, metadata={"counterseal_run": row.pk})
    assert observe(assistant, "counterseal", named).pk != row.pk
    assert observe(other, "caller", replace(named, run_id="run_3")).pk != row.pk


def test_the_driver_counts_when_the_run_is_new_and_not_afterwards(assistant: Assistant) -> None:
    observe(assistant, "caller", RUNNING)
    assert observe(assistant, "counterseal", WAITING).driver == "caller"


def test_two_assistants_may_have_runs_of_the_same_id(assistant: Assistant) -> None:
    other = factories.an_assistant()
    assert observe(assistant, "caller", RUNNING).pk != observe(other, "caller", RUNNING).pk


def test_what_a_caller_submitted_is_recorded_beside_what_is_ours(assistant: Assistant) -> None:
    observe(assistant, "caller", WAITING)
    ToolCall.objects.filter(call_id="call_1").update(output="ours")
    record_outputs(assistant, "run_1", {"call_1": "theirs", "call_2": "theirs"})
    outputs = (
        ToolCall.objects.order_by("position").exclude(submitted_at=None).values_list("output", flat=True)
    )
    assert list(outputs) == ["ours", "theirs"]
