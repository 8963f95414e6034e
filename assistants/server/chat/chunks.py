"""An answer that comes chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from assistants.server.chat.errors import BROKE_OFF, NONSENSE, REFUSED, UNREADABLE
from assistants.server.chat.whole import closing, text_of
from assistants.server.turn import Answer, ModelError, Piece
from audit.log import storable


def read(stream: Iterable[Any]) -> Answer:
    usage = finish = None
    began = False
    numbers = _Numbers()
    for chunk in stream:
        began = True
        usage = getattr(chunk, "usage", None) or usage
        choices = getattr(chunk, "choices", None)
        if not isinstance(choices, list) or not choices:
            continue  # such as the last one, which brings the usage
        finish = getattr(choices[0], "finish_reason", None) or finish
        yield from _pieces(getattr(choices[0], "delta", None), numbers)
        if finish == "content_filter":
            raise ModelError(REFUSED, "invalid_prompt")
    if finish is None:
        # every server names a reason at the end: without one, there was more to come
        raise ModelError(BROKE_OFF, transient=True) if began else ModelError(NONSENSE)
    yield closing(usage, finish)


def _pieces(delta: Any, numbers: _Numbers) -> Iterator[Piece]:
    if getattr(delta, "refusal", None):
        raise ModelError(REFUSED, "invalid_prompt")
    if text := text_of(delta):
        yield Piece(text)
    for call in getattr(delta, "tool_calls", None) or []:
        function = getattr(call, "function", None)
        name, arguments = getattr(function, "name", None) or "", getattr(function, "arguments", None) or ""
        if not isinstance(name, str) or not isinstance(arguments, str):
            raise ModelError(UNREADABLE)
        yield Piece(call=numbers.of(call), name=storable(name), arguments=storable(arguments))


class _Numbers:
    """Which call a part belongs to. Some servers give every call the index 0, or none: then a new id
    begins a new call.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._by_index: dict[Any, int] = {}

    def of(self, call: Any) -> int:
        index, id = getattr(call, "index", None), getattr(call, "id", None) or ""
        number = self._by_index.get(index)
        if number is None or (id and id != self._ids[number]):
            self._ids.append(id)
            number = self._by_index[index] = len(self._ids) - 1
        return number
