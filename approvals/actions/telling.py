"""Telling a run what came of its calls: as their outputs while it can take them, else in a follow-up.

A run that its caller drives is answered by its caller, who polls or takes a webhook.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from approvals import outbox
from approvals.actions.outcomes import Output, outcome, provisional
from approvals.actions.transitions import about
from approvals.models import OutboundMessage, OutboxEntry
from approvals.states import Status
from assistants import actions as assistant_actions
from assistants.models import Connection, Run, ToolCall
from audit import log
from audit.log import Entry, Subject
from audit.models import Event

BY = "system:driver"
ON_ITS_WAY = (Status.APPROVED, Status.SCHEDULED, Status.SENDING)
# the tools whose calls become mail
MAILING = ("send_email", "reply_email")


def tell(message: OutboundMessage) -> list[Entry]:
    """Owe the run what came of `message`, in the transaction in which that is settled."""
    run, call_id, output = message.run, message.email.tool_call_id, outcome(message)
    if run is None or run.driver != Run.Driver.COUNTERSEAL or not call_id or output is None:
        return []
    told = Entry(Event.Action.TOOL_ANSWERED, about(message), {"output": output})
    if assistant_actions.answer_call(run, call_id, output):
        outbox.enqueue(OutboxEntry.Kind.RESUME_RUN, run.pk)
        return [told]
    call = ToolCall.objects.select_for_update().filter(run=run, call_id=call_id).first()
    if call is None or not _is_news(call, output):
        return []
    return [told, *follow_up(run, {call_id: assistant_actions.as_output(output)})]


def _is_news(call: ToolCall, output: Output) -> bool:
    """The run was told something else before, and nobody else took the call over."""
    if call.settled == ToolCall.Settled.ELSEWHERE:
        return False
    told = _told(call)
    if told.get("status") == "scheduled":
        # that it then left is what it was told; any other time or end is not
        return bool(output["status"] != "sent" and output.get("send_at") != told.get("send_at"))
    return call.is_provisional or told.get("sent") != output["sent"]


def _told(call: ToolCall) -> dict[str, Any]:
    """What the run heard of it; a caller that drove the run before us may have said anything."""
    try:
        told = json.loads(call.output or "{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def follow_up(run: Run, told: Mapping[str, str]) -> list[Entry]:
    """Promise a run in the same thread that tells it. `told`: outputs by call id."""
    planned = assistant_actions.plan_follow_up(run, told)
    outbox.enqueue(OutboxEntry.Kind.START_RUN, planned.pk)
    return [plan_entry(planned, follows=run.run_id or run.pk, calls=list(told))]


def follow_up_gone(run: Run, calls: Iterable[ToolCall]) -> list[Entry]:
    """Tell elsewhere what became of the mail of `calls`, whose outputs the run can't take any more.

    Not of what it read, which tells nobody anything; nor of what another follow-up tells already or will.
    """
    untold = [
        call
        for call in calls
        if call.name in MAILING and not call.is_provisional and call.follow_up_id is None
    ]
    messages = run.messages.select_related("email").filter(
        email__tool_call_id__in=[call.call_id for call in untold]
    )
    now = {message.email.tool_call_id: outcome(message) for message in messages}
    told = {call.call_id: _as_told(now.get(call.call_id)) or call.output or "" for call in untold}
    return follow_up(run, told) if told else []


def _as_told(output: Output | None) -> str:
    return assistant_actions.as_output(output) if output else ""


def plan_entry(run: Run, **details: object) -> Entry:
    subject = Subject(
        mailbox_id=run.mailbox_id,
        email_id=run.email_id,
        assistant_id=run.assistant_id,
        thread_id=run.thread_id,
    )
    return Entry(Event.Action.RUN_REQUESTED, subject, {"run": run.pk, "cause": run.cause, **details})


def answer_undecided(run: Run) -> None:
    """Give provisional outputs to the open calls of a run that would not outlive the wait."""
    until = run.hold_until
    if until is None or until > timezone.now():
        return
    for call in assistant_actions.open_calls(run):
        message = run.messages.select_related("email").filter(email__tool_call_id=call.call_id).first()
        if message and not _comes_soon(run, message):
            _answer_for_now(run, call, message)


def _comes_soon(run: Run, message: OutboundMessage) -> bool:
    """Where each hold is answered at once, what is decided is not held: its outcome is a moment away."""
    at_once = run.connection and run.connection.hold_policy == Connection.HoldPolicy.PENDING_NOW
    return bool(at_once) and message.status in ON_ITS_WAY


def _answer_for_now(run: Run, call: ToolCall, message: OutboundMessage) -> None:
    output = provisional(message)
    with transaction.atomic():
        if assistant_actions.answer_call(run, call.call_id, output, provisional=True):
            log.record(Entry(Event.Action.TOOL_ANSWERED, about(message), {"output": output}), by=BY)


def about_run(run: Run) -> Subject:
    return Subject(
        mailbox_id=run.mailbox_id,
        email_id=run.email_id,
        assistant_id=run.remote_assistant_id or run.assistant_id,
        thread_id=run.thread_id,
        run_id=run.run_id,
    )
