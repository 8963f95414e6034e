"""What callers do to threads and runs. One run at a time holds a thread; only its driver moves it on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import DateTimeField, JSONField
from django.utils import timezone

from assistants.models import Run as SeenRun
from assistants.observe import OWN_ROW, record_outputs
from assistants.server import objects, streams
from assistants.server.auth import Caller
from assistants.server.bodies import RUN_OPTIONS
from assistants.server.ending import end
from assistants.server.errors import ApiError, not_found
from assistants.server.models import Assistant, Message, Run, Step, Thread
from assistants.server.report import report
from audit import nudge
from audit.prepared import Change, Rows, Slot

Given = Mapping[str, Any]
DRIVERS = {SeenRun.Driver.CALLER: "its caller", SeenRun.Driver.COUNTERSEAL: "Counterseal"}


def create_thread(caller: Caller, given: Given) -> Thread:
    with transaction.atomic():
        thread = Thread.objects.create(
            owner=caller.assistant,
            tool_resources=given.get("tool_resources"),
            metadata=given.get("metadata", {}),
        )
        for message in given.get("messages") or []:
            _write(thread, message)
    return thread


def add_message(thread: Thread, given: Given) -> Message:
    with transaction.atomic():
        if run := _lock(thread):
            raise ApiError(f"Can't add messages to {thread.id} while a run {run.id} is active.")
        return _write(thread, given)


def _write(thread: Thread, given: Given) -> Message:
    return Message.objects.create(
        thread=thread,
        role=given["role"],
        content=given["content"],
        attachments=given.get("attachments") or [],
        metadata=given.get("metadata", {}),
    )


def delete_message(message: Message) -> None:
    if message.status == Message.Status.IN_PROGRESS and message.run and message.run.is_active:
        raise ApiError(f"Can't delete {message.id} while a run {message.run.id} is writing it.")
    message.delete()


def _lock(thread: Thread) -> Run | None:
    """Hold the thread until the transaction ends. Returns the run that is active in it."""
    if not Thread.objects.select_for_update(no_key=True).filter(pk=thread.pk).exists():
        raise not_found("thread", thread.id)
    return Run.objects.active().filter(thread=thread).first()


def delete_thread(caller: Caller, thread: Thread) -> None:
    """An active run of the caller's own is cancelled first."""
    with transaction.atomic():
        # runs before their thread, in the order in which the engine takes them
        for run in Run.objects.select_for_update().active().filter(thread=thread):
            _check_driver(caller, run, "deletes its thread before it has ended")
            end(run, Run.Status.CANCELLED)
        if started := _lock(thread):
            raise ApiError(f"Can't delete {thread.id} while a run {started.id} is active.")
        thread.delete()


def create_run(caller: Caller, thread: Thread | None, assistant: Assistant, given: Given) -> Run:
    """In a new thread if none is named. Our own driver's second try for a run returns the first."""
    start_key = (
        given.get("metadata", {}).get(OWN_ROW) if caller.driver == SeenRun.Driver.COUNTERSEAL else None
    )
    try:
        with transaction.atomic():
            return _started(caller, start_key) or _create_run(caller, thread, assistant, given, start_key)
    except IntegrityError:
        if run := _started(caller, start_key):
            return run
        raise


def _started(caller: Caller, start_key: str | None) -> Run | None:
    return Run.objects.filter(owner=caller.assistant, start_key=start_key).first() if start_key else None


def _create_run(
    caller: Caller, thread: Thread | None, assistant: Assistant, given: Given, start_key: str | None
) -> Run:
    is_new = thread is None
    if thread is None:
        thread = create_thread(caller, given["thread"])
    elif active := _lock(thread):
        raise ApiError(f"Thread {thread.id} already has an active run {active.id}.")
    for message in given.get("additional_messages") or []:
        _write(thread, message)
    run = Run.objects.create(
        owner=caller.assistant,
        thread=thread,
        assistant_id=assistant.id,
        made_by=caller.driver,
        start_key=start_key,
        instructions=_instructions(assistant, given),
        model=given.get("model") or assistant.model,
        tools=assistant.tools if given.get("tools") is None else given["tools"],
        options=assistant.options
        | {name: given[name] for name in RUN_OPTIONS if given.get(name) is not None},
        metadata=given.get("metadata", {}),
        expires_at=_expiry(),
        stream_after=0 if given.get("stream") else None,
    )
    if is_new:
        streams.emit(run, "thread.created", objects.thread(thread))
    streams.emit_run(run, "created")
    report(run)
    nudge.on_commit("assistants.server.tasks.advance_runs")
    return run


def _expiry() -> datetime | None:
    seconds = settings.RUN_EXPIRES_AFTER
    return timezone.now() + timedelta(seconds=seconds) if seconds else None


def _instructions(assistant: Assistant, given: Given) -> str:
    own = assistant.instructions if given.get("instructions") is None else given["instructions"]
    return "\n\n".join(part for part in (own, given.get("additional_instructions")) if part)


def submit(caller: Caller, run: Run, outputs: list[dict[str, str]], *, stream: bool = False) -> Run:
    """All outputs of the open calls at once. The same outputs once more are the same success."""
    by_call = {one["tool_call_id"]: one["output"] for one in outputs}
    expected, got = [], [one["tool_call_id"] for one in outputs]
    with transaction.atomic():
        run = _held(run)
        _check_driver(caller, run, "submits outputs")
        # one whose time is up may not have been swept yet
        status = Run.Status.EXPIRED if run.is_overdue else run.status
        waits = status == Run.Status.REQUIRES_ACTION
        step = run.open_step if waits else None
        if step:
            expected = [call["id"] for call in step.calls]
        if step and sorted(expected) == sorted(got):
            _restream(run, stream=stream)
            _resume(caller, run, step, by_call)
            return run
        if not _repeats(run, by_call):
            if not waits:
                raise ApiError(f'Runs in status "{status}" do not accept tool outputs.')
            raise ApiError(f"Expected tool outputs for call_ids {expected}, got {got}", param="tool_outputs")
        # whoever asks again for the stream gets the present one from its start
        if stream and run.stream_after is None:
            _restream(run, stream=True)
    return run


def _repeats(run: Run, outputs: Mapping[str, str]) -> bool:
    steps = run.steps.filter(type=Step.Type.CALLS, status=Step.Status.COMPLETED)
    return any({call["id"]: call["output"] for call in step.calls} == outputs for step in steps)


def _restream(run: Run, *, stream: bool) -> None:
    """Each stretch of a run, up to where it waits, is streamed if its caller asks for it."""
    before, run.stream_after = run.stream_after, None
    if stream:
        streams.begin(run)
    if run.stream_after != before:
        run.save(update_fields=["stream_after"])


_complete = Change(
    lambda: Step.objects.filter(pk=Slot("pk")),
    calls=Slot("calls", JSONField()),
    status=Step.Status.COMPLETED,
    ended_at=Slot("now", DateTimeField()),
)
_queue = Change(
    lambda: Run.objects.filter(pk=Slot("pk")),
    status=Run.Status.QUEUED,
    due_at=Slot("now", DateTimeField()),
    tries=0,
)


def _resume(caller: Caller, run: Run, step: Step, outputs: Mapping[str, str]) -> None:
    now = timezone.now()
    step.calls = [call | {"output": outputs[call["id"]]} for call in step.calls]
    step.status, step.ended_at = Step.Status.COMPLETED, now
    _complete.run(pk=step.pk, calls=step.calls, now=now)
    streams.emit_step(step)
    run.status, run.due_at, run.tries = Run.Status.QUEUED, now, 0
    _queue.run(pk=run.pk, now=now)
    if caller.driver == SeenRun.Driver.CALLER:
        record_outputs(run.owner, run.id, outputs)
    report(run, said=False)
    nudge.on_commit("assistants.server.tasks.advance_runs")


def cancel(caller: Caller, run: Run) -> Run:
    with transaction.atomic():
        run = _held(run)
        _check_driver(caller, run, "cancels it")
        if not run.is_active or run.status == Run.Status.CANCELLING:
            raise ApiError(f"Cannot cancel run with status '{run.status}'.")
        _cancel(run)
    return run


def _cancel(run: Run) -> None:
    """At once, unless a model is at work on it: then its worker ends it, or whoever finds the worker dead."""
    run.status = Run.Status.CANCELLING
    is_at_work = bool(run.leased_by) and run.due_at > timezone.now()
    if is_at_work:
        run.save(update_fields=["status"])
        report(run)
    else:
        streams.emit_run(run)
        end(run, Run.Status.CANCELLED)


def expire_runs() -> int:
    """End the runs whose time is up. None has a time unless the setting gives it one."""
    ended = 0
    for due in Run.objects.overdue(timezone.now()).order_by("expires_at")[:100]:
        with transaction.atomic():
            run = _held(due)
            if run.is_overdue:
                end(run, Run.Status.EXPIRED)
                ended += 1
    return ended


_for_update = Rows(
    lambda: (
        Run.objects.select_for_update(of=("self",)).select_related("thread", "owner").filter(pk=Slot("pk"))
    )
)
_as_seen = Rows(
    lambda: SeenRun.objects.select_for_update().filter(assistant=Slot("assistant"), run_id=Slot("run_id"))
)


def _held(run: Run) -> Run:
    found = _for_update.first(pk=run.pk)
    if found is None:
        raise not_found("run", run.id)
    return found


def _check_driver(caller: Caller, run: Run, what: str) -> None:
    """Adopting a run is one UPDATE of the row as seen by us, so that row is asked."""
    seen = _as_seen.first(assistant=run.owner_id, run_id=run.id)
    driver = seen.driver if seen else run.made_by
    if caller.driver != driver:
        name = DRIVERS[SeenRun.Driver(driver)]
        raise ApiError(f"This run is driven by {name}; only its driver {what}.")
