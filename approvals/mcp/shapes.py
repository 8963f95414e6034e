"""What a tool is: which calls of the API it makes, its arguments, and how its answer is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from approvals.mcp import shown

Schema = dict[str, Any]


class Call(NamedTuple):
    """One call of the API. `{names}` in the path are arguments; all others are its query or its body."""

    method: str
    path: str


class Hints(NamedTuple):
    """What clients may want to know before they call; the keys' scopes are what is enforced."""

    reads: bool
    destroys: bool
    repeatable: bool
    leaves: bool  # it reaches people outside


READS = Hints(reads=True, destroys=False, repeatable=True, leaves=False)
ADDS = Hints(reads=False, destroys=False, repeatable=False, leaves=False)
SETS = Hints(reads=False, destroys=False, repeatable=True, leaves=False)
DESTROYS = Hints(reads=False, destroys=True, repeatable=True, leaves=False)
# what was sent cannot be taken back
SENDS = Hints(reads=False, destroys=True, repeatable=False, leaves=True)
ASKS = Hints(reads=False, destroys=False, repeatable=False, leaves=True)


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    title: str
    description: str
    hints: Hints
    # by the value of the argument `action`; under "" when there is one call
    calls: Mapping[str, Call]
    arguments: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    # sent along with every call
    fixed: Mapping[str, Any] = field(default_factory=dict)
    show: Callable[[Any], list[str]] = shown.plain
    # names for the body, and the run, in the API's other dialect: taken, and not advertised
    also: frozenset[str] = frozenset()
    # to keys without the scope it does not exist, rather than being refused
    secret: bool = False

    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": dict(self.arguments),
            "required": list(self.required),
            "additionalProperties": False,
        }


def one(method: str, path: str) -> dict[str, Call]:
    return {"": Call(method, path)}


def text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def choice(values: list[str] | tuple[str, ...], description: str) -> Schema:
    return text(description, enum=list(values))


def flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def number(description: str, least: int, most: int) -> Schema:
    return {"type": "integer", "description": description, "minimum": least, "maximum": most}


def texts(description: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "description": description}


def addresses(description: str) -> Schema:
    return {"type": "array", "items": {"type": "string", "format": "email"}, "description": description}


def nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


MAILBOX = text(
    "Mailbox id (mbx_…). Left out: the mailbox of the email that is named, or the only mailbox that this key "
    "reaches; list_mailboxes shows them."
)
EMAIL = text("Email id (em_…), as check_inbox gives it.")
CODE = text("The one-time code that an administrator was shown. Leave it out at first: that asks for it.")
LIMIT = number("How many to list at most (default 20).", 1, 100)
CURSOR = text("The `cursor` of the page before, for the next one.")
