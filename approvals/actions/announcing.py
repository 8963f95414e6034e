"""Events for webhook endpoints, written in the transaction of their cause and posted after it."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from approvals import links, outbox, webhooks, wire
from approvals.models import Decision, OutboxEntry, WebhookDelivery, WebhookEndpoint
from assistants.models import Run, ToolCall
from audit.prepared import Rows, Slot
from mailboxes.models import DeliveryReceipt, Email, Mailbox

# on the way of each decision and each mail; nearly always there is none
_concerned = Rows(
    lambda: (
        WebhookEndpoint.objects.filter(is_active=True, mailbox=None)
        | WebhookEndpoint.objects.filter(is_active=True, mailbox=Slot("mailbox"))
    ).select_related("key")
)


def announce(
    event: str, email: Email, *, decision: Decision | None = None, receipt: DeliveryReceipt | None = None
) -> None:
    """Promise `event` to each endpoint that wants it and may know of `email`."""
    endpoints = [one for one in _wanting(event, email.mailbox_id) if _may_know(one, email)]
    if endpoints:
        told = {**_about(event, email), "decision": wire.decision(decision) if decision else None}
        told |= _about_receipt(receipt) if receipt else {}
        _promise(event, endpoints, told)


def announce_run(event: str, run: Run) -> None:
    endpoints = _wanting(event, run.mailbox_id)
    if run.mailbox_id and endpoints:
        _promise(event, endpoints, _about_run(event, run))


def announce_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    told = {"event": webhooks.TEST, "event_type": webhooks.TEST, "timestamp": wire.moment(timezone.now())}
    told["mailbox_id"] = endpoint.mailbox_id or ""
    return _promise(webhooks.TEST, [endpoint], told)[0]


def _wanting(event: str, mailbox_id: str) -> list[WebhookEndpoint]:
    found = [one for one in _concerned.all(mailbox=mailbox_id) if event in one.events]
    return [one for one in found if one.mailbox_id or one.key is None or _reaches(one, mailbox_id)]


def _reaches(endpoint: WebhookEndpoint, mailbox_id: str) -> bool:
    key = endpoint.key
    if key is None or key.all_mailboxes:
        return True
    return Mailbox.objects.visible_to(key).filter(pk=mailbox_id).exists()


def _may_know(endpoint: WebhookEndpoint, email: Email) -> bool:
    """Mail that no person has let in is nobody's but the overseers': as for their keys."""
    kept_out = email.is_inbound and email.inbound_status in Email.KEPT_OUT
    return not kept_out or endpoint.key is None or endpoint.key.sees_held_inbound


def _promise(event: str, endpoints: list[WebhookEndpoint], told: dict[str, Any]) -> list[WebhookDelivery]:
    body = json.dumps(told, ensure_ascii=True)
    made = [WebhookDelivery.objects.create(endpoint=one, event_type=event, body=body) for one in endpoints]
    for delivery in made:
        outbox.enqueue(OutboxEntry.Kind.POST_WEBHOOK, delivery.pk)
    return made


def _about(event: str, email: Email) -> dict[str, Any]:
    """A superset of what the known receivers read, under each name that they read it by."""
    told = {
        "event": event,
        "event_type": event,
        "id": email.pk,
        "email_id": email.pk,
        "message_id": email.message_id,
        "mailbox_id": email.mailbox_id,
        "mailbox": email.mailbox.address,
        "thread_id": email.conversation_id,
        "from": email.from_address,
        "to": email.to,
        "subject": email.subject,
        "body": email.text,
        "markdown": email.text,
        "attachments": email.attachments,
        "timestamp": wire.moment(timezone.now()),
        "assistant_id": email.assistant_id,
        "run_id": email.run_id,
        "openai_thread_id": email.thread_id,
    }
    if event == webhooks.PENDING:
        told["approve_url"] = links.approve_url(email.pk)
    if email.is_inbound:
        # a receiver that answers by itself must not answer a program
        told["kind"] = email.kind
    call_id = _waiting_call(email) if event == webhooks.RECEIVED else email.tool_call_id
    return told | ({"tool_call_id": call_id} if call_id else {})


def _about_receipt(receipt: DeliveryReceipt) -> dict[str, Any]:
    return {
        "recipient": receipt.recipient,
        "bounce_type": receipt.bounce_type or None,
        "receipt": {
            "id": receipt.pk,
            "kind": receipt.kind,
            "status": receipt.status,
            "detail": receipt.detail,
            "source": receipt.source,
            "at": wire.moment(receipt.at),
        },
    }


def _waiting_call(email: Email) -> str:
    """Of check_inbox, for which a run of one of the mailbox's assistants waits, driven by its caller."""
    waiting = ToolCall.objects.filter(
        name="check_inbox",
        output=None,
        run__status=Run.Status.REQUIRES_ACTION,
        run__driver=Run.Driver.CALLER,
        run__assistant__mailbox_links__mailbox=email.mailbox_id,
    )
    call = waiting.order_by("-pk").first()
    return call.call_id if call else ""


def _about_run(event: str, run: Run) -> dict[str, Any]:
    return {
        "event": event,
        "event_type": event,
        "id": run.pk,
        "email_id": run.email_id,
        "mailbox_id": run.mailbox_id,
        "timestamp": wire.moment(timezone.now()),
        "assistant_id": run.remote_assistant_id or run.assistant_id,
        "run_id": run.run_id,
        "openai_thread_id": run.thread_id,
        "state": run.status,
        "error": run.last_error,
    }
