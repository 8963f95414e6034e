"""Does the document make sense together with what is there already? Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet

from approvals.actions.connections import objections
from approvals.actions.keys import DECIDING
from approvals.models import MailboxAssistant, User
from approvals.provisioning.shape import Document, Item, Refuse, connection_fields
from approvals.provisioning.values import EVERY, did_you_mean
from assistants.models import Assistant, Connection, Integration, Scope
from mailboxes.models import Account, Mailbox, OversightMode


class Outcome:
    """What will be in force: what the document names, and behind it what is stored."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.account = Account.objects.filter(pk=1).first() or Account()
        self.connections = _stored(Connection.objects.all(), "name")
        self.mailboxes = _stored(Mailbox.objects.all(), "address")
        self.assistants = _stored(Assistant.objects.select_related("connection"), "name")
        self.integrations = _stored(Integration.objects.all(), "name")
        self.people = _stored(User.objects.all(), "email")
        links = MailboxAssistant.objects.select_related("assistant", "mailbox")
        self.links = [(link.assistant.name, link.mailbox.address, link.answers_inbound) for link in links]

    def oversight_email(self) -> str:
        stored: str = self.document.account.values.get("oversight_email", self.account.oversight_email)
        return stored

    def mode_of(self, address: str) -> str:
        return str(
            _now("oversight_mode", _find(self.document.mailboxes, address), self.mailboxes.get(address))
        )

    def on_inbound_of(self, address: str) -> str:
        return str(_now("on_inbound", _find(self.document.mailboxes, address), self.mailboxes.get(address)))

    def assistant_of(self, address: str) -> str:
        """The name of the assistant that inbound mail starts, or ""."""
        item = _find(self.document.mailboxes, address)
        if item and "assistant" in item.named:
            return str(item.values.get("assistant", ""))
        return next((name for name, at, answers in self.links if at == address and answers), "")

    def lists(self, assistant: str, address: str) -> bool:
        item = _find(self.document.assistants, assistant)
        if item and "mailboxes" in item.named:
            listed = item.values.get("mailboxes", [None])
            # a list with a bad element is refused already; who knows what it was to be
            return address in listed or None in listed
        return any(at == address and name == assistant for name, at, _ in self.links)

    def connection_of(self, assistant: str) -> str:
        item = _find(self.document.assistants, assistant)
        if item and "connection" in item.named:
            return str(item.values.get("connection", "a bad one"))
        stored = self.assistants.get(assistant)
        return stored.connection.name if stored and stored.connection else ""

    def knows(self, section: str, identity: str) -> bool:
        return (
            identity in getattr(self, section) or _find(getattr(self.document, section), identity) is not None
        )

    def names(self, section: str) -> list[str]:
        return [*getattr(self, section), *(_identity(item) for item in getattr(self.document, section))]


def _stored(rows: QuerySet[Any], identity: str) -> dict[str, Any]:
    return {getattr(row, identity): row for row in rows}


def _identity(item: Item) -> str:
    return str(next(item[name] for name in ("address", "email", "name") if name in item))


def _find(items: Iterable[Item], identity: str) -> Item | None:
    return next((item for item in items if _identity(item) == identity), None)


def _now(name: str, item: Item | None, stored: Model | None, default: Any = "") -> Any:
    if item and name in item:
        return item[name]
    return getattr(stored, name, default)


def check(document: Document, refuse: Refuse) -> None:
    outcome = Outcome(document)
    _check_required(outcome, refuse)
    _check_references(outcome, refuse)
    for item in document.connections:
        _check_connection(item, outcome.connections.get(item["name"]), refuse)
    _check_scopes(document, refuse)
    _check_oversight_address(outcome, refuse)
    for address in sorted({_identity(item) for item in document.mailboxes} | _answered(outcome)):
        _check_inbound(address, outcome, refuse)
    for item in document.people:
        _check_password(item, refuse)


REQUIRED = {
    "connections": ["protocol"],
    "assistants": ["scopes"],
    "integrations": ["scopes"],
    "people": ["roles"],
}


def _check_required(outcome: Outcome, refuse: Refuse) -> None:
    for section, names in REQUIRED.items():
        for item in getattr(outcome.document, section):
            for name in names:
                if name not in item.named and _identity(item) not in getattr(outcome, section):
                    refuse(item.at(name), f"is required, because {_identity(item)} does not exist yet")


def _references(document: Document) -> Iterator[tuple[str, str, str]]:
    """(path, section, identity) of everything that one item names and another is."""
    for item in document.mailboxes:
        yield item.at("assistant"), "assistants", item.values.get("assistant", "")
    for item in document.assistants:
        yield item.at("connection"), "connections", item.values.get("connection", "")
    for item in (*document.assistants, *document.integrations, *document.people):
        for at, address in enumerate(item.values.get("mailboxes", [])):
            yield f"{item.at('mailboxes')}[{at}]", "mailboxes", address or ""


def _check_references(outcome: Outcome, refuse: Refuse) -> None:
    for path, section, identity in _references(outcome.document):
        if identity not in ("", EVERY) and not outcome.knows(section, identity):
            what = {"mailboxes": "mailbox", "assistants": "assistant", "connections": "connection"}[section]
            hint = did_you_mean(identity, outcome.names(section))
            refuse(path, f'there is no {what} "{identity}", here or stored{hint}')
    for item in (*outcome.document.integrations, *outcome.document.people):
        if EVERY in item.values.get("mailboxes", []) and len(item["mailboxes"]) > 1:
            refuse(item.at("mailboxes"), f'"{EVERY}" means every mailbox, and stands alone')


def _check_connection(item: Item, stored: Connection | None, refuse: Refuse) -> None:
    if "protocol" in item.named and "protocol" not in item:
        return
    for name, sentence in objections(stored, connection_fields(item)):
        # one with a bad value was refused already
        if name in item or name not in item.named:
            refuse(item.at(name), sentence)


def _check_scopes(document: Document, refuse: Refuse) -> None:
    for item in document.assistants:
        if Scope.OVERSIGHT in item.values.get("scopes", []):
            refuse(item.at("scopes"), "an assistant never decides, so it can't have oversight")
    for item in document.integrations:
        scopes = {scope for scope in item.values.get("scopes", []) if scope}
        if Scope.OVERSIGHT in scopes and not scopes <= DECIDING:
            refuse(
                item.at("scopes"),
                "oversight goes only with oversight_read and read: no key both sends and decides",
            )


def _check_oversight_address(outcome: Outcome, refuse: Refuse) -> None:
    account, monitored = outcome.document.account, OversightMode.MONITORED
    if outcome.oversight_email() or ("oversight_email" in account.named and "oversight_email" not in account):
        return
    for item in outcome.document.mailboxes:
        if outcome.mode_of(item["address"]) == monitored:
            refuse(
                item.at("oversight_mode"), "monitored needs an oversight address: set account.oversight_email"
            )
    named = {item["address"] for item in outcome.document.mailboxes}
    left = [
        at for at, row in outcome.mailboxes.items() if row.oversight_mode == monitored and at not in named
    ]
    if left and "oversight_email" in account:
        refuse("account.oversight_email", f"{left[0]} is monitored, which needs an oversight address")


def _answered(outcome: Outcome) -> set[str]:
    """Mailboxes whose inbound mail starts an assistant that the document names."""
    named = {item["name"] for item in outcome.document.assistants}
    return {address for name, address, answers in outcome.links if answers and name in named}


def _check_inbound(address: str, outcome: Outcome, refuse: Refuse) -> None:
    mailbox, name = _find(outcome.document.mailboxes, address), outcome.assistant_of(address)
    assistant = _find(outcome.document.assistants, name)
    if name and outcome.knows("assistants", name) and not outcome.lists(name, address):
        rule = "the assistant that a mailbox starts on inbound must be among its own"
        refuse(
            _blame(mailbox, "assistant", assistant, "mailboxes"), f"{rule}: {name} does not list {address}"
        )
    if outcome.on_inbound_of(address) != Mailbox.OnInbound.RUN:
        return
    if not name and (mailbox is None or "assistant" in mailbox or "assistant" not in mailbox.named):
        refuse(
            _blame(mailbox, "on_inbound", None, ""), "run needs an assistant to start: name it in assistant"
        )
    elif name and outcome.knows("assistants", name) and not outcome.connection_of(name):
        sentence = f"{name} has no connection, so {address} can't start a run of it"
        refuse(_blame(mailbox, "on_inbound", assistant, "connection"), sentence)


def _blame(mailbox: Item | None, name: str, assistant: Item | None, other: str) -> str:
    """The path of the field that the document could mend."""
    if mailbox and (name in mailbox.named or assistant is None):
        return mailbox.at(name)
    return assistant.at(other) if assistant else "mailboxes"


def _check_password(item: Item, refuse: Refuse) -> None:
    if "password" not in item:
        return
    try:
        validate_password(item["password"], User(email=item["email"]))
    except ValidationError as error:
        refuse(item.at("password"), " ".join(error.messages))
