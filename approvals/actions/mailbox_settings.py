"""What a mailbox adds to its mail, and how it is run; and closing it for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from approvals.actions.mailbox_hooks import set_hooks
from approvals.actions.oversight import change_mode, checked_mode
from approvals.errors import Invalid, NotPermitted
from approvals.models import User
from approvals.permissions import check_administer
from assistants.models import ApiKey
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes import headers
from mailboxes.envelope import normalize_address
from mailboxes.models import Mailbox, OversightMode

SETTINGS = (
    "display_name",
    "auto_cc",
    "auto_bcc",
    "signature_block",
    "ai_disclosure",
    "forward_inbound",
    "default_gate_timing",
    "scheduling_enabled",
    "mcp_configured",
    "is_bulk",
    "approvals_needed",
    "deadline_hours",
)
COPIES = ("auto_cc", "auto_bcc")


def create_mailbox(address: str, display_name: str, mode: str, *, by: User) -> Mailbox:
    check_administer(by)
    mode = checked_mode(mode)
    try:
        values = {"address": normalize_address(address).lower(), "oversight_mode": mode}
    except ValueError as error:
        raise Invalid([{"field": "address", "code": "invalid", "message": str(error)}]) from None
    values["display_name"] = _checked("display_name", display_name)
    try:
        with transaction.atomic():
            mailbox = Mailbox.objects.create(**values)
            log.record(
                Entry(Event.Action.MAILBOX_CREATED, Subject(mailbox_id=mailbox.pk), values), by=by.actor
            )
    except IntegrityError:
        message = f"The address {values['address']} is taken; one that was closed is never used again."
        raise Invalid([{"field": "address", "code": "address_taken", "message": message}]) from None
    return mailbox


def change_mailbox(
    mailbox: Mailbox, wanted: Mapping[str, Any], *, key: ApiKey | None = None, by: User | ApiKey
) -> dict[str, str]:
    """`wanted`: new values by name, of SETTINGS, HOOKS and `oversight_mode`, which a key only makes stricter.

    What comes back are the secrets of new webhooks, shown this once. `key`: for whom a person does it.
    """
    check_administer(by, mailbox)
    mode = wanted.get("oversight_mode", mailbox.oversight_mode)
    if isinstance(by, ApiKey):
        _check_not_looser(mailbox, mode)
    values = {name: _checked(name, wanted[name]) for name in SETTINGS if name in wanted}
    changed = {name: value for name, value in values.items() if value != getattr(mailbox, name)}
    with transaction.atomic():
        entries = change_mode(mailbox, mode) if "oversight_mode" in wanted else []
        if changed:
            Mailbox.objects.filter(pk=mailbox.pk).update(**changed)
            entries.append(Entry(Event.Action.MAILBOX_CHANGED, Subject(mailbox_id=mailbox.pk), changed))
        secrets, hooked = set_hooks(mailbox, wanted, key=key, by=by)
        log.record(*entries, *hooked, by=by.actor)
    for name, value in changed.items():
        setattr(mailbox, name, value)
    return secrets


def new_copies(mailbox: Mailbox, wanted: Mapping[str, Any]) -> dict[str, str]:
    """The copies that `wanted` changes: for a key, that takes a person's word."""
    checked = {name: _checked(name, wanted[name]) for name in COPIES if name in wanted}
    return {name: value for name, value in checked.items() if value != getattr(mailbox, name)}


def _check_not_looser(mailbox: Mailbox, mode: str) -> None:
    if mode in OversightMode.values and OversightMode(mailbox.oversight_mode).is_stricter_than(mode):
        raise NotPermitted(
            f"Only a person makes a mailbox looser. Ask with request-upgrade; it stays in "
            f"{mailbox.oversight_mode}.",
            "looser_needs_a_person",
        )


def _checked(name: str, value: Any) -> Any:
    try:
        if name in COPIES:
            return normalize_address(value) if value else ""
        if name == "display_name":
            return headers.clean(value)
    except ValueError as error:
        raise Invalid([{"field": name, "code": "invalid", "message": str(error)}]) from None
    return value


def delete_mailbox(mailbox: Mailbox, *, by: User | ApiKey) -> None:
    """It sends and receives nothing more; its mail and its log stay, and its address is never used again."""
    check_administer(by, mailbox)
    with transaction.atomic():
        if Mailbox.objects.filter(pk=mailbox.pk, is_active=True).update(is_active=False):
            details = {"address": mailbox.address}
            entry = Entry(Event.Action.MAILBOX_DELETED, Subject(mailbox_id=mailbox.pk), details)
            log.record(entry, by=by.actor)
    mailbox.is_active = False
