"""What a key asks for, in words: what would be different, and what cannot be undone about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from approvals.models import OperatorRequest
from assistants.models import Assistant, Integration
from mailboxes.models import Mailbox

Action = OperatorRequest.Action
Rows = list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Words:
    title: str
    # what would be different: (of what, how)
    rows: Rows
    # "" where it can be taken back as easily as it is granted
    warning: str = ""
    button: str = "Let it happen"


def names_in(requests: Iterable[OperatorRequest]) -> dict[str, str]:
    """Of the owners and mailboxes that are named by their ids, in three queries."""
    every = [one.params for one in requests]
    owners = {params["owner"] for params in every if "owner" in params}
    boxes = {pk for params in every for pk in params.get("mailboxes", ())}
    named: dict[str, str] = {}
    for rows, ids in ((Assistant.objects, owners), (Integration.objects, owners), (Mailbox.objects, boxes)):
        named |= {pk: str(row) for pk, row in rows.in_bulk(ids or {""}).items()}
    return named


def of(request: OperatorRequest, names: dict[str, str]) -> Words:
    return WORDS[Action(request.action)](request.params, names)


def _listed(values: Iterable[str], names: dict[str, str]) -> str:
    return ", ".join("all, now and later" if value == "*" else names.get(value, value) for value in values)


def _mailbox(params: dict[str, Any], names: dict[str, str]) -> Words:
    rows: Rows = [("Address", params["address"]), ("Oversight", params["oversight_mode"])]
    rows.append(("Display name", params["display_name"]))
    return Words("A new mailbox", [*rows, *_hooks(params)])


def _hooks(params: dict[str, Any]) -> Rows:
    labels = {"webhook_url": "Its mail is told to", "oversight_webhook_url": "Its decisions are told to"}
    return [(label, params[name] or "nobody") for name, label in labels.items() if name in params]


LABELS = {
    "auto_cc": "Cc of each mail",
    "auto_bcc": "Bcc of each mail",
    "display_name": "Display name",
    "oversight_mode": "Oversight",
    "signature_block": "Signature",
    "ai_disclosure": "Says that an AI wrote it",
    "forward_inbound": "Forwards new mail",
    "default_gate_timing": "Scheduled mail is decided",
    "scheduling_enabled": "Schedules mail",
    "mcp_configured": "Its client has asked its person",
    "is_bulk": "Sends bulk mail",
}


def _settings(params: dict[str, Any], names: dict[str, str]) -> Words:
    shown = {True: "yes", False: "no", "": "nobody"}
    named = [(label, params[name]) for name, label in LABELS.items() if name in params]
    rows: Rows = [(label, shown.get(value, value)) for label, value in named]
    title = (
        "Who gets copies of its mail" if {"auto_cc", "auto_bcc"} & set(params) else "Who hears of its mail"
    )
    return Words(title, [("Mailbox", params["address"]), *rows, *_hooks(params)])


def _upgrade(params: dict[str, Any], names: dict[str, str]) -> Words:
    rows: Rows = [("Mailbox", params["address"]), ("Oversight", f"{params['from']} → {params['to']}")]
    warning = (
        f"{params['address']} goes from {params['from']} to {params['to']}. What is sent in its name from "
        "then on has fewer eyes on it, and sent mail can't be taken back."
    )
    return Words("A looser oversight mode", rows, warning, f"Move it to {params['to']}")


def _allow(params: dict[str, Any], names: dict[str, str]) -> Words:
    rows: Rows = [("Mailbox", params["address"]), ("Skips review", params["pattern"])]
    return Words("An entry on the allowlist", [*rows, ("Note", params.get("note", ""))])


def _disallow(params: dict[str, Any], names: dict[str, str]) -> Words:
    rows: Rows = [("Mailbox", params["address"]), ("Reviewed again", params["pattern"])]
    return Words("An entry taken off the allowlist", rows)


def _new_key(params: dict[str, Any], names: dict[str, str]) -> Words:
    rows: Rows = [
        ("Name", params["name"]),
        ("For", names.get(params["owner"], params["owner"])),
        ("May", ", ".join(params["scopes"])),
        ("Mailboxes", _listed(params["mailboxes"], names)),
        ("Until", params.get("expires_at") or "it is revoked"),
    ]
    return Words("A new key", rows)


def _wider(params: dict[str, Any], names: dict[str, str]) -> Words:
    return Words("More rights for a key", [("Key", params["name"]), ("May", ", ".join(params["scopes"]))])


def _revoke(params: dict[str, Any], names: dict[str, str]) -> Words:
    warning = f"Whatever calls with “{params['name']}” is refused from then on. A key can't be brought back."
    return Words("The end of a key", [("Key", params["name"])], warning, "Revoke it")


def _webhook(params: dict[str, Any], names: dict[str, str]) -> Words:
    return Words("A new webhook", [("Address", params["url"]), ("Events", ", ".join(params["events"]))])


def _account(params: dict[str, Any], names: dict[str, str]) -> Words:
    labels = {
        "oversight_email": "Oversight address",
        "name": "Name",
        "physical_address": "Postal address",
    }
    rows: Rows = [(label, params[name] or "none") for name, label in labels.items() if name in params]
    return Words("Another oversight address", rows)


def _end(params: dict[str, Any], names: dict[str, str]) -> Words:
    warning = "Nothing is sent any more, and every key ends. Mail, people and the log stay."
    return Words("The end of this account", [], warning, "Close the account")


def _session(params: dict[str, Any], names: dict[str, str]) -> Words:
    warning = "Until it ends, nobody is asked about mailboxes, keys, webhooks, copies and the allowlist."
    return Words("Half an hour without codes", [("Begins", "with the code, not here")], warning)


WORDS: dict[Action, Callable[[dict[str, Any], dict[str, str]], Words]] = {
    Action.CREATE_MAILBOX: _mailbox,
    Action.CHANGE_COPIES: _settings,
    Action.CHANGE_HOOKS: _settings,
    Action.UPGRADE_MODE: _upgrade,
    Action.ADD_TO_ALLOWLIST: _allow,
    Action.CUT_ALLOWLIST: _disallow,
    Action.CREATE_KEY: _new_key,
    Action.WIDEN_KEY: _wider,
    Action.REVOKE_KEY: _revoke,
    Action.CREATE_WEBHOOK: _webhook,
    Action.CHANGE_ACCOUNT: _account,
    Action.DELETE_ACCOUNT: _end,
    Action.OPERATOR_SESSION: _session,
}
