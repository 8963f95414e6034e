"""The key that signs the identity header."""

from __future__ import annotations

from django.db import transaction

from approvals.models import User
from approvals.permissions import check_administer
from audit import log
from audit.log import Entry
from audit.models import Event
from mailboxes import identity
from mailboxes.models import SigningKey


def rotate_signing_key(*, by: User | None) -> SigningKey:
    """Sign with a new key from now on. Old ones stay published: mail that has left still verifies.

    `by`: None for whoever has the command line.
    """
    if by is not None:
        check_administer(by)
    with transaction.atomic():
        key = identity.make_next_key()
        details = {"kid": identity.published(key)["kid"]}
        entry = Entry(Event.Action.SIGNING_KEY_MADE, payload=details)
        log.record(entry, by=by.actor if by else "system:command")
    return key
