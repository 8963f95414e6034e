"""The tool calls of the runs that we drive, one after another.

Read tools are answered at once. A send becomes a draft and waits. An unknown tool, bad arguments or a
refusal get an error as output, so that no run is stuck on us.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from approvals import outbox, wire
from approvals.actions.runs import raise_alert
from approvals.actions.telling import MAILING, answer_undecided
from approvals.errors import DomainError, Invalid, NotFound
from approvals.gate.binding import Context
from approvals.gate.inbound import check_inbox, read, tag
from approvals.gate.outbound import reply, send
from approvals.models import OutboxEntry
from assistants import actions as assistant_actions
from assistants.models import Run, ToolCall
from assistants.observe import CONFLICT
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.envelope import Draft
from mailboxes.models import Email, Mailbox

Output = dict[str, Any]

LONGEST_OUTPUTS = 200_000  # characters, of all outputs of one turn
CUT = "[the rest is too long]"


def dispatch_calls(run: Run) -> None:
    """Take every call of `run` that is still open and not yet waiting for a person."""
    if run.calls.filter(output=None, settled=ToolCall.Settled.ELSEWHERE).exists():
        raise_alert(run, CONFLICT)
    for call in assistant_actions.open_calls(run):
        # a read is answered even where a caller has bound a message of its own to it
        if call.name not in MAILING or not run.messages.filter(email__tool_call_id=call.call_id).exists():
            _dispatch(run, call)
    answer_undecided(run)
    if assistant_actions.is_ready(run):
        with transaction.atomic():
            outbox.enqueue(OutboxEntry.Kind.RESUME_RUN, run.pk)


def _dispatch(run: Run, call: ToolCall) -> None:
    try:
        arguments = Arguments.parse(call.arguments)
        tool = TOOLS.get(call.name)
        if tool is None:
            known = ", ".join(TOOLS)
            raise NotFound(f"There is no tool {call.name}; there are {known}.", "unknown_tool")
        output = tool(run, call, arguments)
    except DomainError as error:
        output = {"error": error.sentence, "code": error.code}
        if isinstance(error, Invalid):
            output["fields"] = error.fields
    if output is not None:
        _answer(run, call, output)


def _answer(run: Run, call: ToolCall, output: Output) -> None:
    with transaction.atomic():
        if assistant_actions.answer_call(run, call.call_id, output := _cut_to_size(run, output)):
            subject = Subject(
                mailbox_id=run.mailbox_id,
                assistant_id=run.remote_assistant_id,
                thread_id=run.thread_id,
                run_id=run.run_id,
                tool_call_id=call.call_id,
            )
            called = Entry(
                Event.Action.TOOL_CALLED, subject, {"name": call.name, "arguments": call.arguments}
            )
            log.record(
                called, Entry(Event.Action.TOOL_ANSWERED, subject, {"output": output}), by=run.assistant.actor
            )


def _cut_to_size(run: Run, output: Output) -> Output:
    """A run server refuses outputs that are too long, however often they are submitted."""
    share = LONGEST_OUTPUTS // max(1, run.calls.filter(submitted_at=None).count())
    most = share
    while len(json.dumps(output, ensure_ascii=False, default=str)) > share and most:
        most //= 2
        output = {name: _cut(value, most) for name, value in output.items()}
    return output


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]} {CUT}"
    if isinstance(value, dict):
        return {name: _cut(inner, most) for name, inner in value.items()}
    return [_cut(inner, most) for inner in value[:most]] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a model wrote, read with care."""

    values: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Arguments:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise Invalid(
                [{"field": "arguments", "code": "not_json", "message": "Arguments are a JSON object."}]
            )
        return cls(values)

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str) or log.UNSTORABLE.search(value):
            raise _bad_argument(name, "required" if value is None else "not_text", f"{name} is a text.")
        return value

    def addresses(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name)
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise _bad_argument(name, "not_an_address", f"{name} is an address or a list of addresses.")
        return tuple(listed)

    def number(self, name: str, default: int, most: int) -> int:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise _bad_argument(name, "out_of_range", f"{name} is a whole number from 1 to {most}.")
        return value


def _bad_argument(name: str, code: str, sentence: str) -> Invalid:
    return Invalid([{"field": name, "code": code, "message": sentence}])


def _mailbox(run: Run, arguments: Arguments) -> Mailbox:
    """The one that is named, else the run's own, else the assistant's only one."""
    asked = arguments.text("mailbox_id", run.mailbox_id)
    within = Mailbox.objects.visible_to(run.assistant)
    found = within.filter(pk=asked).first()
    if not asked and len(only := within[:2]) == 1:
        found = only[0]
    if found is None:
        raise NotFound(f"There is no mailbox {asked} within reach.")
    return found


def _email(run: Run, arguments: Arguments) -> Email:
    asked, mailbox_id = arguments.text("email_id"), arguments.text("mailbox_id", "")
    visible = Email.objects.visible_to(run.assistant)
    if mailbox_id:
        visible = visible.filter(mailbox=mailbox_id)
    found = visible.select_related("mailbox", "conversation").filter(pk=asked).first()
    if found is None:
        where = f" in {mailbox_id}" if mailbox_id else " within reach"
        raise NotFound(f"There is no email {asked}{where}.")
    return found


def _context(run: Run, call: ToolCall) -> Context:
    return Context(run.remote_assistant_id, run.thread_id, run.run_id, call.call_id)


def _send(run: Run, call: ToolCall, arguments: Arguments) -> None:
    draft = Draft(
        to=arguments.addresses("to"),
        subject=arguments.text("subject"),
        markdown=arguments.text("body"),
        html=arguments.text("html", ""),
    )
    send(draft, _mailbox(run, arguments), by=run.assistant, context=_context(run, call))


def _reply(run: Run, call: ToolCall, arguments: Arguments) -> None:
    draft = Draft(to=(), subject="", markdown=arguments.text("body"), html=arguments.text("html", ""))
    reply(_email(run, arguments), draft, by=run.assistant, context=_context(run, call))


def _check_inbox(run: Run, call: ToolCall, arguments: Arguments) -> Output:
    limit = arguments.number("limit", 20, 100)
    emails = check_inbox(_mailbox(run, arguments), by=run.assistant, limit=limit)
    return {"emails": [wire.email_object(email, wire.Dialect.FLAT) for email in emails]}


def _read(run: Run, call: ToolCall, arguments: Arguments) -> Output:
    email = read(_email(run, arguments), by=run.assistant)
    return {**wire.email_object(email, wire.Dialect.FLAT)}


def _tag(run: Run, call: ToolCall, arguments: Arguments) -> Output:
    email, action = _email(run, arguments), arguments.text("action", "set")
    if action == "set":
        tags = arguments.values.get("tags")
        if not isinstance(tags, dict):
            raise _bad_argument("tags", "not_an_object", "tags is an object of texts.")
        return {"tags": tag(email, by=run.assistant, set=tags)}
    if action == "delete":
        return {"tags": tag(email, by=run.assistant, delete=[arguments.text("key")])}
    if action == "get":
        return {"tags": email.tags}
    raise _bad_argument("action", "unknown_action", "action is one of set, get and delete.")


TOOLS: dict[str, Callable[[Run, ToolCall, Arguments], Output | None]] = {
    "send_email": _send,
    "reply_email": _reply,
    "check_inbox": _check_inbox,
    "read_email": _read,
    "tag_email": _tag,
}
