"""Addresses and messages."""

from mailboxes.models.caught import CaughtMessage
from mailboxes.models.contacts import Contact
from mailboxes.models.domains import DkimKey, Domain
from mailboxes.models.emails import Conversation, Correspondent, Email, EmailQuerySet, RawMessage, Revision
from mailboxes.models.mailboxes import (
    Account,
    AllowlistEntry,
    GateTiming,
    Mailbox,
    OversightMode,
    Suppression,
)
from mailboxes.models.receipts import DeliveryReceipt, MailHook
from mailboxes.models.signing import SigningKey
from mailboxes.models.sources import ImapSource

__all__ = [
    "Account",
    "AllowlistEntry",
    "CaughtMessage",
    "Contact",
    "Conversation",
    "Correspondent",
    "DeliveryReceipt",
    "DkimKey",
    "Domain",
    "Email",
    "EmailQuerySet",
    "GateTiming",
    "ImapSource",
    "MailHook",
    "Mailbox",
    "OversightMode",
    "RawMessage",
    "Revision",
    "SigningKey",
    "Suppression",
]
