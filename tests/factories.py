"""Builders of rows. Each returns something that could have come about through the product itself."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any

from approvals.models import KeyMailbox, MailboxAssistant, Membership, User
from assistants.models import ApiKey, Assistant, Connection, Integration
from audit.secrets import hash_secret
from mailboxes.models import Mailbox

PASSWORD = "correct horse battery"

_number = count(1)


def a_mailbox(address: str = "", mode: str = "gated_send", **fields: Any) -> Mailbox:
    address = address or f"box{next(_number)}@acme.test"
    return Mailbox.objects.create(address=address, oversight_mode=mode, **fields)


def a_connection(script: list[dict[str, Any]] | None = None, **fields: Any) -> Connection:
    """A scripted model unless `fields` say otherwise."""
    fields = {"protocol": Connection.Protocol.SCRIPTED, "name": f"connection {next(_number)}"} | fields
    return Connection.objects.create(script=script or [], **fields)


def an_assistant(
    name: str = "",
    *,
    mailboxes: Sequence[Mailbox] = (),
    scopes: Sequence[str] = ("read", "send"),
    **fields: Any,
) -> Assistant:
    name = name or f"Assistant {next(_number)}"
    assistant = Assistant.objects.create(name=name, scopes=list(scopes), **fields)
    for mailbox in mailboxes:
        MailboxAssistant.objects.create(assistant=assistant, mailbox=mailbox)
    return assistant


def an_integration(name: str = "") -> Integration:
    return Integration.objects.create(name=name or f"Integration {next(_number)}")


def a_key(
    owner: Assistant | Integration,
    *,
    scopes: Sequence[str] = ("read", "send"),
    mailboxes: Sequence[Mailbox] | None = None,
    **fields: Any,
) -> ApiKey:
    """A key whose bearer text is `.secret`. Without `mailboxes`, an integration's reaches all."""
    secret = f"mm_live_{secrets.token_urlsafe(32)}"
    kind = "assistant" if isinstance(owner, Assistant) else "integration"
    key = ApiKey.objects.create(
        name=f"key {next(_number)}",
        prefix=secret[:16],
        hash=hash_secret(secret),
        all_mailboxes=mailboxes is None and kind == "integration",
        **{kind: owner},
        **{f"may_{scope}": True for scope in scopes},
        **fields,
    )
    for mailbox in mailboxes or ():
        KeyMailbox.objects.create(key=key, mailbox=mailbox)
    key.secret = secret  # type: ignore[attr-defined]
    return key


def a_person(email: str, *roles: str, mailboxes: Sequence[Mailbox] | None = None) -> User:
    """Somebody with `roles`, in every mailbox unless `mailboxes` are listed; see PASSWORD."""
    user = User.objects.create_user(
        email, PASSWORD, all_mailboxes=mailboxes is None, **{f"is_{role}": True for role in roles}
    )
    for mailbox in mailboxes or ():
        Membership.objects.create(user=user, mailbox=mailbox)
    return user
