"""An example for each operation, put together from one good value for each name. Pure."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

EMAIL, MAILBOX, THREAD = "em_01KB3W8Q4Z", "mbx_01KB3W7M2X", "thr_01KB3W8Q5A"
WHEN = "2026-11-28T09:30:00.000Z"

# by name, wherever it stands; what is not here follows from its type
VALUES: dict[str, Any] = {
    "action": "approve",
    "active": True,
    "actor": "person:usr_01KB3W5T9C",
    "address": "support@acme.example",
    "address_local": "support",
    "address_local_part": "support",
    "api_key": "mm_live_3kQ2m0v9pR7tXcYbZ1aWdEfGhIjKlMnOp4s6u8w",
    "approval_code": "A7X-29K",
    "approve_url": "https://mail.acme.example/v1/approve/ImVtXzAxIg:k3J9",
    "approved_by": "rita@acme.example",
    "arguments": '{"to": "anna@northwind.example", "subject": "Your order", "body": "It has shipped."}',
    "assistant": "Support Agent",
    "assistant_id": "asst_abc123",
    "auto_bcc": "archive@acme.example",
    "auto_cc": "team@acme.example",
    "bcc": ["archive@acme.example"],
    "body": "It has shipped.",
    "body_markdown": "It has shipped.",
    "bounce_type": None,
    "bounced_at": None,
    "by": "rita@acme.example",
    "cc": ["team@acme.example"],
    "code": "A7X-29K",
    "contact_id": "con_01KB3W9B7D",
    "content_base64": "SGVsbG8=",
    "content_type": "text/plain",
    "created_at": WHEN,
    "cursor": "ZW1fMDFLQjNXOFE0WkM5TTJQN1Q0WDZZ",
    "date": "2026-11-28",
    "delivery_id": "whd_01KB3WB4KQ",
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "direction": "outbound",
    "display_name": "Acme Support",
    "email": "anna@northwind.example",
    "email_address": "anna@northwind.example",
    "email_id": EMAIL,
    "entry": "alw_01KB3WA1HE",
    "error": "There is no such email.",
    "event_type": "message.sent",
    "events": ["message.received", "message.sent"],
    "field": "to[0]",
    "filename": "invoice.pdf",
    "from": "support@acme.example",
    "from_address": "support@acme.example",
    "from_name": "Acme Support",
    "html": "<p>It has shipped.</p>",
    "html_body": "<p>It has shipped.</p>",
    "id": EMAIL,
    "idempotency_key": "order-88213-shipped",
    "in_reply_to": "<1.a@northwind.example>",
    "key": "order",
    "key_id": "key_01KB3W6C1B",
    "last_error": "",
    "limit": 20,
    "mailbox_id": MAILBOX,
    "mailbox_ids": [MAILBOX],
    "markdown": "It has shipped.",
    "message_id": "<2.b@acme.example>",
    "name": "invoice.pdf",
    "note": "Their order desk",
    "offset": 0,
    "openai_thread_id": "thread_abc123",
    "oversight_email": "oversight@acme.example",
    "oversight_mode": "gated_send",
    "oversight_webhook_url": "https://hooks.acme.example/oversight",
    "participants": ["anna@northwind.example", "support@acme.example"],
    "pattern": "*@northwind.example",
    "physical_address": "1 Main Street, Springfield",
    "plan": "self-hosted",
    "prefix": "mm_live_3kQ2m0v9",
    "q": "anna",
    "query": "anna",
    "reason": "The amount is wrong.",
    "reasons": ["support@acme.example is in gated_send."],
    "reply_to": "",
    "request_id": "req_01KB3WC8RF",
    "resource_id": EMAIL,
    "resource_type": "email",
    "response_status": 200,
    "revision": 1,
    "run_id": "run_abc123",
    "scopes": ["read", "send"],
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "send_at": "2026-12-24T09:00:00Z",
    "sender": "anna@northwind.example",
    "signature_block": "Acme Ltd",
    "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "since_id": EMAIL,
    "slug": "self-hosted",
    "state": "requires_action",
    "subject": "Your order 88213",
    "subject_contains": "order",
    "tag": "order",
    "tags": {"order": "88213"},
    "target_mode": "monitored",
    "tenant_id": "self-hosted",
    "text": "It has shipped.",
    "text_body": "It has shipped.",
    "thread_id": THREAD,
    "to": ["anna@northwind.example"],
    "to_addresses": ["anna@northwind.example"],
    "tool_call_id": "call_abc123",
    "url": "https://hooks.acme.example/mail",
    "user_label": "spam",
    "verdict": "approve",
    "wait": 25,
    "webhook_id": "whk_01KB3WA9JN",
    "webhook_url": "https://hooks.acme.example/mail",
}
# where a name means another thing
IN_SHAPE: dict[tuple[str, str], Any] = {
    ("Error", "code"): "not_found",
    ("ConflictError", "code"): "already_decided",
    ("FieldProblem", "code"): "invalid",
    ("FieldProblem", "message"): "to[0] is not an address.",
    ("ConflictError", "error"): "Already approved by rita@acme.example, 09:31.",
    ("AdoptRequest", "thread_id"): "thread_abc123",
    ("AdoptRequest", "connection"): "Azure",
    ("RunContext", "thread_id"): "thread_abc123",
    ("RunObject", "thread_id"): "thread_abc123",
    ("HoldObject", "status"): "pending_send_approval",
    ("AuditEntry", "action"): "message.approved",
    ("AuditEntry", "id"): "4711",
    ("MailboxObject", "id"): MAILBOX,
    ("MailboxWithSecrets", "id"): MAILBOX,
    ("KeyObject", "id"): "key_01KB3W6C1B",
    ("KeyCreated", "id"): "key_01KB3W6C1B",
    ("ContactObject", "id"): "con_01KB3W9B7D",
    ("WebhookObject", "id"): "whk_01KB3WA9JN",
    ("WebhookCreated", "id"): "whk_01KB3WA9JN",
    ("DeliveryObject", "id"): "whd_01KB3WB4KQ",
    ("AllowlistEntryObject", "id"): "alw_01KB3WA1HE",
    ("SuppressionObject", "id"): "sup_01KB3WA5GF",
    ("SuppressionObject", "mailbox_id"): None,
    ("AccountObject", "id"): "self-hosted",
    ("AccountObject", "sending_disabled"): False,
    ("AccountObject", "sending_disabled_reason"): None,
    ("ToolCallObject", "id"): "call_abc123",
    ("ToolCallObject", "name"): "send_email",
    ("RunObject", "id"): "run_01KB3WD2SG",
    ("UsageSummary", "from"): 1_764_547_200_000,
    ("UsageSummary", "to"): 1_764_633_600_000,
    ("FactObject", "code"): "first_time",
    ("FlatTagRequest", "action"): "set",
    ("Health", "status"): "ok",
    ("PendingApproval", "status"): "pending_approval",
    ("Status", "status"): "done",
    ("RepeatedSend", "status"): "already_sent",
    ("SendAnswer", "status"): "pending_send_approval",
    ("SendAnswer", "message"): "Held for review: a person will decide. It has not been sent.",
    ("DecideAnswer", "status"): "approved",
    ("EmailObject", "status"): "sent",
    ("PendingObject", "status"): "pending_send_approval",
    ("MessageStatus", "status"): "sent",
    ("DeliveryObject", "status"): "delivered",
    ("WebhookObject", "status"): "active",
    ("ContactObject", "tags"): ["customer"],
    ("ContactObject", "name"): "Anna",
    ("ContactRequest", "tags"): ["customer"],
    ("ContactRequest", "name"): "Anna",
    ("KeyRequest", "name"): "Order bot",
    ("KeyObject", "name"): "Order bot",
    ("PatchedKeyChange", "name"): "Order bot",
    ("PatchedAccountChange", "name"): "Acme",
    ("AccountObject", "name"): "Acme",
}
# one of several names of the same is enough
NOT_TOGETHER = {
    "MailboxRequest": ("address_local", "address_local_part"),
    **dict.fromkeys(
        ("SendRequest", "ReplyRequest", "FlatSendRequest", "FlatReplyRequest"), ("body", "text", "html")
    ),
}
LEFT_OUT = {"field", "fields", "approval_code", "idempotency_key", "assistant_id", "context", "gate_timing"}
KINDS: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    list: "array",
    dict: "object",
    float: "number",
    type(None): "null",
}
BY_TYPE: dict[str, Any] = {"integer": 1, "number": 1.0, "boolean": True, "null": None, "object": {}}


def of(
    schema: Schema, components: Schema, *, is_request: bool = False, name: str = "", shape: str = ""
) -> Any:
    """An example of `schema`; `name` and `shape` say where it stands."""
    if "$ref" in schema:
        shape = schema["$ref"].rpartition("/")[2]
        return of(components[shape], components, is_request=is_request, name=name, shape=shape)
    if "properties" in schema:
        return _object(schema, components, is_request, shape)
    found = IN_SHAPE.get((shape, name), VALUES.get(name, ...))
    if found is not ... and _fits(found, schema):
        return found
    return _by_type(schema, components, is_request, name)


def _object(schema: Schema, components: Schema, is_request: bool, shape: str) -> Schema:
    """What must be there, and for a request what is worth showing."""
    needed = schema.get("required", [])
    skipped = (*NOT_TOGETHER.get(shape, ()), *(LEFT_OUT if is_request else ()))
    told = {}
    for name, inner in schema["properties"].items():
        if name in needed or (name not in skipped and name not in LEFT_OUT):
            told[name] = of(inner, components, is_request=is_request, name=name, shape=shape)
    return told


def _by_type(schema: Schema, components: Schema, is_request: bool, name: str) -> Any:
    for several in ("enum", "oneOf", "anyOf", "allOf"):
        if several in schema:
            first = schema[several][0]
            return first if several == "enum" else of(first, components, is_request=is_request, name=name)
    kind = schema.get("type", "object")
    if kind == "array":
        return [of(schema.get("items", {}), components, is_request=is_request, name=name)]
    if kind == "string":
        return WHEN if schema.get("format") == "date-time" or name.endswith("_at") else "text"
    return BY_TYPE[kind]


def _fits(value: Any, schema: Schema) -> bool:
    branches = [schema, *schema.get("anyOf", []), *schema.get("oneOf", [])]
    return any(branch.get("type") == KINDS[type(value)] for branch in branches) and (
        "enum" not in schema or value in schema["enum"]
    )
