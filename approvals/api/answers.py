"""The envelopes around what wire.py describes. Every list carries its own name and `items`."""

# no postponed annotations here: TypedDict could not see NotRequired in them

from typing import Any, NotRequired, TypedDict

from approvals.wire import EmailObject, MailboxObject, PendingObject, RunObject


class FieldProblem(TypedDict):
    field: str
    code: str
    message: str


class Error(TypedDict):
    error: str
    code: str
    request_id: str
    field: NotRequired[str]
    fields: NotRequired[list[FieldProblem]]


class ConflictError(Error):
    """Somebody was first: the decision that won, and the revision as it now is."""

    id: NotRequired[str]
    status: NotRequired[str]
    decision: NotRequired[dict[str, Any] | None]
    revision: NotRequired[int]
    digest: NotRequired[str]


class Health(TypedDict):
    status: str


class MailboxList(TypedDict):
    mailboxes: list[MailboxObject]
    items: list[MailboxObject]
    cursor: str | None


class PendingApproval(TypedDict):
    status: str
    message: str
    expires_at: str


class Status(TypedDict):
    status: str


class Deleted(Status):
    """Some clients read the one, some the other."""

    deleted: bool


class HookSecrets(TypedDict):
    """Of webhooks that the call made; each is shown this once."""

    webhook_signing_secret: NotRequired[str]
    oversight_webhook_signing_secret: NotRequired[str]


class MailboxWithSecrets(MailboxObject, HookSecrets):
    """The mailbox, and the secrets of webhooks that the call made: each is shown this once."""


class MailboxUpdated(HookSecrets):
    status: str


class SessionAsked(TypedDict):
    status: str
    message: str
    expires_at: str


class Session(TypedDict):
    active: bool
    expires_at: str | None


class KeyObject(TypedDict):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    assistant_id: str | None
    mailbox_ids: list[str]
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    is_active: bool


class KeyChanged(KeyObject):
    status: str


class KeyCreated(KeyObject):
    """`api_key` is the secret: it is shown this once."""

    api_key: str


class KeyList(TypedDict):
    api_keys: list[KeyObject]
    items: list[KeyObject]
    cursor: str | None


class AllowlistEntryObject(TypedDict):
    id: str
    pattern: str
    note: str
    added_at: str


class Allowlist(TypedDict):
    mailbox_id: str
    count: int
    entries: list[AllowlistEntryObject]
    items: list[AllowlistEntryObject]


class AccountObject(TypedDict):
    """A limit that is null does not exist here."""

    id: str
    name: str
    slug: str
    plan: str
    oversight_email: str
    physical_address: str
    monthly_email_quota: int | None
    emails_sent_this_month: int
    max_mailboxes: int | None
    storage_used_bytes: int
    max_storage_bytes: int | None
    is_active: bool
    sending_disabled: bool
    sending_disabled_reason: str | None


# functional, because `from` is a keyword
UsageSummary = TypedDict(
    "UsageSummary",
    {
        "from": int,
        "to": int,
        "emails_sent": int,
        "emails_received": int,
        "api_calls": int,
        "oversight_actions": int,
    },
)


class UsageCount(TypedDict):
    date: str
    event_type: str
    count: int


UsageDaily = TypedDict("UsageDaily", {"from": int, "to": int, "breakdown": str, "data": list[UsageCount]})


class AuditEntry(TypedDict):
    id: str
    action: str
    resource_type: str
    resource_id: str
    actor: str
    actor_key_id: str | None
    metadata: dict[str, Any]
    assistant_id: str
    openai_thread_id: str
    run_id: str
    tool_call_id: str
    email_id: str
    mailbox_id: str
    hash: str
    created_at: str


class AuditLog(TypedDict):
    entries: list[AuditEntry]
    items: list[AuditEntry]
    cursor: str | None


class ContactObject(TypedDict):
    id: str
    email: str
    name: str
    tags: list[str]
    created_at: int


class ContactList(TypedDict):
    contacts: list[ContactObject]
    items: list[ContactObject]
    cursor: str | None


class WebhookObject(TypedDict):
    id: str
    url: str
    events: list[str]
    mailbox_id: str | None
    is_active: bool
    status: str
    disabled_reason: str
    created_at: str


class WebhookCreated(WebhookObject):
    """`signing_secret` is shown this once."""

    signing_secret: str


class WebhookList(TypedDict):
    webhooks: list[WebhookObject]
    subscriptions: list[WebhookObject]
    items: list[WebhookObject]
    cursor: str | None


class DeliveryObject(TypedDict):
    id: str
    webhook_id: str
    event_type: str
    url: str
    status: str
    attempts: int
    response_status: int | None
    created_at: str
    last_attempt_at: str | None


class DeliveryList(TypedDict):
    deliveries: list[DeliveryObject]
    items: list[DeliveryObject]
    cursor: str | None


class DnsRecord(TypedDict):
    """`status`: verified, missing, wrong, unreachable or unchecked; `note` says why."""

    purpose: str
    type: str
    name: str
    value: str
    status: str
    note: str
    found: list[str]


class DomainObject(TypedDict):
    id: str
    domain: str
    status: str
    dkim_verified: bool
    spf_verified: bool
    mx_verified: bool
    return_path_verified: bool
    dns_records: list[DnsRecord]
    created_at: str
    checked_at: str | None
    verified_at: str | None


class DomainList(TypedDict):
    domains: list[DomainObject]
    items: list[DomainObject]
    cursor: str | None


class AttachmentUrl(TypedDict):
    url: str
    filename: str
    size_bytes: int
    content_type: str
    expires_in: int


class SuppressionObject(TypedDict):
    id: str
    email_address: str
    reason: str
    mailbox_id: str | None
    created_at: str


class SuppressionList(TypedDict):
    suppressions: list[SuppressionObject]
    items: list[SuppressionObject]
    cursor: str | None


class SendAnswer(TypedDict):
    id: str
    status: str
    thread_id: str
    message: str


class RepeatedSend(TypedDict):
    id: str
    status: str
    thread_id: str
    idempotent: bool


class MessageStatus(TypedDict):
    id: str
    status: str


class SpamAnswer(MessageStatus):
    user_label: str


class EmailList(TypedDict):
    emails: list[EmailObject]
    items: list[EmailObject]
    cursor: str | None


class Tags(TypedDict):
    tags: dict[str, str]


class TagDeleted(Tags):
    deleted: bool


class Thread(TypedDict):
    thread_id: str
    reply_address: str
    message_count: int
    participants: list[str]
    last_activity: str
    has_unanswered_inbound: bool
    emails: list[EmailObject]
    items: list[EmailObject]


class PendingList(TypedDict):
    emails: list[PendingObject]
    pending: list[PendingObject]
    items: list[PendingObject]
    cursor: str | None


class DecideAnswer(TypedDict):
    id: str
    status: str


class ToolList(TypedDict):
    tools: list[dict[str, Any]]
    items: list[dict[str, Any]]


class RunList(TypedDict):
    runs: list[RunObject]
    items: list[RunObject]
    cursor: str | None
