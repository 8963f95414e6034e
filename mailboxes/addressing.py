"""Whose mail an address is: a mailbox's own, with or without a tag (`local+tag@domain`).

A tag may be the reply address of a conversation: `c-`, its id and a signature, so that nobody who was not
given it can write into the conversation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable

from django.conf import settings

from mailboxes.models import Conversation, Mailbox

_TAG = re.compile(r"c-([0-9a-z]{26})([a-z2-7]{10})")
_PREFIX = "thr_"
_LONGEST_LOCAL = 64


def find_mailbox(address: str) -> Mailbox | None:
    """The open one that `address` belongs to."""
    return find_mailboxes([address]).get(address)


def find_mailboxes(addresses: Iterable[str]) -> dict[str, Mailbox]:
    """By those of the addresses that belong to an open one."""
    # one that has the tag in its own address is meant itself
    names = {address: [address.lower(), _untagged(address.lower())] for address in addresses}
    asked = {name for pair in names.values() for name in pair}
    known = {one.address: one for one in Mailbox.objects.filter(address__in=asked, is_active=True)}
    found = {address: known.get(own) or known.get(bare) for address, (own, bare) in names.items()}
    return {address: mailbox for address, mailbox in found.items() if mailbox}


def _untagged(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def reply_address(conversation: Conversation) -> str:
    """Mail to it joins the conversation, whatever it says of itself; "" if the mailbox's name is too long."""
    local, _, domain = conversation.mailbox.address.rpartition("@")
    name = conversation.pk.removeprefix(_PREFIX).lower()
    local = f"{local}+c-{name}{_signature(name)}"
    return f"{local}@{domain}" if len(local) <= _LONGEST_LOCAL else ""


def named_conversation(mailbox: Mailbox, addresses: Iterable[str]) -> Conversation | None:
    """That of the first reply address of ours among them."""
    for address in addresses:
        tag = address.lower().rpartition("@")[0].partition("+")[2]
        match = _TAG.fullmatch(tag)
        if match and hmac.compare_digest(match[2], _signature(match[1])):
            named = Conversation.objects.filter(mailbox=mailbox, pk=_PREFIX + match[1].upper())
            if found := named.first():
                return found
    return None


def _signature(name: str) -> str:
    key = f"counterseal reply address {settings.SECRET_KEY}".encode()
    digest = hmac.new(key, name.encode(), hashlib.sha256).digest()
    return base64.b32encode(digest).decode().lower()[:10]
