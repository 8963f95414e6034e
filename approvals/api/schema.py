"""The OpenAPI document, generated from the code: answers from their TypedDicts, requests by DRF."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from drf_spectacular.utils import extend_schema

from approvals.api import answers, examples, links

Schema = dict[str, Any]
Method = TypeVar("Method", bound=Callable[..., Any])

PRIMITIVES = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}

# every TypedDict that an operation has named, and those that they name
_components: dict[str, Schema] = {}


def schema_of(hint: Any) -> Schema:
    if is_typeddict(hint):
        return _component(hint)
    build = COMPOSITES.get(get_origin(hint))
    if build:
        return build(get_args(hint))
    return {} if hint is Any else {"type": PRIMITIVES[hint]}


def _any_of(args: tuple[Any, ...]) -> Schema:
    return {"anyOf": [schema_of(arg) for arg in args]}


COMPOSITES: dict[Any, Callable[[tuple[Any, ...]], Schema]] = {
    list: lambda args: {"type": "array", "items": schema_of(args[0])},
    dict: lambda args: {"type": "object", "additionalProperties": schema_of(args[1])},
    Union: _any_of,
    types.UnionType: _any_of,
}


def _component(shape: Any) -> Schema:
    name = shape.__name__
    if name not in _components:
        _components[name] = {}  # first, for shapes that name themselves
        hints = get_type_hints(shape)
        described = {"description": shape.__doc__} if shape.__doc__ else {}
        _components[name] = {
            "type": "object",
            **described,
            "properties": {field: schema_of(hint) for field, hint in hints.items()},
            "required": sorted(shape.__required_keys__),
        }
    return {"$ref": f"#/components/schemas/{name}"}


ID = r"^[A-Za-z0-9_.:-]{1,200}$"
REFUSALS = {
    400: "Something in the request is wrong; `fields` says what.",
    401: "No key, or not a good one.",
    403: "The key's scope or the mailbox's mode forbids it.",
    404: "Not there, or out of reach.",
    409: "Somebody was first, or the same content was just sent.",
    429: "Too many calls; see Retry-After.",
}


def operation(
    operation_id: str, answer: Any, *, status: int = 200, also: dict[int, Any] | None = None, **options: Any
) -> Callable[[Method], Method]:
    """Describe a view's method: what it answers, `also` with other status codes, and how it refuses."""
    shapes = {status: answer, **(also or {})}
    refusals = {code: answers.ConflictError if code == 409 else answers.Error for code in REFUSALS}
    responses = {code: schema_of(shape) for code, shape in (shapes | refusals).items()}
    return extend_schema(operation_id=operation_id, responses=responses, **options)


def binary(operation_id: str, **options: Any) -> Callable[[Method], Method]:
    """Of a method that answers a file."""
    refusals = {code: schema_of(answers.Error) for code in REFUSALS}
    file = {(200, "application/octet-stream"): {"type": "string", "format": "binary"}}
    return extend_schema(operation_id=operation_id, responses={**file, **refusals}, **options)


def public(
    operation_id: str, answer: Any, *, also: dict[int, Any] | None = None, **options: Any
) -> Callable[[Method], Method]:
    responses = {code: schema_of(shape) for code, shape in ({200: answer} | (also or {})).items()}
    return extend_schema(operation_id=operation_id, responses=responses, auth=[], **options)


WITH_BODY = {
    413: "The body is larger than this call takes.",
    415: "The body is not JSON.",
}
HEADERS = {
    "401": ("WWW-Authenticate", "How to sign in: with a bearer key.", "string"),
    "429": ("Retry-After", "Seconds after which the same call may pass.", "integer"),
}


def complete(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """A post-processing hook: adds what spectacular cannot see, the shapes and the async view."""
    shapes = result["components"].setdefault("schemas", {})
    shapes.update(sorted(_components.items()))
    result["paths"]["/v1/messages/{id}"] = {"get": _wait_for_message()}
    for path in result["paths"].values():
        for method, described in path.items():
            _complete(method, described, shapes)
    return result


def _complete(method: str, described: Schema, shapes: Schema) -> None:
    responses = described["responses"]
    if method == "get":
        responses.pop("409", None)  # who reads is in nobody's way
    else:
        error = {"content": {"application/json": {"schema": schema_of(answers.Error)}}}
        responses.update({str(code): {**error, "description": WITH_BODY[code]} for code in WITH_BODY})
    for parameter in described.get("parameters", []):
        parameter["example"] = examples.of(parameter["schema"], shapes, name=parameter["name"])
    for content in described.get("requestBody", {}).get("content", {}).values():
        content["example"] = examples.of(content["schema"], shapes, is_request=True)
    for code, response in responses.items():
        _complete_answer(code, response, shapes)
        if found := links.LINKS.get(described["operationId"], {}).get(code):
            response["links"] = found


def _complete_answer(code: str, response: Schema, shapes: Schema) -> None:
    response["description"] = response.get("description") or REFUSALS.get(int(code), "Done.")
    if code in HEADERS:
        name, meaning, kind = HEADERS[code]
        response["headers"] = {name: {"description": meaning, "schema": {"type": kind}}}
    told = response.get("content", {}).get("application/json")
    if told:
        told["example"] = examples.of(told["schema"], shapes)


def _wait_for_message() -> Schema:
    """GET /v1/messages/{id} is an async view outside DRF, so it is described by hand."""
    shapes = {200: answers.MessageStatus, **dict.fromkeys((400, 401, 403, 404, 429), answers.Error)}
    return {
        "operationId": "get_message",
        "description": "The status of a message; with `wait`, at its next change.",
        "parameters": [
            {"in": "path", "name": "id", "schema": {"type": "string", "pattern": ID}, "required": True},
            {"in": "query", "name": "wait", "schema": {"type": "integer", "minimum": 0, "maximum": 55}},
        ],
        "tags": ["v1"],
        "security": [{"bearerKey": []}, {"headerKey": []}],
        "responses": {
            str(code): {"content": {"application/json": {"schema": schema_of(shape)}}}
            for code, shape in shapes.items()
        },
    }
