"""Any Chat Completions endpoint as the model behind a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from assistants.models import Connection
from assistants.server.turn import Call, Called, Json, ModelError, Reply, Said, Turn
from audit.log import storable

TIMEOUT = 120.0  # seconds; under the engine's lease, which must outlast it
# asked for again later by the engine, which keeps no thread waiting for it
TRANSIENT = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
NONSENSE = "The model's server answered with something that is no chat completion."


def reply(connection: Connection, turn: Turn) -> Reply:
    # some servers want no key, while the client wants one
    key = connection.api_key or "none"
    try:
        with openai.OpenAI(
            base_url=connection.base_url or None, api_key=key, timeout=TIMEOUT, max_retries=0
        ) as client:
            answer = client.chat.completions.create(**request(connection, turn))
    except openai.OpenAIError as error:
        raise _understood(error) from error
    except ValueError as error:
        raise ModelError(NONSENSE) from error
    return _read(answer)


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


def _read(answer: ChatCompletion) -> Reply:
    # a server that only resembles the real one may leave out anything: trust no type
    choices: Any = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices or getattr(choices[0], "message", None) is None:
        raise ModelError(NONSENSE)
    message, finish = choices[0].message, getattr(choices[0], "finish_reason", None)
    if finish == "content_filter" or getattr(message, "refusal", None):
        raise ModelError("The model refused to answer.", "invalid_prompt")
    text = storable(message.content) if isinstance(getattr(message, "content", None), str) else ""
    calls = [_call(one) for one in getattr(message, "tool_calls", None) or []]
    usage = getattr(answer, "usage", None)
    return Reply(
        text=text,
        calls=calls,
        prompt_tokens=_count(getattr(usage, "prompt_tokens", 0)),
        completion_tokens=_count(getattr(usage, "completion_tokens", 0)),
        cut_short=finish == "length",
    )


def _call(one: Any) -> Call:
    function = getattr(one, "function", None)
    name, arguments = getattr(function, "name", None), getattr(function, "arguments", None)
    if not isinstance(name, str) or not isinstance(arguments, str):
        raise ModelError("The model answered with a tool call that cannot be read.")
    return Call(storable(name), storable(arguments) or "{}")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _understood(error: openai.OpenAIError) -> ModelError:
    transient = isinstance(error, TRANSIENT)
    if isinstance(error, openai.APITimeoutError):
        return ModelError("The model's server did not answer in time.", transient=transient)
    if isinstance(error, openai.APIConnectionError):
        return ModelError("The model's server could not be reached.", transient=transient)
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        # its text may quote the key
        return ModelError("The model's server refused the connection's key.")
    if isinstance(error, openai.RateLimitError):
        return ModelError(
            "The model's server is busy: " + _brief(error), "rate_limit_exceeded", transient=transient
        )
    if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        return ModelError("The model's server refused the request: " + _brief(error), "invalid_prompt")
    return ModelError("The model's server failed: " + _brief(error), transient=transient)


def _brief(error: openai.OpenAIError) -> str:
    return str(error)[:500]
