"""What a Chat Completions endpoint is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from assistants.models import Connection
from assistants.server.turn import Called, Json, Said, Turn


def request(connection: Connection, turn: Turn) -> Json:
    asked = {
        "model": connection.models_served.get(turn.model, connection.model or turn.model),
        "messages": list(_messages(turn)),
        **_passed_on(turn),
    }
    if turn.functions:
        asked["tools"] = [{"type": "function", "function": tool["function"]} for tool in turn.functions]
        asked |= _tool_options(turn)
    return asked


def _passed_on(turn: Turn) -> Json:
    """Only what was set: many servers refuse what they do not know."""
    names = ("temperature", "top_p", "reasoning_effort", "max_completion_tokens")
    given = {name: turn.options[name] for name in names if turn.options.get(name) is not None}
    form = turn.options.get("response_format")
    return given | ({"response_format": form} if isinstance(form, dict) else {})


def _tool_options(turn: Turn) -> Json:
    asked: Json = {}
    choice = turn.options.get("tool_choice")
    # a choice of one of OpenAI's own tools, which there are none of here, means nothing
    if isinstance(choice, str) or (choice and choice["type"] == "function"):
        # a forced call is forced once: afterwards the run must be able to end
        asked["tool_choice"] = choice if turn.number == 1 or choice == "none" else "auto"
    if turn.options.get("parallel_tool_calls") is not None:
        asked["parallel_tool_calls"] = turn.options["parallel_tool_calls"]
    return asked


def _messages(turn: Turn) -> Iterator[Json]:
    if turn.instructions:
        yield {"role": "system", "content": turn.instructions}
    for item in turn.conversation:
        if isinstance(item, Called):
            yield from _called(item)
        elif item.role == "assistant":
            yield {"role": "assistant", "content": item.text}
        else:
            yield {"role": "user", "content": _content(item)}


def _called(item: Called) -> Iterator[Json]:
    yield {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in item.calls
        ],
    }
    for call in item.calls:
        yield {"role": "tool", "tool_call_id": call["id"], "content": call["output"]}


def _content(item: Said) -> str | list[Json]:
    if all(block["type"] == "text" for block in item.content):
        return item.text
    return [_part(block) for block in item.content]


def _part(block: Json) -> Json:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]["value"]}
    if block["type"] == "image_url":
        return block
    return {"type": "text", "text": f"[an image that is not kept here: {block['image_file']['file_id']}]"}
