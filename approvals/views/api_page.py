"""The API's document as a page: every call with what it takes and answers. Public, and without a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from approvals.views.public import public_page

Schema = dict[str, Any]
# what the first part of an address is about, in the order of the reference
SECTIONS = {
    "mailboxes": "Mailboxes and their mail",
    "emails": "Mail across mailboxes",
    "oversight": "Oversight",
    "messages": "Flat calls",
    "webhooks": "Webhooks",
    "contacts": "Recipients",
    "domains": "Domains",
    "runs": "Runs and tools",
    "account": "Account, keys and records",
    "operator": "Operator sessions",
}
SECTION_OF = {
    **dict.fromkeys(("send", "reply", "inbox", "email", "tag"), "messages"),
    "webhook-deliveries": "webhooks",
    "suppression": "contacts",
    "tools": "runs",
}


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: str
    needed: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    method: str
    path: str
    meaning: str
    parameters: list[Field]
    body: list[Field]
    curl: str
    answer: str
    statuses: list[tuple[str, str]]


@login_not_required
@require_safe
def api(request: HttpRequest) -> HttpResponse:
    return public_page(request, "approvals/api.html", sections=sections(), base=settings.PUBLIC_URL)


@cache
def sections() -> list[tuple[str, str, list[Call]]]:
    """(its id, its title, its calls); what fits nowhere is about the account."""
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
    document: Schema = generator.get_schema(request=None, public=True)
    sorted_in: dict[str, list[Call]] = {name: [] for name in SECTIONS}
    for path, methods in document["paths"].items():
        part = path.removeprefix("/v1/").partition("/")[0]
        name = SECTION_OF.get(part, part)
        calls = [
            _call(path, method, told, document["components"]["schemas"]) for method, told in methods.items()
        ]
        sorted_in[name if name in SECTIONS else "account"] += calls
    return [(name, SECTIONS[name], calls) for name, calls in sorted_in.items() if calls]


def _call(path: str, method: str, told: Schema, shapes: Schema) -> Call:
    content = told.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = _resolved(content.get("schema", {}), shapes)
    good = next(code for code in sorted(told["responses"]) if code < "300")
    answer = told["responses"][good].get("content", {}).get("application/json", {})
    return Call(
        name=told["operationId"],
        method=method.upper(),
        path=path,
        meaning=told.get("description", ""),
        parameters=[
            _field(one["name"], one["schema"], one.get("required", False), shapes, one)
            for one in told.get("parameters", [])
        ],
        body=list(_fields(body, shapes)),
        curl=_curl(path, method, told, content.get("example")),
        answer=json.dumps(answer["example"], indent=2) if "example" in answer else "",
        statuses=[
            (code, told["responses"][code].get("description", "")) for code in sorted(told["responses"])
        ],
    )


def _fields(body: Schema, shapes: Schema) -> Iterator[Field]:
    for name, schema in body.get("properties", {}).items():
        yield _field(name, schema, name in body.get("required", []), shapes, schema)


def _field(name: str, schema: Schema, needed: bool, shapes: Schema, told: Schema) -> Field:
    meaning = told.get("description", "").partition("\n")[0].removesuffix("* ")
    return Field(name, _kind(schema, shapes), needed, "" if meaning.startswith("*") else meaning)


def _resolved(schema: Schema, shapes: Schema) -> Schema:
    found: Schema = shapes[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _kind(schema: Schema, shapes: Schema) -> str:
    schema = _resolved(schema, shapes)
    if "enum" in schema:
        shown = [str(value) for value in schema["enum"][:8]]
        return " | ".join([*shown, "…"] if len(schema["enum"]) > 8 else shown)
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " or ".join(_kind(one, shapes) for one in schema[several])
    kind = str(schema.get("type", "object"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}), shapes)}"
    return schema.get("format") or kind


def _curl(path: str, method: str, told: Schema, example: Any) -> str:
    for one in told.get("parameters", []):
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(one["example"]))
    lines = [f"curl {settings.PUBLIC_URL}{path}", '-H "Authorization: Bearer $KEY"']
    if method != "get":
        lines[0] = f"curl -X {method.upper()} {settings.PUBLIC_URL}{path}"
    if example is not None:
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(example)}'"]
    return " \\\n  ".join(lines)
