"""A model that follows a script, for the demo and for tests. It is no language model and never says it is.

A script is a list of turns tried in order; the first whose `when` fits wins:
[{"when": {"contains": text, "tool_result_contains": text, "turn": n}, "calls": [{"name", "arguments"}]}
 or {"when": …, "say": text, "delay_ms": n, "word_ms": n}]
`delay_ms` passes before it answers, `word_ms` before each further word that a reader is to see coming.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assistants.server.turn import Answer, Called, Piece, Said, Turn

NOTHING_FITS = "The script of this scripted model has no turn that fits here."
LONGEST_DELAY = 60_000  # ms

Problem = tuple[str, str]  # (path within the script, what is wrong there)


def answer(script: Sequence[Mapping[str, Any]], turn: Turn) -> Answer:
    nothing: Mapping[str, Any] = {"say": NOTHING_FITS}
    scene = next((scene for scene in script if _fits(scene.get("when") or {}, turn)), nothing)
    _pause(scene.get("delay_ms", 0))
    for number, piece in enumerate(_pieces(scene, turn)):
        if number:
            _pause(scene.get("word_ms", 0))
        yield piece


def _pause(milliseconds: int) -> None:
    time.sleep(min(milliseconds, LONGEST_DELAY) / 1000)


def _pieces(scene: Mapping[str, Any], turn: Turn) -> Iterator[Piece]:
    split = _words if turn.streamed else _whole
    if "say" in scene:
        yield from (Piece(word) for word in split(scene["say"]))
        return
    known = _known(turn)
    for number, call in enumerate(scene["calls"]):
        yield Piece(call=number, name=call["name"])
        arguments = json.dumps(_fill(call.get("arguments", {}), known))
        yield from (Piece(call=number, arguments=word) for word in split(arguments))


def _whole(text: str) -> list[str]:
    return [text]


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*", text) or [text]


def _fits(when: Mapping[str, Any], turn: Turn) -> bool:
    said = next(
        (item.text for item in reversed(turn.conversation) if isinstance(item, Said) and item.role == "user"),
        "",
    )
    newest = next(_answered(turn), None)
    outputs = [call["output"] for call in newest.calls] if newest else []
    return (
        ("turn" not in when or when["turn"] == turn.number)
        and _within(when.get("contains", ""), said)
        and (
            "tool_result_contains" not in when
            or any(_within(when["tool_result_contains"], one) for one in outputs)
        )
    )


def _within(part: str, whole: str) -> bool:
    return part.casefold() in whole.casefold()


def _answered(turn: Turn) -> Iterator[Called]:
    """The turns of this run whose calls were answered, newest first."""
    return (item for item in reversed(turn.conversation) if isinstance(item, Called) and item.this_run)


def _known(turn: Turn) -> dict[str, str]:
    """What fills the placeholders: what the run names, and else the newest email that a tool told of."""
    if turn.known.get("email_id"):
        return dict(turn.known)
    told = (_email_id(call["output"]) for item in _answered(turn) for call in reversed(item.calls))
    found = next((email_id for email_id in told if email_id), "")
    return dict(turn.known) | ({"email_id": found} if found else {})


def _email_id(output: str) -> str:
    try:
        told = json.loads(output)
    except (ValueError, RecursionError):
        return ""
    listed = told.get("emails") if isinstance(told, dict) else told
    first = listed[0] if isinstance(listed, list) and listed else told
    found = (first.get("email_id") or first.get("id")) if isinstance(first, dict) else ""
    return found if isinstance(found, str) else ""


def _fill(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, filling in known.items():
            value = value.replace(f"{{{name}}}", filling)
        return value
    if isinstance(value, list):
        return [_fill(item, known) for item in value]
    return {key: _fill(item, known) for key, item in value.items()} if isinstance(value, dict) else value


def validate(script: Any) -> list[Problem]:
    """Every problem of a script, by path, e.g. ("[0].when.turn", "must be a whole number from 1")."""
    if not isinstance(script, list):
        return [("", "must be a list of turns")]
    return [problem for n, scene in enumerate(script) for problem in _check_scene(scene, f"[{n}]")]


def _check_scene(scene: Any, path: str) -> Iterator[Problem]:
    if not isinstance(scene, dict):
        yield path, "must be an object"
        return
    yield from _unknown(scene, {"when", "calls", "say", "delay_ms", "word_ms"}, path)
    if ("calls" in scene) == ("say" in scene):
        yield path, "must have either calls or say"
    if "when" in scene:
        yield from _check_when(scene["when"], f"{path}.when")
    if not isinstance(scene.get("say", ""), str):
        yield f"{path}.say", "must be a text"
    for name in ("delay_ms", "word_ms"):
        if not _is_whole(scene.get(name, 0), 0, LONGEST_DELAY):
            yield f"{path}.{name}", f"must be a whole number of milliseconds, at most {LONGEST_DELAY}"
    if "calls" in scene:
        yield from _check_calls(scene["calls"], f"{path}.calls")


def _check_when(when: Any, path: str) -> Iterator[Problem]:
    if not isinstance(when, dict):
        yield path, "must be an object"
        return
    yield from _unknown(when, {"contains", "tool_result_contains", "turn"}, path)
    for name in ("contains", "tool_result_contains"):
        if not isinstance(when.get(name, ""), str):
            yield f"{path}.{name}", "must be a text"
    if not _is_whole(when.get("turn", 1), 1, 10_000):
        yield f"{path}.turn", "must be a whole number from 1"


def _check_calls(calls: Any, path: str) -> Iterator[Problem]:
    if not isinstance(calls, list) or not calls:
        yield path, "must be a list of at least one call"
        return
    for n, call in enumerate(calls):
        if not isinstance(call, dict):
            yield f"{path}[{n}]", "must be an object"
            continue
        yield from _unknown(call, {"name", "arguments"}, f"{path}[{n}]")
        if not isinstance(call.get("name"), str) or not call["name"]:
            yield f"{path}[{n}].name", "must be the name of a function"
        if not isinstance(call.get("arguments", {}), dict):
            yield f"{path}[{n}].arguments", "must be an object"


def _unknown(given: Mapping[str, Any], known: set[str], path: str) -> Iterator[Problem]:
    return ((f"{path}.{name}", "is not known here") for name in given if name not in known)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
