"""One call of a tool: its arguments become a call of the API, and the answer is shown. It never raises."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from approvals.api import errors
from approvals.errors import Invalid, NotFound
from approvals.mcp import mail, shown
from approvals.mcp.calls import Answer, Caller, call
from approvals.mcp.shapes import Call, Tool
from audit import watch
from mailboxes.models import Conversation, Email, Mailbox

Arguments = dict[str, Any]

# an attachment up to this size comes with the answer
INLINE_BYTES = 50_000
MOST_NAMED = 20  # mailboxes, in a refusal
# free text at the end of a path, in which a slash means nothing
TEXTS = ("key", "email_address", "entry_id")


class Outcome(NamedTuple):
    blocks: list[str]
    is_error: bool = False


def act(tool: Tool, caller: Caller, arguments: Arguments) -> Outcome:
    try:
        check_names(tool, arguments)
        _check_required(tool, arguments)
        return (_download if tool is mail.DOWNLOAD else _call_once)(tool, caller, dict(arguments))
    except Exception as error:
        return refusal_of(error)
    finally:
        watch.let_go()


def refusal_of(error: Exception) -> Outcome:
    status, body, headers = errors.answer(error, None)
    return _refused(status, body, headers.get("Retry-After", ""))


def _refused(status: int, body: Mapping[str, Any], wait: str) -> Outcome:
    """As the API says it, with what its status line and headers say."""
    told = {**body, "status": status, **({"retry_after": int(wait)} if wait else {})}
    return Outcome([shown.as_json(told)], is_error=True)


def unknown(name: str) -> Outcome:
    body = {"error": f"There is no tool {name[:80]}.", "code": "unknown_tool", "field": "name"}
    return Outcome([shown.as_json(body)], is_error=True)


def _call_once(tool: Tool, caller: Caller, arguments: Arguments) -> Outcome:
    answer = answered(caller, _chosen(tool, arguments), {**arguments, **tool.fixed})
    return Outcome(tool.show(answer.data())) if answer.ok else _failed(answer)


def _failed(answer: Answer) -> Outcome:
    return _refused(answer.status, answer.data(), answer.wait)


def check_names(tool: Tool, arguments: Arguments) -> None:
    """An argument that does nothing would be taken for one that did."""
    for name in sorted(arguments.keys() - tool.arguments.keys() - tool.also):
        known = ", ".join(tool.arguments) or "none"
        sentence = f"{tool.name} has no argument {name[:80]}; its arguments are: {known}."
        raise Invalid([{"field": name[:80], "code": "unknown_argument", "message": sentence}])


def _check_required(tool: Tool, arguments: Arguments) -> None:
    """The API says the same of what it needs itself; a tool may need more."""
    given = {name for name, value in arguments.items() if value is not None}
    if tool.also & given:
        given.add("markdown")  # under another name
    missing = [name for name in tool.required if name not in given]
    if missing:
        raise Invalid(
            {"field": name, "code": "required", "message": f"{name} is required."} for name in missing
        )


def _chosen(tool: Tool, arguments: Arguments) -> Call:
    if "" in tool.calls:
        return tool.calls[""]
    action = arguments.pop("action", None)
    if not isinstance(action, str) or action not in tool.calls:
        message = f"Say what to do: one of {', '.join(tool.calls)}."
        raise Invalid([{"field": "action", "code": "invalid_choice", "message": message}])
    return tool.calls[action]


def answered(caller: Caller, chosen: Call, arguments: Arguments) -> Answer:
    in_path = re.findall(r"{(\w+)}", chosen.path)
    if "mailbox_id" in in_path and not arguments.get("mailbox_id"):
        arguments = {**arguments, "mailbox_id": mailbox_for(caller, arguments)}
    path = chosen.path.format(**{name: _part(name, arguments) for name in in_path})
    rest = {name: value for name, value in arguments.items() if name not in in_path}
    return call(caller, chosen.method, path, _query(rest) if chosen.method == "GET" else rest)


def _part(name: str, arguments: Arguments) -> str:
    value = arguments.get(name)
    if value is None or value == "":
        raise Invalid([{"field": name, "code": "required", "message": f"{name} is required."}])
    if not isinstance(value, str) or "\0" in value or ("/" in value and name not in TEXTS):
        raise Invalid([{"field": name, "code": "invalid", "message": f"This is no {name}."}])
    return value


def _query(arguments: Arguments) -> Arguments:
    given = {name: value for name, value in arguments.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, dict | list):
            raise Invalid([{"field": name, "code": "invalid", "message": f"{name} takes one value."}])
    # as JSON has them, and as text that any database can be asked for
    return {name: str(value).encode(errors="replace").decode() for name, value in given.items()}


def mailbox_for(caller: Caller, arguments: Arguments) -> str:
    """The mailbox of the email or the thread that is named, else the caller's own or only one."""
    reached = Mailbox.objects.visible_to(caller.key).filter(is_active=True)
    if arguments.get("email_id"):
        emails = Email.objects.visible_to(caller.key).filter(pk=_part("email_id", arguments))
        return _first(emails.values_list("mailbox_id", flat=True), "email")
    if arguments.get("thread_id"):
        threads = Conversation.objects.filter(pk=_part("thread_id", arguments), mailbox__in=reached)
        return _first(threads.values_list("mailbox_id", flat=True), "thread")
    if caller.mailbox_id:
        return caller.mailbox_id
    boxes = list(reached.order_by("pk")[: MOST_NAMED + 1])
    if len(boxes) == 1:
        return str(boxes[0].pk)
    raise Invalid([{"field": "mailbox_id", "code": "required", "message": _which(boxes)}])


def _first(found: Any, noun: str) -> str:
    mailbox_id = found.first()
    if mailbox_id is None:
        raise NotFound(f"There is no such {noun}.")
    return str(mailbox_id)


def _which(boxes: list[Mailbox]) -> str:
    if not boxes:
        return "This key reaches no mailbox."
    named = ", ".join(f"{box.pk} ({box.address})" for box in boxes[:MOST_NAMED])
    return f"This key reaches several mailboxes. Name one as mailbox_id: {named}."


def _download(tool: Tool, caller: Caller, arguments: Arguments) -> Outcome:
    link = answered(caller, tool.calls[""], arguments)
    if not link.ok:
        return _failed(link)
    known = link.data()
    told = {name: known[name] for name in ("filename", "content_type", "size_bytes")}
    if known["size_bytes"] > INLINE_BYTES:
        note = "Too large to come along: fetch download_url, which needs no key."
        link_to = {"download_url": known["url"], "expires_in_seconds": known["expires_in"], "note": note}
        return Outcome([shown.as_json({**told, **link_to})])
    file = answered(caller, Call("GET", f"{mail.ONE}/attachments/{{filename}}"), arguments)
    if not file.ok:
        return _failed(file)
    content = {"content_base64": base64.b64encode(file.content).decode(), "size_bytes": len(file.content)}
    return Outcome([shown.as_json({**told, **content})])
