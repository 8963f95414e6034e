"""Where mail is fetched from, beside what servers hand over by themselves."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from audit import secrets
from mailboxes.models.mailboxes import Mailbox


class ImapSource(models.Model):
    """A folder on an IMAP server, and how far it was read. Nothing is ever changed there."""

    mailbox = models.OneToOneField(Mailbox, models.CASCADE, primary_key=True, related_name="imap")
    # imaps://user:password@host/folder; see imap.py
    url_encrypted = models.TextField()
    takes_existing = models.BooleanField(default=False)
    # the place of the last message that was taken, in the folder's own terms; null before the first look
    uid_validity = models.BigIntegerField(null=True)
    last_uid = models.BigIntegerField(default=0)
    # messages below this one may have been taken under a former numbering
    known_below = models.BigIntegerField(default=0)
    # what came before is somebody else's matter, unless takes_existing
    begun_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"imap of {self.mailbox_id}"

    @property
    def url(self) -> str:
        return secrets.decrypt(self.url_encrypted)
