"""The two addresses that clients give with a mailbox: each is a webhook of it."""

from __future__ import annotations

from collections.abc import Mapping

from approvals import webhooks
from approvals.actions.webhooks import checked, deleted_entry, make_endpoint
from approvals.models import User, WebhookEndpoint
from assistants.models import ApiKey
from audit.log import Entry
from mailboxes.models import Mailbox

HOOKS: dict[str, tuple[str, ...]] = {
    "webhook_url": (
        webhooks.RECEIVED,
        webhooks.SENT,
        webhooks.DELIVERED,
        webhooks.BOUNCED,
        webhooks.COMPLAINED,
    ),
    "oversight_webhook_url": (webhooks.PENDING, webhooks.APPROVED, webhooks.REJECTED, webhooks.EXPIRED),
}


def new_hooks(mailbox: Mailbox | None, wanted: Mapping[str, str]) -> dict[str, str]:
    """The addresses in `wanted` to which nothing is posted yet: for a key, that takes a person's word."""
    found = {}
    for name, events in HOOKS.items():
        if url := wanted.get(name, ""):
            checked(url, events, field=name)
            if mailbox is None or not any(one.url == url for one in _hooks(mailbox, name)):
                found[name] = url
    return found


def set_hooks(
    mailbox: Mailbox, wanted: Mapping[str, str], *, key: ApiKey | None = None, by: User | ApiKey
) -> tuple[dict[str, str], list[Entry]]:
    """The secrets of those made, each shown this once. For a caller that records: in its transaction.

    `key`: for whom a person does it, if somebody asked.
    """
    secrets, entries = {}, []
    for name in HOOKS.keys() & wanted.keys():
        url = wanted[name]
        for other in _hooks(mailbox, name):
            if other.url != url:
                entries.append(deleted_entry(other))
                other.delete()
        if name in new_hooks(mailbox, {name: url}):
            _, secret, entry = make_endpoint(url, HOOKS[name], mailbox, key=key, by=by)
            secrets[name.replace("url", "signing_secret")] = secret
            entries.append(entry)
    return secrets, entries


def _hooks(mailbox: Mailbox, name: str) -> list[WebhookEndpoint]:
    """Those that this address stands for, not what somebody registered for other events."""
    return [one for one in mailbox.webhooks.all() if set(one.events) == set(HOOKS[name])]
