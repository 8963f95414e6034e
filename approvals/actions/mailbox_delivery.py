"""Where a mailbox's mail leaves: by a server or provider of its own, or as everybody's."""

from __future__ import annotations

from cryptography.fernet import InvalidToken
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from approvals.errors import Invalid
from approvals.models import User
from approvals.permissions import check_administer
from audit import log, secrets
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes import routes
from mailboxes.models import Mailbox

EVERYBODYS = "as everybody's"


def set_delivery(mailbox: Mailbox, url: str, *, by: User) -> None:
    """`url`: as EMAIL_URL is written; "" for EMAIL_URL itself. From the next delivery on."""
    check_administer(by, mailbox)
    with transaction.atomic():
        entries = write_delivery(mailbox, url)
        if entries:
            log.record(*entries, by=by.actor)


def write_delivery(mailbox: Mailbox, url: str) -> list[Entry]:
    """The change without its record, for a caller that has more to do in the same transaction."""
    told = described(url)
    if url == url_of(mailbox):
        return []
    mailbox.outbound_encrypted = secrets.encrypt(url) if url else ""
    Mailbox.objects.filter(pk=mailbox.pk).update(outbound_encrypted=mailbox.outbound_encrypted)
    return [Entry(Event.Action.MAILBOX_CHANGED, Subject(mailbox_id=mailbox.pk), {"delivery": told})]


def described(url: str) -> str:
    """For the log and for people; Invalid if it is no way out."""
    try:
        return routes.shown(url) or EVERYBODYS
    except ImproperlyConfigured as error:
        sentence = str(error).replace("EMAIL_URL", "It")
        raise Invalid([{"field": "delivery", "code": "invalid", "message": sentence}]) from None


def url_of(mailbox: Mailbox) -> str | None:
    """None if SECRET_KEY has changed since it was stored: nobody can read it any more."""
    try:
        return mailbox.outbound_url
    except InvalidToken:
        return None


def record_test(mailbox: Mailbox, error: str, *, by: User) -> None:
    """A test mail was tried."""
    with transaction.atomic():
        details = {"to": by.email, "error": error}
        log.record(Entry(Event.Action.MAILBOX_TESTED, Subject(mailbox_id=mailbox.pk), details), by=by.actor)
