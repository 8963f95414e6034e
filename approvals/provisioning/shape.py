"""The shape of a document: which fields there are, of what types. Collects every error, by path."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from approvals.provisioning import values
from approvals.provisioning.values import did_you_mean, kind
from assistants.models import Connection, Scope
from assistants.server import scripted
from mailboxes.models import Mailbox, OversightMode

DEEPEST = 40
ROLES = ["reviewer", "administrator", "auditor"]

Refuse = Callable[[str, str], object]
# what stands in place of a refused value; None is a value, because null may mean something
REFUSED: Any = object()
# the value as it is stored, or REFUSED
Parser = Callable[[Any, str, Refuse], Any]


class Refused(Exception):
    """`problems`: what is wrong, by path. Nothing was written."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("\n".join(f"{path}: {sentence}" for path, sentence in problems.items()))


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a document names. `named` has each field that it mentions, also with a bad value."""

    path: str = ""
    named: frozenset[str] = frozenset()
    values: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def at(self, name: str) -> str:
        return f"{self.path}.{name}"


@dataclass(frozen=True, slots=True)
class Document:
    account: Item
    connections: list[Item]
    mailboxes: list[Item]
    assistants: list[Item]
    integrations: list[Item]
    people: list[Item]
    # the sections that it mentions, in its order
    sections: list[str]


def leaf(parse: values.Leaf) -> Parser:
    def parser(value: Any, path: str, refuse: Refuse) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            refuse(path, str(error))
            return REFUSED

    return parser


def list_of(parse: values.Leaf, *, filled: bool = False) -> Parser:
    """Refused elements stay in their place as None, so that later errors name the right one."""

    def parser(value: Any, path: str, refuse: Refuse) -> Any:
        if not isinstance(value, list):
            refuse(path, f"must be a list, not {kind(value)}")
            return REFUSED
        if filled and not value:
            refuse(path, "must not be empty")
            return REFUSED
        parsed = [leaf(parse)(element, f"{path}[{at}]", refuse) for at, element in enumerate(value)]
        for at, element in enumerate(parsed):
            if element is not REFUSED and element in parsed[:at]:
                refuse(f"{path}[{at}]", f'"{element}" is listed twice')
        return [None if element is REFUSED else element for element in parsed]

    return parser


def names_of_models(value: Any, path: str, refuse: Refuse) -> Any:
    """{asked: served}"""
    if not isinstance(value, dict):
        refuse(path, f"must be an object, not {kind(value)}")
        return REFUSED
    return {asked: name(served, _join(path, asked), refuse) for asked, served in value.items()}


def script(value: Any, path: str, refuse: Refuse) -> Any:
    problems = scripted.validate(value)
    for where, sentence in problems:
        refuse(f"{path}{where}", sentence)
    return REFUSED if problems else value


name = leaf(values.text(200, required=True))
FIELDS: dict[str, dict[str, Parser]] = {
    "account": {
        "oversight_email": leaf(values.address_or_none),
        "monthly_email_quota": leaf(values.or_null(values.whole_number(0, 1_000_000_000), None)),
        "max_mailboxes": leaf(values.or_null(values.whole_number(0, 1_000_000), None)),
    },
    "connections": {
        "name": name,
        "protocol": leaf(values.one_of(Connection.Protocol.values)),
        "base_url": leaf(values.url),
        "api_version": leaf(values.word(40)),
        "api_key": leaf(values.secret(2000)),
        "webhook_secret": leaf(values.webhook_secret),
        "model": leaf(values.text(200)),
        "models": names_of_models,
        "script": script,
        "timeout": leaf(values.or_null(values.seconds(1, 600), None)),
        "retries": leaf(values.or_null(values.whole_number(0, 10), None)),
        "hold_policy": leaf(values.or_null(values.one_of(Connection.HoldPolicy.values), "")),
        "polls_per_minute": leaf(values.whole_number(1, 6000)),
    },
    "mailboxes": {
        "address": leaf(values.address),
        "oversight_mode": leaf(values.one_of(OversightMode.values)),
        "display_name": leaf(values.text(200)),
        "assistant": leaf(values.name_or_none),
        "on_inbound": leaf(values.one_of(Mailbox.OnInbound.values)),
        "approvals_needed": leaf(values.whole_number(1, 10)),
        "allowlist": list_of(values.pattern),
        "delivery": leaf(values.way_out),
    },
    "assistants": {
        "name": name,
        "mailboxes": list_of(values.address),
        "scopes": list_of(values.one_of(Scope.values), filled=True),
        "connection": leaf(values.name_or_none),
        "instructions": leaf(values.text(256_000, lines=True)),
    },
    "integrations": {
        "name": name,
        "scopes": list_of(values.one_of(Scope.values), filled=True),
        "mailboxes": list_of(values.address_or_every),
    },
    "people": {
        "email": leaf(values.address),
        "password": leaf(values.text(1000)),
        "roles": list_of(values.one_of(ROLES), filled=True),
        "mailboxes": list_of(values.address_or_every),
    },
}
# where a document says it otherwise than the table
COLUMNS = {"models": "models_served"}
IDENTITY = {
    "connections": "name",
    "mailboxes": "address",
    "assistants": "name",
    "integrations": "name",
    "people": "email",
}


def connection_fields(item: Item) -> dict[str, Any]:
    """Its values by the names of the model's fields."""
    return {COLUMNS.get(name, name): value for name, value in item.values.items()}


class _Object(dict[str, Any]):
    """Keeps the names that JSON text gives twice, of which Python would take the last."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.repeated = sorted({name for name in names if names.count(name) > 1})


def parse_json(data: bytes) -> Any:
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        raise Refused(
            {f"line {error.lineno}, column {error.colno}": f"this is not JSON: {error.msg}"}
        ) from error
    except UnicodeDecodeError as error:
        raise Refused({f"byte {error.start}": "this is not UTF-8"}) from error
    except (RecursionError, ValueError) as error:
        raise Refused(
            {"document": "this is nested too deeply, or holds a number too long to read"}
        ) from error
    problems = dict(_unstorable(document, "", 0))
    if problems:
        raise Refused(problems)
    return document


def _unstorable(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """What is JSON, and is ambiguous or can't be stored."""
    if depth > DEEPEST:
        yield path, "is nested too deeply"
    elif isinstance(value, str) and any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
        yield path, "holds a NUL or half a character"
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "is not a finite number"
    elif isinstance(value, list):
        for at, element in enumerate(value):
            yield from _unstorable(element, f"{path}[{at}]", depth + 1)
    elif isinstance(value, _Object):
        yield from ((_join(path, name), "is given twice") for name in value.repeated)
        for name, element in value.items():
            yield from _unstorable(name, _join(path, "(a name)"), depth + 1)
            yield from _unstorable(element, _join(path, name), depth + 1)


def _join(path: str, name: str) -> str:
    plain = name.isprintable() and 0 < len(name) <= 80
    shown = name if plain else json.dumps(name[:80])
    return f"{path}.{shown}" if path else shown


def read(document: Any, refuse: Refuse) -> Document:
    if not isinstance(document, dict):
        refuse("document", f"must be an object, not {kind(document)}")
        document = {}
    for section in sorted(document.keys() - FIELDS.keys()):
        refuse(_join("", section), f"is unknown{did_you_mean(section, FIELDS)}")
    account = document.get("account", {})
    return Document(
        account=_item("account", account, FIELDS["account"], refuse),
        sections=[section for section in document if section in FIELDS],
        **{section: _items(section, document.get(section, []), refuse) for section in IDENTITY},
    )


def _items(section: str, value: Any, refuse: Refuse) -> list[Item]:
    if not isinstance(value, list):
        refuse(section, f"must be a list, not {kind(value)}")
        return []
    identity = IDENTITY[section]
    items: list[Item] = []
    for at, element in enumerate(value):
        item = _item(f"{section}[{at}]", element, FIELDS[section], refuse)
        if isinstance(element, dict) and identity not in element:
            refuse(item.at(identity), "is required")
        if identity in item:
            first = next((other for other in items if other[identity] == item[identity]), None)
            if first:
                refuse(item.at(identity), f'"{item[identity]}" is {first.path} already')
            items.append(item)
    return items


def _item(path: str, value: Any, fields: Mapping[str, Parser], refuse: Refuse) -> Item:
    if not isinstance(value, dict):
        refuse(path, f"must be an object, not {kind(value)}")
        return Item(path)
    for unknown in sorted(value.keys() - fields.keys()):
        refuse(_join(path, unknown), f"is unknown{did_you_mean(unknown, fields)}")
    parsed = {name: fields[name](value[name], f"{path}.{name}", refuse) for name in value if name in fields}
    return Item(path, frozenset(parsed), {name: kept for name, kept in parsed.items() if kept is not REFUSED})
