"""The objects of the Assistants protocol as servers really send them, read with patience. PURE.

Seen: ids without prefixes, times as floats, in milliseconds or as text, `metadata_`, a `{}` or null where
an object belongs, a `required_action` that lists nothing, steps whose `output` is missing until it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from assistants.models import Run
from assistants.observe import SeenCall

Json = Mapping[str, Any]

# what a server itself may say; STARTING and GONE are words of ours
STATUSES = {*Run.Status.values} - {Run.Status.STARTING, Run.Status.GONE}
SPELLED = {"canceled": Run.Status.CANCELLED}
MILLISECONDS = 1e11  # in seconds that is the year 5138


def mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def status(run: Json) -> str:
    """A word that we don't know is none for an end, so the run goes on."""
    said = text(run.get("status"))
    return said if said in STATUSES else SPELLED.get(said, Run.Status.IN_PROGRESS)


def moment(value: object) -> datetime | None:
    """Seconds or milliseconds since 1970, as a number or a numeral; or a date as ISO 8601 has it."""
    try:
        seconds = float(value)  # type: ignore[arg-type]
        return (
            datetime.fromtimestamp(seconds / 1000 if seconds > MILLISECONDS else seconds, UTC)
            if seconds
            else None
        )
    except (TypeError, ValueError, OverflowError, OSError):
        return _date(value)


def _date(value: object) -> datetime | None:
    try:
        date = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def metadata(thing: Json) -> dict[str, str]:
    found = mapping(thing.get("metadata") or thing.get("metadata_"))
    return {str(key): text(value) for key, value in found.items()}


def open_calls(run: Json) -> list[SeenCall]:
    asked = mapping(mapping(run.get("required_action")).get("submit_tool_outputs"))
    return list(_calls(mappings(asked.get("tool_calls"))))


def outputs(steps: Iterable[Json]) -> dict[str, str]:
    """What the steps show as accepted, by call id."""
    calls = [call for step in steps for call in _step_calls(step)]
    return {text(call.get("id")): output for call in calls if (output := _output(call))}


def unanswered(steps: Iterable[Json]) -> list[SeenCall]:
    """The open calls, where the run itself does not list them."""
    under_way = [step for step in steps if step.get("status") == "in_progress"]
    return list(_calls(call for step in under_way for call in _step_calls(step) if not _output(call)))


def said(message: Json) -> dict[str, str]:
    at = moment(message.get("created_at"))
    return {
        "role": text(message.get("role")),
        "text": _text(message.get("content")),
        "at": at.isoformat() if at else "",
    }


def last_error(run: Json) -> str:
    error = run.get("last_error")
    if error:
        return text(mapping(error).get("message") or mapping(error).get("code") or error)
    return text(mapping(run.get("incomplete_details")).get("reason"))


def _calls(calls: Iterable[Json]) -> Iterable[SeenCall]:
    for call in calls:
        function = mapping(call.get("function"))
        if call.get("id") and function.get("name"):
            yield SeenCall(text(call["id"]), text(function["name"]), text(function.get("arguments")) or "{}")


def _step_calls(step: Json) -> list[Json]:
    return mappings(mapping(step.get("step_details")).get("tool_calls"))


def _output(call: Json) -> str:
    """ "" until there is one: null, missing or empty."""
    return text(mapping(call.get("function")).get("output"))


def _text(content: object) -> str:
    """Of a message: a text, or parts with a text each, which may be an object with the value in it."""
    if isinstance(content, str):
        return content
    parts = [part["text"] for part in mappings(content) if part.get("text")]
    return "\n".join(text(part.get("value") if isinstance(part, Mapping) else part) for part in parts)
