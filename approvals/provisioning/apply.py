"""Makes a checked document so. Every function returns what it did, for the one record at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.hashers import check_password
from django.db.models import Model

from approvals.actions.answering import answer_with, move_assistant
from approvals.actions.connections import write_connection
from approvals.actions.keys import make_key
from approvals.actions.mailbox_delivery import described, write_delivery
from approvals.actions.oversight import change_mode
from approvals.models import KeyMailbox, MailboxAssistant, Membership, User
from approvals.provisioning.shape import FIELDS, ROLES, Document, Item, connection_fields
from approvals.provisioning.values import EVERY
from assistants.models import ApiKey, Assistant, Connection, Integration, Scope
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.models import Account, AllowlistEntry, Mailbox

Action = Event.Action
KEY_NAME = "provisioned"

# what was changed, as the log tells it
Changes = dict[str, Any]


class Made:
    """What was done so far: entries for the log, and each new secret by the id of its owner."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.secrets: dict[str, str] = {}

    def note(self, created: bool, actions: tuple[Action, Action], changes: Changes, **about: str) -> None:
        if created or changes:
            self.entries.append(Entry(actions[0] if created else actions[1], Subject(**about), changes))


def make(document: Document) -> Made:
    """In the order in which things lean on each other."""
    made = Made()
    _account(document.account, made)
    for item in document.connections:
        _connection(item, made)
    for item in document.mailboxes:
        _mailbox(item, made)
    for item in document.assistants:
        _assistant(item, made)
    for item in document.mailboxes:
        _answering(item, made)
    for item in document.integrations:
        _integration(item, made)
    for item in document.people:
        _person(item, made)
    return made


def _set(row: Model, wanted: dict[str, Any], *, created: bool) -> Changes:
    """Store those of `wanted` that differ, and return them."""
    changes = {name: value for name, value in wanted.items() if created or getattr(row, name) != value}
    for name, value in changes.items():
        setattr(row, name, value)
    if created or changes:
        row.save(force_insert=created)
    return changes


def _only(item: Item, *names: str) -> dict[str, Any]:
    return {name: item[name] for name in names if name in item}


def _account(item: Item, made: Made) -> None:
    if not item.values:
        return
    account, _ = Account.objects.get_or_create(pk=1)
    changes = _set(account, _only(item, *FIELDS["account"]), created=False)
    made.note(False, (Action.ACCOUNT_CHANGED, Action.ACCOUNT_CHANGED), changes)


def _connection(item: Item, made: Made) -> None:
    row = Connection.objects.filter(name=item["name"]).first() or Connection()
    made.entries += write_connection(row, connection_fields(item))


def _mailbox(item: Item, made: Made) -> None:
    row = Mailbox.objects.filter(address=item["address"]).first() or Mailbox(address=item["address"])
    created = row._state.adding
    wanted = _only(item, "display_name", "on_inbound", "approvals_needed")
    if created:
        wanted |= {"address": row.address} | _only(item, "oversight_mode")
    changes = _set(row, wanted, created=created)
    if "oversight_mode" in item and not created:
        made.entries += change_mode(row, item["oversight_mode"])
    if "allowlist" in item:
        changes |= _allowlist(row, item["allowlist"])
    if "delivery" in item and write_delivery(row, item["delivery"]):
        changes["delivery"] = described(item["delivery"])
    made.note(created, (Action.MAILBOX_CREATED, Action.MAILBOX_CHANGED), changes, mailbox_id=row.pk)


def _allowlist(mailbox: Mailbox, patterns: list[str]) -> Changes:
    before = set(mailbox.allowlist.values_list("pattern", flat=True))
    if before == set(patterns):
        return {}
    mailbox.allowlist.exclude(pattern__in=patterns).delete()
    AllowlistEntry.objects.bulk_create(
        AllowlistEntry(mailbox=mailbox, pattern=pattern, note="provisioned")
        for pattern in patterns
        if pattern not in before
    )
    return {"allowlist": patterns}


def _answering(item: Item, made: Made) -> None:
    """Which assistant inbound mail starts."""
    if "assistant" not in item:
        return
    mailbox = Mailbox.objects.get(address=item["address"])
    if answer_with(mailbox, Assistant.objects.filter(name=item["assistant"]).first()):
        changes = {"answered_by": item["assistant"]}
        made.entries.append(Entry(Action.MAILBOX_CHANGED, Subject(mailbox_id=mailbox.pk), changes))


def _assistant(item: Item, made: Made) -> None:
    row = Assistant.objects.filter(name=item["name"]).first() or Assistant(name=item["name"])
    created = row._state.adding
    wanted = _only(item, "scopes", "instructions")
    changes = _set(row, wanted, created=created)
    if "connection" in item:
        connection = Connection.objects.filter(name=item["connection"]).first()
        if move_assistant(row, connection):
            changes["connection"] = item["connection"]
    if "mailboxes" in item:
        links = MailboxAssistant.objects.filter(assistant=row)
        changes |= _link(links, item["mailboxes"], assistant=row)
    made.note(
        created,
        (Action.ASSISTANT_CREATED, Action.ASSISTANT_CHANGED),
        changes and {"name": row.name} | changes,
        assistant_id=row.pk,
    )
    _key(item, row, created, made)


def _integration(item: Item, made: Made) -> None:
    row = Integration.objects.filter(name=item["name"]).first() or Integration(name=item["name"])
    created = row._state.adding
    _set(row, {}, created=created)
    made.note(
        created,
        (Action.INTEGRATION_CREATED, Action.INTEGRATION_CHANGED),
        {"name": row.name, "integration": row.pk} if created else {},
    )
    _key(item, row, created, made)


def _key(item: Item, owner: Assistant | Integration, created: bool, made: Made) -> None:
    """A new owner gets its key; later its key follows the document, unless somebody revoked it."""
    # an integration's scopes are its key's, so one that was not made by a document gets a key too
    bare = isinstance(owner, Integration) and not owner.keys.filter(name=KEY_NAME).exists()
    if created or (bare and "scopes" in item):
        addresses = item.values.get("mailboxes", [])
        _, secret, entries = make_key(
            owner,
            name=KEY_NAME,
            scopes=item["scopes"],
            mailboxes=[] if EVERY in addresses else Mailbox.objects.filter(address__in=addresses),
            all_mailboxes=EVERY in addresses,
        )
        made.entries += entries
        made.secrets[owner.pk] = secret
        return
    key = owner.keys.filter(name=KEY_NAME, revoked_at=None).first()
    changes = _follow(key, item) if key else {}
    if key and changes:
        about = {"assistant_id": owner.pk} if isinstance(owner, Assistant) else {}
        made.entries.append(
            Entry(Action.KEY_CHANGED, Subject(**about), {"key": key.pk, "name": key.name} | changes)
        )


def _follow(key: ApiKey, item: Item) -> Changes:
    wanted: dict[str, Any] = {}
    if "scopes" in item:
        wanted = {f"may_{scope}": scope in item["scopes"] for scope in Scope.values}
    if "mailboxes" in item:
        wanted["all_mailboxes"] = EVERY in item["mailboxes"]
    changes = _set(key, wanted, created=False)
    if "mailboxes" in item:
        changes |= _link(KeyMailbox.objects.filter(key=key), item["mailboxes"], key=key)
    return changes


def _person(item: Item, made: Made) -> None:
    row = User.objects.filter(email=item["email"]).first() or User(email=item["email"])
    created = row._state.adding
    wanted: dict[str, Any] = {}
    if "roles" in item:
        wanted = {f"is_{role}": role in item["roles"] for role in ROLES}
    if "mailboxes" in item:
        wanted["all_mailboxes"] = EVERY in item["mailboxes"]
    password_changed = "password" in item and not check_password(item["password"], row.password)
    if password_changed:
        row.set_password(item["password"])
    elif created:
        row.set_unusable_password()
    changes = _set(row, wanted, created=created)
    if password_changed:
        row.save(update_fields=["password"])
        changes["password_changed"] = True
    if "mailboxes" in item:
        changes |= _link(Membership.objects.filter(user=row), item["mailboxes"], user=row)
    made.note(
        created,
        (Action.PERSON_CREATED, Action.PERSON_CHANGED),
        changes and {"person": row.pk, "email": row.email} | changes,
    )


def _link(links: Any, addresses: Iterable[str], **owner: Model) -> Changes:
    """Make the rows of `links`, between their owner and mailboxes, those to `addresses`."""
    wanted = set(addresses) - {EVERY}
    before = set(links.values_list("mailbox__address", flat=True))
    if wanted == before:
        return {}
    links.exclude(mailbox__address__in=wanted).delete()
    added = Mailbox.objects.filter(address__in=wanted - before)
    links.model.objects.bulk_create(links.model(mailbox=mailbox, **owner) for mailbox in added)
    return {"mailboxes": sorted(wanted)}
