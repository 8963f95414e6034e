"""People, and the messages that wait for them."""

from approvals.models.messages import Decision, OutboundMessage
from approvals.models.outbox import OutboxEntry
from approvals.models.people import Membership, SignInLink, User, UserManager
from approvals.models.reach import ConversationThread, KeyMailbox, MailboxAssistant
from approvals.models.requests import IdempotencyKey, OperatorRequest, OperatorSession
from approvals.models.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "ConversationThread",
    "Decision",
    "IdempotencyKey",
    "KeyMailbox",
    "MailboxAssistant",
    "Membership",
    "OperatorRequest",
    "OperatorSession",
    "OutboundMessage",
    "OutboxEntry",
    "SignInLink",
    "User",
    "UserManager",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
