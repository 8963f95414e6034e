"""Which tools there are, by the setting MCP_TOOLS, and which of them a key sees."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.conf import settings

from approvals.mcp import account, mail, office
from approvals.mcp.calls import found_at
from approvals.mcp.shapes import Call, Tool
from assistants.models import ApiKey

_BOTH = (
    office.LIST_MAILBOXES,
    office.CONFIGURE_MAILBOX,
    office.UPDATE_MAILBOX,
    office.CREATE_MAILBOX,
    office.DELETE_MAILBOX,
    mail.SEND,
    mail.EDIT_SCHEDULED,
    mail.CANCEL,
    mail.REPLY,
    mail.CHECK_INBOX,
    mail.READ,
    mail.DOWNLOAD,
    mail.THREAD,
    mail.WAIT,
    mail.ADD_CONTACT,
    mail.SEARCH_CONTACTS,
    mail.DELETE_CONTACT,
    office.REMOVE_SUPPRESSION,
    mail.LIST_PENDING,
    mail.DECIDE,
    account.GET_ACCOUNT,
    account.UPDATE_ACCOUNT,
    account.DELETE_ACCOUNT,
    account.GET_USAGE,
    account.LIST_KEYS,
    account.CREATE_KEY,
    account.REVOKE_KEY,
    account.AUDIT_LOG,
    account.CREATE_WEBHOOK,
    account.LIST_WEBHOOKS,
    account.DELETE_WEBHOOK,
    account.ACTIVATE,
    account.RESEND,
)
CLASSIC = (
    *_BOTH,
    mail.SCHEDULE,
    mail.TAG,
    office.CHECK_SUPPRESSION,
    office.REQUEST_UPGRADE,
    office.APPLY_UPGRADE,
)
NEWEST = (
    *_BOTH,
    mail.GET_TAGS,
    mail.SET_TAGS,
    mail.DELETE_TAG,
    mail.SPAM_STATUS,
    mail.LIST_SPAM,
    office.LIST_SUPPRESSION,
    office.MANAGE_UPGRADE,
    office.LIST_ALLOWLIST,
    office.ADD_ALLOWED,
    office.REMOVE_ALLOWED,
    account.CHALLENGE,
    account.CREATE_ACCOUNT,
    account.BILLING_PORTAL,
    account.UPGRADE_PLAN,
    account.CANCEL_SUBSCRIPTION,
    account.REPORT_ISSUE,
)
SETS = {"classic": CLASSIC, "newest": NEWEST}


def visible(key: ApiKey) -> list[Tool]:
    """What the key's scopes let it call; which mailboxes it reaches is seen when it calls."""
    return [tool for tool in SETS[settings.MCP_TOOLS] if usable(tool, key)]


def named(name: str, key: ApiKey) -> Tool | None:
    """Also one that the key may not use, which the API then refuses with a sentence that says why."""
    found = next((tool for tool in SETS[settings.MCP_TOOLS] if tool.name == name), None)
    return None if found and found.secret and not usable(found, key) else found


def usable(tool: Tool, key: ApiKey) -> bool:
    needed = [scopes_of(call) for call in tool.calls.values()]
    return any(not scopes or any(key.has_scope(scope) for scope in scopes) for scopes in needed)


@cache
def scopes_of(call: Call) -> tuple[str, ...]:
    """The scopes of which a key needs one, as the view of the API declares them."""
    view: Any = found_at(re.sub(r"{\w+}", "x", call.path)).func
    declared: dict[str, tuple[str, ...]] = view.view_class.scopes
    return declared.get(call.method, ())
