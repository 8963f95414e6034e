"""What stands after provisioning, in the shape of the document that asked for it, with ids."""

from __future__ import annotations

from typing import Any

from approvals.models import KeyMailbox, MailboxAssistant, Membership, User
from approvals.provisioning.apply import KEY_NAME
from approvals.provisioning.shape import FIELDS, IDENTITY, Document, Item
from approvals.provisioning.values import EVERY
from assistants.models import Assistant, Connection, Integration
from mailboxes.models import Account, Mailbox


def report(document: Document, secrets: dict[str, str]) -> dict[str, Any]:
    """`secrets` are the new keys by the id of their owner; no other secret is in it."""
    told: dict[str, Any] = {}
    for section in document.sections:
        if section == "account":
            told[section] = _account()
        else:
            told[section] = [_item(section, item, secrets) for item in getattr(document, section)]
    return told


def _account() -> dict[str, Any]:
    account = Account.objects.filter(pk=1).first() or Account()
    return {name: getattr(account, name) for name in FIELDS["account"]}


def _item(section: str, item: Item, secrets: dict[str, str]) -> dict[str, Any]:
    model, tell = TELL[section]
    row = model.objects.get(**{IDENTITY[section]: item[IDENTITY[section]]})
    told = {"id": row.pk, **tell(row)}
    if row.pk in secrets:
        told["api_key"] = secrets[row.pk]
    return told


def _connection(row: Connection) -> dict[str, Any]:
    return {
        "name": row.name,
        "protocol": row.protocol,
        "base_url": row.base_url,
        "api_version": row.api_version,
        "model": row.model,
        "models": row.models_served,
        "script": row.script,
        "timeout": row.timeout,
        "retries": row.retries,
        "hold_policy": row.hold_policy or None,
        "polls_per_minute": row.polls_per_minute,
    }


def _mailbox(row: Mailbox) -> dict[str, Any]:
    answering = row.assistant_links.filter(answers_inbound=True).select_related("assistant").first()
    return {
        "address": row.address,
        "oversight_mode": row.oversight_mode,
        "display_name": row.display_name,
        "assistant": answering.assistant.name if answering else None,
        "on_inbound": row.on_inbound,
        "approvals_needed": row.approvals_needed,
        "allowlist": list(row.allowlist.order_by("pk").values_list("pattern", flat=True)),
    }


def _assistant(row: Assistant) -> dict[str, Any]:
    return {
        "name": row.name,
        "mailboxes": _addresses(MailboxAssistant.objects.filter(assistant=row)),
        "scopes": row.scopes,
        "connection": row.connection.name if row.connection else None,
        "instructions": row.instructions,
    }


def _integration(row: Integration) -> dict[str, Any]:
    key = row.keys.filter(name=KEY_NAME, revoked_at=None).first()
    if key is None:
        return {"name": row.name, "scopes": [], "mailboxes": []}
    mailboxes = [EVERY] if key.all_mailboxes else _addresses(KeyMailbox.objects.filter(key=key))
    return {"name": row.name, "scopes": key.scopes, "mailboxes": mailboxes}


def _person(row: User) -> dict[str, Any]:
    mailboxes = [EVERY] if row.all_mailboxes else _addresses(Membership.objects.filter(user=row))
    return {"email": row.email, "roles": row.roles, "mailboxes": mailboxes}


def _addresses(links: Any) -> list[str]:
    return list(links.order_by("mailbox__address").values_list("mailbox__address", flat=True))


TELL: dict[str, tuple[Any, Any]] = {
    "connections": (Connection, _connection),
    "mailboxes": (Mailbox, _mailbox),
    "assistants": (Assistant, _assistant),
    "integrations": (Integration, _integration),
    "people": (User, _person),
}
