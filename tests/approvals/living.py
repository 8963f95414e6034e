"""Messages brought to a state by living through the states before it: no impossible rows."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.db import transaction

from approvals import actions, gate, outbox
from approvals.actions import dispatch
from approvals.actions.transitions import current
from approvals.models import OutboundMessage, OutboxEntry, User
from approvals.permissions import Sender
from assistants.models import Assistant, Run
from assistants.observe import SeenCall, Snapshot, observe
from mailboxes.envelope import Draft
from mailboxes.models import Email, Mailbox

_number = count(1)
EVIDENCE = {"reply": "250 2.0.0 queued as 1", "steps": [], "at": "2026-11-22T12:00:00+00:00"}


def a_held_message(by: Sender, mailbox: Mailbox, **draft: Any) -> OutboundMessage:
    """Pending, in a mailbox that holds."""
    draft = {
        "to": ("customer@northwind.example",),
        "subject": f"Order {next(_number)}",
        "markdown": "Hello",
    } | draft
    return gate.send(Draft(**draft), mailbox, by=by).message


def approved(message: OutboundMessage, by: User) -> OutboundMessage:
    return actions.approve(message, by=by, revision=message.revision, digest=message.digest)


def leased(message: OutboundMessage) -> OutboxEntry:
    """The delivery entry of `message`, leased by this worker."""
    entry = outbox.claim([OutboxEntry.Kind.DELIVER_EMAIL])
    assert entry is not None
    assert entry.ref == message.pk
    return entry


def sending(message: OutboundMessage, by: User) -> OutboundMessage:
    approved(message, by)
    entry = leased(message)
    assert dispatch.begin_sending(current(message), entry, message.email.recipients)
    return current(message)


def in_doubt(message: OutboundMessage, by: User) -> OutboundMessage:
    message = sending(message, by)
    dispatch.record_unknown(message, {"error": "the connection was lost after the final dot"})
    return current(message)


def failed(message: OutboundMessage, by: User) -> OutboundMessage:
    message = sending(message, by)
    dispatch.record_failed(message, "550 no such user", {})
    return current(message)


def a_waiting_run(
    assistant: Assistant, mailbox: Mailbox, *calls: tuple[str, str], driver: str = "counterseal"
) -> Run:
    """A run in requires_action with `calls` of (name, arguments JSON); ids are call_1, call_2, …"""
    number = next(_number)
    return observe(
        assistant,
        driver,
        Snapshot(
            run_id=f"run_{number}",
            thread_id=f"thread_{number}",
            remote_assistant_id="asst_1",
            status="requires_action",
            calls=[SeenCall(f"call_{number}_{i}", name, text) for i, (name, text) in enumerate(calls, 1)],
            metadata={"mailbox_id": mailbox.pk},
        ),
    )


def an_inbound(
    mailbox: Mailbox, *, sender: str = "customer@northwind.example", subject: str = "Hello"
) -> Email:
    data = (
        f"From: {sender}\r\nTo: {mailbox.address}\r\nSubject: {subject}\r\n"
        f"Message-ID: <in{next(_number)}@northwind.example>\r\n\r\nWhere is my order?\r\n"
    ).encode()
    from approvals import effects

    raw = gate.receive(mailbox, sender, mailbox.address, data)
    outbox.drain({OutboxEntry.Kind.RECEIVE_EMAIL: effects.receive_email})
    with transaction.atomic():
        return Email.objects.select_related("mailbox", "conversation").get(raw=raw)
