"""From which IMAP server a mailbox's mail is fetched, if from any."""

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
from mailboxes.imap import Account
from mailboxes.models import ImapSource, Mailbox


def set_imap(mailbox: Mailbox, url: str, *, takes_existing: bool = False, by: User) -> None:
    """`url` as Account.from_url reads it; "" to fetch no more. Another folder has a place of its own."""
    check_administer(by, mailbox)
    told = described(url)
    if url and url == url_of(mailbox):
        return
    with transaction.atomic():
        ImapSource.objects.filter(mailbox=mailbox).delete()
        if url:
            ImapSource.objects.create(
                mailbox=mailbox, url_encrypted=secrets.encrypt(url), takes_existing=takes_existing
            )
        details = {"imap": told, "takes_existing": takes_existing}
        log.record(Entry(Event.Action.MAILBOX_CHANGED, Subject(mailbox_id=mailbox.pk), details), by=by.actor)


def described(url: str) -> str:
    """For the log and for people; Invalid if it is no account."""
    try:
        return str(Account.from_url(url)) if url else "nowhere"
    except ImproperlyConfigured as error:
        raise Invalid([{"field": "imap", "code": "invalid", "message": str(error)}]) from None


def url_of(mailbox: Mailbox) -> str | None:
    """ "" without one; None if SECRET_KEY has changed since it was stored."""
    source = ImapSource.objects.filter(mailbox=mailbox).first()
    try:
        return source.url if source else ""
    except InvalidToken:
        return None
