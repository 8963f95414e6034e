"""What a request body may hold, as data. Fields that we do not know are ignored: clients speak dialects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from assistants.server.errors import ApiError
from audit.log import no_constant, storable

Check = Callable[[Any, str], Any]  # (value, name of the parameter) -> value, or raises ApiError

MAX_TEXT = 256_000
MAX_CONTENT = 256_000
MAX_DEPTH = 100


def body_of(request: HttpRequest) -> dict[str, Any]:
    try:
        body = json.loads(request.body or b"{}", parse_constant=no_constant)
    except RequestDataTooBig:
        raise ApiError("The request body is too large.", 413) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise ApiError("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise ApiError("The body of the request must be a JSON object.")
    _check_depth(body, MAX_DEPTH)
    kept: dict[str, Any] = storable(body)
    return kept


def _too_deep() -> ApiError:
    return ApiError(f"The body of the request is nested more than {MAX_DEPTH} levels deep.")


def _check_depth(value: Any, left: int) -> None:
    """Far short of what it takes to exhaust Python's stack, here or wherever the value is written."""
    if not left:
        raise _too_deep()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        _check_depth(item, left - 1)


def clean(
    body: Mapping[str, Any], checks: Mapping[str, Check], required: Iterable[str] = ()
) -> dict[str, Any]:
    """The fields that were given, checked. Those absent are absent from the result."""
    for name in required:
        if body.get(name) is None:
            raise missing(name)
    return {name: check(body[name], name) for name, check in checks.items() if name in body}


def missing(param: str) -> ApiError:
    return ApiError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def wrong(param: str, expected: str, value: Any) -> ApiError:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    got = kinds.get(type(value), "a number")
    return ApiError(
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.",
        param=param,
        code="invalid_type",
    )


def invalid(param: str, sentence: str) -> ApiError:
    return ApiError(f"Invalid '{param}': {sentence}", param=param, code="invalid_value")


def text(limit: int = MAX_TEXT) -> Check:
    def check(value: Any, param: str) -> str:
        if not isinstance(value, str):
            raise wrong(param, "a string", value)
        if len(value) > limit:
            raise invalid(param, f"string too long. Expected a string with maximum length {limit}.")
        return value

    return check


def maybe(inner: Check) -> Check:
    return lambda value, param: None if value is None else inner(value, param)


def number(low: float, high: float) -> Check:
    def check(value: Any, param: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(param, "a number", value)
        if not low <= value <= high:
            raise invalid(param, f"expected a number between {low} and {high}.")
        return value

    return check


def whole(low: int, high: int = 2**31 - 1) -> Check:
    def check(value: Any, param: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(param, "an integer", value)
        if not low <= value <= high:
            raise invalid(param, f"expected an integer between {low} and {high}.")
        return value

    return check


def flag(value: Any, param: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(param, "a boolean", value)
    return value


def one_of(*allowed: str) -> Check:
    def check(value: Any, param: str) -> str:
        if value not in allowed or not isinstance(value, str):
            raise invalid(param, f"expected one of {', '.join(allowed)}.")
        return value

    return check


def an_object(value: Any, param: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(param, "an object", value)
    return value


def array_of(inner: Check, limit: int) -> Check:
    def check(value: Any, param: str) -> list[Any]:
        if not isinstance(value, list):
            raise wrong(param, "an array", value)
        if len(value) > limit:
            raise invalid(param, f"array too long. Expected an array with maximum length {limit}.")
        return [inner(item, f"{param}[{n}]") for n, item in enumerate(value)]

    return check


def shape(checks: Mapping[str, Check], required: Iterable[str] = ()) -> Check:
    """An object whose named members are checked; other members are kept as they are."""

    def check(value: Any, param: str) -> dict[str, Any]:
        given = an_object(value, param)
        prefix = f"{param}." if param else ""
        for name in required:
            if given.get(name) is None:
                raise missing(f"{prefix}{name}")
        return given | {
            name: one(given[name], f"{prefix}{name}") for name, one in checks.items() if name in given
        }

    return check


def by_type(**shapes: Check) -> Check:
    """An object whose `type` says which shape it has."""

    def check(value: Any, param: str) -> dict[str, Any]:
        kind = one_of(*shapes)(an_object(value, param).get("type"), f"{param}.type")
        kept: dict[str, Any] = shapes[kind](value, param)
        return kept

    return check


def metadata(value: Any, param: str) -> dict[str, str]:
    """16 pairs, keys up to 64 characters, values up to 512."""
    if value is None:
        return {}
    if len(an_object(value, param)) > 16:
        raise invalid(param, f"too many properties. Expected at most 16, but got {len(value)} instead.")
    for key, item in value.items():
        if len(key) > 64:
            raise invalid(param, f"the key '{key[:64]}…' is longer than 64 characters.")
        text(512)(item, f"{param}.{key}")
    return dict(value)


def function_name(value: Any, param: str) -> str:
    name: str = text(64)(value, param)
    if not name or not all(char.isascii() and (char.isalnum() or char in "_-") for char in name):
        raise invalid(param, "expected a name of letters, digits, underscores and dashes.")
    return name
