"""Mail that was handed in before its run was adopted, bound to the run's calls."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from approvals.actions.telling import MAILING, tell
from approvals.actions.transitions import about, current
from approvals.gate.binding import Call as Asked
from approvals.gate.binding import call_key, fits
from approvals.models import OutboundMessage, User
from approvals.states import FINAL, Status
from assistants import actions as assistant_actions
from assistants.models import ApiKey, Run, ToolCall
from audit.log import Entry
from audit.models import Event
from mailboxes.models import Email


def link_calls(run: Run, *, by: User | ApiKey) -> list[Entry]:
    """Bind to each open call of `run` the one message that was made for it; what is settled is told at once.

    By its call id or, lacking one, by mailbox and content, if exactly one that is still open fits.
    """
    told: list[Entry] = []
    for call in assistant_actions.open_calls(run):
        if call.name not in MAILING:
            continue
        if bound := run.messages.filter(email__tool_call_id=call.call_id).first():
            told += _told_now(bound)
        elif message := _message_of(run, call, by):
            told += _link(run, call, message)
    return told


def _told_now(message: OutboundMessage) -> list[Entry]:
    """A decision that is made at this moment waits here, and then finds who drives the run."""
    OutboundMessage.objects.select_for_update(of=("self",)).get(pk=message.pk)
    return tell(current(message))


def _unbound(run: Run, by: User | ApiKey) -> Iterator[OutboundMessage]:
    """Newest first. A key links what was handed in with it; a person, what the assistant handed in."""
    found = OutboundMessage.objects.filter(run=None, assistant=run.assistant)
    if isinstance(by, ApiKey):
        found = found.filter(key=by)
    of_run = Q(email__run_id=run.run_id) | Q(email__run_id="")
    yield from found.filter(of_run).select_related("email__mailbox", "key").order_by("-pk")[:200]


def _message_of(run: Run, call: ToolCall, by: User | ApiKey) -> OutboundMessage | None:
    unbound = list(_unbound(run, by))
    named = [
        message
        for message in unbound
        if (message.email.run_id, message.email.tool_call_id) == (run.run_id, call.call_id)
    ]
    if named:
        return named[0]
    # mail of long ago with the same words was not made for this call
    fitting = [
        message
        for message in unbound
        if not message.email.tool_call_id
        and message.status not in FINAL | {Status.FAILED}
        and fits(call, message.email.mailbox, _asked(message))
    ]
    return fitting[0] if len(fitting) == 1 else None


def _asked(message: OutboundMessage) -> Asked:
    email = message.email
    if message.in_reply_to_id:
        return Asked("reply_email", {"email_id": message.in_reply_to_id, "body": email.text})
    return Asked("send_email", {"to": email.to, "subject": email.subject, "body": email.text})


def _link(run: Run, call: ToolCall, message: OutboundMessage) -> list[Entry]:
    context = {
        "assistant_id": run.remote_assistant_id or run.assistant_id,
        "thread_id": run.thread_id,
        "run_id": run.run_id,
        "tool_call_id": call.call_id,
    }
    Email.objects.filter(pk=message.pk).update(**context)
    key = call_key(run.assistant_id, run, call.call_id)
    # adoptions of one assistant come one after another, so nobody else binds it meanwhile
    OutboundMessage.objects.filter(pk=message.pk).update(run=run, call_key=key)
    linked = Entry(Event.Action.TOOL_LINKED, about(current(message)), {"name": call.name})
    return [linked, *_told_now(message)]
