"""What a client may read by address: a mailbox, the oversight in force there, a conversation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from approvals.errors import DomainError, NotFound
from approvals.mcp import shown
from approvals.mcp.acting import answered
from approvals.mcp.calls import Caller
from approvals.mcp.mail import BOX
from approvals.mcp.shapes import Call
from mailboxes.models import OversightMode

BASE = "counterseal://mailboxes/{mailbox_id}"

# in the order of the ladder
IN_FORCE = {
    OversightMode.READ_ONLY: "Nothing can be sent from here; mail that comes in can be read at once.",
    OversightMode.GATED_ALL: (
        "A person approves each message before it leaves, and each that comes in before it can be read."
    ),
    OversightMode.GATED_SEND: (
        "A person approves each message before it leaves, unless all its recipients are on the mailbox's "
        "allowlist; mail that comes in can be read at once."
    ),
    OversightMode.MONITORED: "Messages leave at once, and a person gets a copy of each.",
    OversightMode.AUTONOMOUS: "Messages leave at once.",
}
LOOSER = "Only a person can make the mode looser; request_upgrade or manage_upgrade asks for it."


class Kind(NamedTuple):
    template: str
    name: str
    title: str
    description: str
    mime_type: str
    call: Call
    show: Callable[[Any], list[str]]


def oversight(mailbox: dict[str, Any]) -> str:
    mode = OversightMode(mailbox["oversight_mode"])
    return f"{mailbox['address']} is in the oversight mode {mode}. {IN_FORCE[mode]}"


KINDS = (
    Kind(
        BASE,
        "mailbox",
        "A mailbox",
        "A mailbox with its settings.",
        "application/json",
        Call("GET", BOX),
        shown.plain,
    ),
    Kind(
        f"{BASE}/oversight",
        "oversight",
        "The oversight in force",
        "What happens to mail of a mailbox before it leaves, and who can change that.",
        "text/plain",
        Call("GET", BOX),
        lambda mailbox: [f"{oversight(mailbox)} {LOOSER}"],
    ),
    Kind(
        f"{BASE}/threads/{{thread_id}}",
        "conversation",
        "A conversation",
        "The emails of one thread, oldest first, each body between two marks that name it untrusted.",
        "text/plain",
        Call("GET", f"{BOX}/threads/{{thread_id}}"),
        shown.conversation,
    ),
)


class Listed(NamedTuple):
    uri: str
    kind: Kind
    title: str


def listed(caller: Caller) -> list[Listed]:
    """Each mailbox of the key's, twice; conversations are found through their emails."""
    answer = answered(caller, Call("GET", "/v1/mailboxes"), {"limit": 100})
    boxes = answer.data()["mailboxes"] if answer.ok else []
    return [
        Listed(kind.template.format(mailbox_id=box["id"]), kind, f"{kind.title}: {box['address']}")
        for box in boxes
        for kind in KINDS[:2]
    ]


def read(caller: Caller, uri: str) -> tuple[Kind, list[str]]:
    kind, found = _kind_of(uri)
    answer = answered(caller, kind.call, found)
    if not answer.ok:
        refusal = answer.data()
        raise DomainError(refusal["error"], refusal["code"])
    return kind, kind.show(answer.data())


def _kind_of(uri: str) -> tuple[Kind, dict[str, str]]:
    for kind in KINDS:
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[A-Za-z0-9_-]+)", kind.template)
        if found := re.fullmatch(pattern, uri):
            return kind, found.groupdict()
    raise NotFound("There is no such resource.")
