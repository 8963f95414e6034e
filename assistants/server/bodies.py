"""The fields of each request, by object."""

from __future__ import annotations

from typing import Any

from assistants.server import fields
from assistants.server.fields import array_of, by_type, maybe, number, one_of, shape, text, whole

_ids = array_of(text(256), 10_000)
tool_resources = maybe(
    shape(
        {
            "code_interpreter": maybe(shape({"file_ids": maybe(_ids)})),
            "file_search": maybe(shape({"vector_store_ids": maybe(_ids)})),
        }
    )
)

_function = shape(
    {
        "name": fields.function_name,
        "description": maybe(text()),
        "parameters": maybe(fields.an_object),
        "strict": maybe(fields.flag),
    },
    required=["name"],
)
_tool = by_type(
    function=shape({"function": _function}, required=["function"]),
    code_interpreter=fields.an_object,
    file_search=shape({"file_search": maybe(fields.an_object)}),
)


def tool(value: Any, param: str) -> dict[str, Any]:
    given = fields.an_object(value, param)
    # its name in the first version of the protocol
    is_old = given.get("type") == "retrieval"
    checked: dict[str, Any] = _tool(given | {"type": "file_search"} if is_old else given, param)
    return checked


tools = array_of(tool, 128)


def response_format(value: Any, param: str) -> Any:
    if value in (None, "auto"):
        return value
    schema = shape({"name": text(64), "schema": fields.an_object}, required=["name"])
    return by_type(
        text=fields.an_object,
        json_object=fields.an_object,
        json_schema=shape({"json_schema": schema}, required=["json_schema"]),
    )(value, param)


def tool_choice(value: Any, param: str) -> Any:
    if value is None or isinstance(value, str):
        return maybe(one_of("none", "auto", "required"))(value, param)
    named = shape({"name": fields.function_name}, required=["name"])
    return by_type(
        function=shape({"function": named}, required=["function"]),
        code_interpreter=fields.an_object,
        file_search=fields.an_object,
    )(value, param)


def _written(value: Any, param: str) -> Any:
    """The text of a block, which some clients send in the shape in which we give it out."""
    return text(fields.MAX_CONTENT)(value.get("value") if isinstance(value, dict) else value, param)


_block = by_type(
    text=shape({"text": _written}, required=["text"]),
    image_url=shape({"image_url": shape({"url": text(20_000)}, required=["url"])}, required=["image_url"]),
    image_file=shape(
        {"image_file": shape({"file_id": text(256)}, required=["file_id"])}, required=["image_file"]
    ),
)


def content(value: Any, param: str) -> list[dict[str, Any]]:
    """Content blocks as they are given out again, from a string or from blocks."""
    blocks = [{"type": "text", "text": value}] if isinstance(value, str) else value
    blocks = array_of(_block, 100)(blocks, param)
    if not blocks or any(block["type"] == "text" and not block["text"] for block in blocks):
        raise fields.invalid(param, "message content must be non-empty.")
    return [written(block["text"]) if block["type"] == "text" else block for block in blocks]


def written(value: str) -> dict[str, Any]:
    return {"type": "text", "text": {"value": value, "annotations": []}}


_attachment_tool = by_type(code_interpreter=fields.an_object, file_search=fields.an_object)
_attachment = shape({"file_id": maybe(text(256)), "tools": maybe(array_of(_attachment_tool, 10))})

MESSAGE: dict[str, fields.Check] = {
    "role": one_of("user", "assistant"),
    "content": content,
    "attachments": maybe(array_of(_attachment, 100)),
    "metadata": fields.metadata,
}
_WITHOUT_CONTENT = {name: check for name, check in MESSAGE.items() if name != "content"}


def message(value: Any, param: str) -> dict[str, Any]:
    """One of a list under `param`; or, with "" for it, the whole body of a request."""
    given = fields.an_object(value, param)
    if given.get("role") == "assistant" and given.get("content") in (None, "", []):
        # a turn that only called tools, from somebody's record of a conversation
        checked = shape(_WITHOUT_CONTENT)(given, param) | {"content": []}
    else:
        checked = shape(MESSAGE, ["role", "content"])(given, param)
    return {name: checked[name] for name in MESSAGE if name in checked}


METADATA = {"metadata": fields.metadata}

THREAD: dict[str, fields.Check] = METADATA | {
    "messages": maybe(array_of(message, 1000)),
    "tool_resources": tool_resources,
}

SAMPLING: dict[str, fields.Check] = {
    "temperature": maybe(number(0, 2)),
    "top_p": maybe(number(0, 1)),
    "response_format": response_format,
    "reasoning_effort": maybe(text(20)),
}

ASSISTANT: dict[str, fields.Check] = (
    METADATA
    | SAMPLING
    | {
        "model": text(256),
        "name": maybe(text(256)),
        "description": maybe(text(512)),
        "instructions": maybe(text()),
        "tools": maybe(tools),
        "tool_resources": tool_resources,
    }
)

RUN_OPTIONS: dict[str, fields.Check] = SAMPLING | {
    "tool_choice": tool_choice,
    "parallel_tool_calls": maybe(fields.flag),
    "max_prompt_tokens": maybe(whole(256)),
    "max_completion_tokens": maybe(whole(1)),
    "truncation_strategy": maybe(
        shape({"type": one_of("auto", "last_messages"), "last_messages": maybe(whole(1))}, required=["type"])
    ),
}

RUN: dict[str, fields.Check] = (
    METADATA
    | RUN_OPTIONS
    | {
        "assistant_id": text(256),
        "model": maybe(text(256)),
        "instructions": maybe(text()),
        "additional_instructions": maybe(text()),
        "additional_messages": maybe(array_of(message, 1000)),
        "tools": maybe(tools),
        "stream": maybe(fields.flag),
    }
)

THREAD_AND_RUN: dict[str, fields.Check] = RUN | {
    "thread": maybe(fields.an_object),
    "tool_resources": tool_resources,
}


def _output(value: Any, param: str) -> str:
    # it is optional in the official client's types
    return "" if value is None else str(text(512_000)(value, param))


_answered = shape({"tool_call_id": text(200), "output": _output}, required=["tool_call_id"])


def _answer(value: Any, param: str) -> dict[str, Any]:
    checked: dict[str, Any] = _answered(value, param)
    return {"output": ""} | checked


OUTPUTS: dict[str, fields.Check] = {
    "stream": maybe(fields.flag),
    "tool_outputs": array_of(_answer, 128),
}
