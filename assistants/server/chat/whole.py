"""An answer that comes in one. A server that only resembles the real one may leave out anything: no type is
trusted.
"""

from __future__ import annotations

from typing import Any

from assistants.server.chat.errors import NONSENSE, REFUSED, UNREADABLE
from assistants.server.turn import MOST_TOKENS, Answer, Closing, ModelError, Piece
from audit.log import storable


def read(said: Any) -> Answer:
    choices = getattr(said, "choices", None)
    if not isinstance(choices, list) or not choices or getattr(choices[0], "message", None) is None:
        raise ModelError(NONSENSE)
    message, finish = choices[0].message, getattr(choices[0], "finish_reason", None)
    if finish == "content_filter" or getattr(message, "refusal", None):
        raise ModelError(REFUSED, "invalid_prompt")
    if text := text_of(message):
        yield Piece(text)
    for number, call in enumerate(getattr(message, "tool_calls", None) or []):
        yield _call(number, call)
    yield closing(getattr(said, "usage", None), finish)


def text_of(message: Any) -> str:
    content = getattr(message, "content", None)
    return storable(content) if isinstance(content, str) else ""


def _call(number: int, call: Any) -> Piece:
    function = getattr(call, "function", None)
    name, arguments = getattr(function, "name", None), getattr(function, "arguments", None)
    if not isinstance(name, str) or not isinstance(arguments, str):
        raise ModelError(UNREADABLE)
    return Piece(call=number, name=storable(name), arguments=storable(arguments))


def closing(usage: Any, finish: Any) -> Closing:
    return Closing(
        prompt_tokens=_count(getattr(usage, "prompt_tokens", 0)),
        completion_tokens=_count(getattr(usage, "completion_tokens", 0)),
        cut_short=finish == "length",
    )


def _count(value: Any) -> int:
    return min(value, MOST_TOKENS) if isinstance(value, int) and value >= 0 else 0
