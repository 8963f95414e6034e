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


class EmailList(TypedDict):
    emails: list[EmailObject]
    items: list[EmailObject]
    cursor: str | None


class Tags(TypedDict):
    tags: dict[str, str]


class Thread(TypedDict):
    thread_id: str
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
