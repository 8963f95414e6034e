"""Which mailboxes keys and assistants work in, and in which threads."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from assistants.models import ApiKey, Assistant, Connection
from mailboxes.models import Conversation, Mailbox


class KeyMailbox(models.Model):
    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="mailbox_links")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="key_links")
    # the first that the key made: it, and its first webhook, needed nobody's word
    made_first = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "mailbox"], name="key_mailbox_once")]

    def __str__(self) -> str:
        return f"{self.key_id} in {self.mailbox_id}"


class MailboxAssistant(models.Model):
    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="mailbox_links")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="assistant_links")
    # the one whose run an inbound message starts, if the mailbox says so
    answers_inbound = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["assistant", "mailbox"], name="mailbox_assistant_once"),
            models.UniqueConstraint(
                fields=["mailbox"], condition=Q(answers_inbound=True), name="one_assistant_answers_inbound"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.assistant_id} in {self.mailbox_id}"


class ConversationThread(models.Model):
    """The assistant's thread in which an email conversation goes on."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="threads")
    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="conversation_threads")
    # a thread is known at one far side only; an assistant that moves to another begins anew there
    connection = models.ForeignKey(Connection, models.CASCADE, null=True, related_name="+")
    thread_id = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "assistant", "connection"], name="conversation_thread_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.thread_id}"
