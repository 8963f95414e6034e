"""Which run and tool call a send belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from approvals.actions.transitions import about_email
from approvals.models import OutboundMessage
from approvals.permissions import Sender
from assistants.models import Assistant, Run, ToolCall
from audit.log import Entry
from audit.models import Event
from mailboxes.envelope import normalize_address
from mailboxes.models import Email, Mailbox


@dataclass(frozen=True, slots=True)
class Context:
    """The run behind a call, in the protocol's own ids, as far as it is known."""

    assistant_id: str = ""
    thread_id: str = ""
    run_id: str = ""
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked for, as the tool of that name would have it."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bound:
    context: Context
    run: Run | None = None
    call_key: str = ""

    def events(self, email: Email, call: Call) -> list[Entry]:
        if not self.context.tool_call_id:
            return []
        return [Entry(Event.Action.TOOL_CALLED, about_email(email), {"name": call.tool})]


def bind(by: Sender, mailbox: Mailbox, context: Context, call: Call) -> Bound:
    """Complete the context from the run that it names or, without one, from the one open call that fits."""
    assistant = by if isinstance(by, Assistant) else by.assistant
    run, call_id = _named_run(assistant, context), context.tool_call_id
    if run is None and assistant is not None and not context.run_id:
        fitting = _fitting_call(assistant, mailbox, call)
        if fitting:
            run, call_id = fitting.run, fitting.call_id
    context = Context(
        # of a run that we know, our own record counts, whatever the caller says of it
        assistant_id=(run.remote_assistant_id if run else "")
        or _own_name(assistant, context.assistant_id)
        or (assistant.pk if assistant else ""),
        thread_id=run.thread_id if run else context.thread_id,
        run_id=run.run_id if run else context.run_id,
        tool_call_id=call_id,
    )
    return Bound(context, run, _call_key(by, run, context))


def _own_name(assistant: Assistant | None, named: str) -> str:
    """The record finds mail by assistant, so nobody writes another's name on it.

    Without an error: a refusal would tell which ids there are.
    """
    others = Assistant.objects.filter(Q(pk=named) | Q(remote_id=named))
    if assistant is not None:
        others = others.exclude(pk=assistant.pk)
    return "" if not named or others.exists() else named


def _named_run(assistant: Assistant | None, context: Context) -> Run | None:
    if assistant is None or not context.run_id:
        return None
    known = Run.objects.filter(assistant=assistant, run_id=context.run_id)
    if found := known.first():
        return found
    # it may be being adopted: wait for that, or the call would have one message here and one there
    Assistant.objects.select_for_update(no_key=True).get(pk=assistant.pk)
    return known.first()


def _call_key(by: Sender, run: Run | None, context: Context) -> str:
    """Unique per (assistant or integration, connection or `external`, run, tool call); "" without a call."""
    if not (context.run_id and context.tool_call_id):
        return ""
    owner = by.pk if isinstance(by, Assistant) else by.assistant_id or by.integration_id
    if run:
        return call_key(owner or "", run, context.tool_call_id)
    return json.dumps([owner, "external", context.run_id, context.tool_call_id])


def call_key(owner: str, run: Run, call_id: str) -> str:
    return json.dumps([owner, run.connection_id or "external", run.run_id, call_id])


def _fitting_call(assistant: Assistant, mailbox: Mailbox, call: Call) -> ToolCall | None:
    """The one open call of a waiting run with the same tool and arguments; None if several fit.

    Where every call that fits has its message, the request repeats one: binding it again finds that.
    """
    waiting = Run.objects.waiting().filter(assistant=assistant)
    open_calls = ToolCall.objects.filter(run__in=waiting, name=call.tool, output=None).select_related("run")
    fitting = [one for one in open_calls.order_by("-pk")[:200] if fits(one, mailbox, call)]
    sent = OutboundMessage.objects.filter(run__in={one.run_id for one in fitting})
    taken = set(sent.values_list("run_id", "email__tool_call_id"))
    free = [one for one in fitting if (one.run_id, one.call_id) not in taken]
    if not free and fitting:
        return fitting[0]
    return free[0] if len(free) == 1 else None


def fits(candidate: ToolCall, mailbox: Mailbox, call: Call) -> bool:
    try:
        arguments = json.loads(candidate.arguments)
    except ValueError:
        return False
    if not isinstance(arguments, dict) or arguments.get("mailbox_id") not in (None, "", mailbox.pk):
        return False
    return all(_plain(arguments.get(name)) == _plain(value) for name, value in call.arguments.items())


def _plain(value: Any) -> Any:
    """Compare addresses as addresses, one or a list alike, and other text by its words."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value] if len(value) != 1 else _plain(value[0])
    if not isinstance(value, str):
        return value
    try:
        return normalize_address(value)
    except ValueError:
        return value.strip()
