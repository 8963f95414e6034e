"""What the items of a conversation say of one run: its calls, their outputs, what was said. PURE.

Items are known by their `type`; the client has a class of its own for each in each of four places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assistants.models import Run, ToolCall
from assistants.observe import SeenCall

Item = Any  # any of the client's types
Param = dict[str, Any]  # an item as it is sent

APPROVAL = "mcp_approval_request"
# an item carries no metadata, so a run is found again by the last line of the message that began it
REFERENCE = re.compile(r"\n\n\(reference (\S+)\)\s*\Z")


def opening(run: Run) -> Param:
    """The message that begins the run."""
    return {"type": "message", "role": "user", "content": f"{run.prompt}\n\n(reference {run.pk})"}


def answer(call: SeenCall | ToolCall, output: str) -> Param:
    if call.name != APPROVAL:
        return {"type": "function_call_output", "call_id": call.call_id, "output": output}
    return {
        "type": "mcp_approval_response",
        "approval_request_id": call.call_id,
        "approve": _loaded(output).get("approve") is True,
        "reason": output,
    }


def of_run(newest_first: Iterable[Item], reference: str) -> list[Item]:
    """The run's own items, oldest first; none if it does not show.

    Without a `reference`, because somebody else began it, all that there are.
    """
    own: list[Item] = []
    for item in newest_first:
        own.append(item)
        found = _reference(item)
        if found and found == reference:
            return own[::-1]
        if found and reference:
            own.clear()  # of a later run
    return [] if reference else own[::-1]


def _reference(item: Item) -> str:
    found = REFERENCE.search(_text(item)) if item.type == "message" and item.role == "user" else None
    return found[1] if found else ""


def open_calls(items: Sequence[Item], answered: Mapping[str, str]) -> list[SeenCall]:
    calls = [call for item in items if (call := _call(item))]
    return [call for call in calls if call.call_id not in answered]


def _call(item: Item) -> SeenCall | None:
    if item.type == "function_call":
        return SeenCall(item.call_id, item.name, item.arguments)
    if item.type == APPROVAL:
        asked = {"server_label": item.server_label, "name": item.name, "arguments": item.arguments}
        return SeenCall(item.id, APPROVAL, json.dumps(asked, ensure_ascii=False))
    return None


def outputs(items: Iterable[Item]) -> dict[str, str]:
    """By call id; of two for one call the first, which is what the model was told."""
    shown: dict[str, str] = {}
    for item in items:
        if item.type == "function_call_output":
            shown.setdefault(item.call_id, _joined(item.output))
        elif item.type == "mcp_approval_response":
            bare = json.dumps({"approve": item.approve})
            shown.setdefault(item.approval_request_id, item.reason or bare)
    return shown


def is_unanswered(items: Sequence[Item]) -> bool:
    """The last word is not the model's."""
    last = next((item for item in reversed(items) if item.type != "reasoning"), None)
    if last is None or last.type == "message":
        return last is None or last.role == "user"
    return str(last.type).endswith(("_output", "_response"))


def said(items: Iterable[Item]) -> list[tuple[str, str]]:
    """Role and text of each message that has one."""
    messages = [item for item in items if item.type == "message" and item.role in ("user", "assistant")]
    spoken = [(str(item.role), REFERENCE.sub("", _text(item))) for item in messages]
    return [(role, text) for role, text in spoken if text]


def _text(item: Item) -> str:
    return _joined(item.content)


def _joined(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = (getattr(part, "text", None) or getattr(part, "refusal", None) or "" for part in content or ())
    return "\n".join(part for part in parts if part)


def _loaded(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
