"""What happened. Append-only: triggers refuse UPDATE and DELETE on both engines."""

from __future__ import annotations

from django.db import models


class ChainHead(models.Model):
    """The newest link of the chain, one row. It is locked last in a transaction."""

    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")

    def __str__(self) -> str:
        return f"{self.seq} {self.hash}"


class Event(models.Model):
    """One thing that happened. `seq` has no gaps; `hash` covers every column and `prev_hash`."""

    class Action(models.TextChoices):
        # outbound messages
        MESSAGE_HELD = "message.held"
        MESSAGE_DEFERRED = "message.deferred"
        MESSAGE_SCHEDULED = "message.scheduled"
        MESSAGE_REVISED = "message.revised"
        MESSAGE_RELEASED = "message.released"
        MESSAGE_REFUSED = "message.refused"
        MESSAGE_APPROVAL_GIVEN = "message.approval_given"
        MESSAGE_APPROVED = "message.approved"
        MESSAGE_REJECTED = "message.rejected"
        MESSAGE_EXPIRED = "message.expired"
        MESSAGE_CANCELLED = "message.cancelled"
        MESSAGE_SUPERSEDED = "message.superseded"
        MESSAGE_RETURNED = "message.returned_to_pending"
        MESSAGE_SENDING = "message.sending"
        MESSAGE_SENT = "message.sent"
        MESSAGE_DELAYED = "message.delayed"
        MESSAGE_FAILED = "message.failed"
        MESSAGE_UNKNOWN = "message.delivery_unknown"
        MESSAGE_SETTLED = "message.settled"
        MESSAGE_RETRIED = "message.retried"
        # what its way told of it later
        MESSAGE_DELIVERED = "message.delivered"
        MESSAGE_SLOW = "message.slow_on_its_way"
        MESSAGE_BOUNCED = "message.bounced"
        MESSAGE_COMPLAINED = "message.complained"
        # inbound mail
        EMAIL_RECEIVED = "email.received"
        EMAIL_HELD = "email.held"
        EMAIL_APPROVED = "email.approved"
        EMAIL_REJECTED = "email.rejected"
        EMAIL_EXPIRED = "email.expired"
        EMAIL_READ = "email.read"
        EMAIL_CALLED_SPAM = "email.called_spam"
        EMAIL_CALLED_NO_SPAM = "email.called_no_spam"
        EMAIL_TAGGED = "email.tagged"
        # runs
        RUN_REQUESTED = "run.requested"
        RUN_STARTED = "run.started"
        RUN_WAITING = "run.requires_action"
        RUN_RESUMED = "run.resumed"
        RUN_DELAYED = "run.resume_delayed"
        RUN_COMPLETED = "run.completed"
        RUN_FAILED = "run.failed"
        RUN_CANCELLED = "run.cancelled"
        RUN_ADOPTED = "run.adopted"
        RUN_RECONCILED = "run.reconciled"
        RUN_CONFLICT = "run.answered_elsewhere"
        RUN_GONE = "run.gone"
        RUN_ALERTED = "run.alerted"
        RUN_RETRIED = "run.retried"
        TOOL_CALLED = "tool_call.received"
        TOOL_ANSWERED = "tool_call.answered"
        TOOL_LINKED = "tool_call.linked"
        # set-up
        ACCOUNT_CHANGED = "account.changed"
        ACCOUNT_CLOSED = "account.closed"
        ACCOUNT_EXPORTED = "account.exported"
        SIGNING_KEY_MADE = "signing_key.made"
        MAILBOX_DELETED = "mailbox.deleted"
        CONTACT_ADDED = "contact.added"
        CONTACT_REMOVED = "contact.removed"
        SUPPRESSION_ADDED = "suppression.added"
        SUPPRESSION_REMOVED = "suppression.removed"
        MAILBOX_CREATED = "mailbox.created"
        MAILBOX_CHANGED = "mailbox.changed"
        MAILBOX_MODE_CHANGED = "mailbox.mode_changed"
        MAILBOX_TESTED = "mailbox.delivery_tested"
        MAILBOX_HELD = "mailbox.held"
        MAILBOX_HOLD_LIFTED = "mailbox.hold_lifted"
        ASSISTANT_CREATED = "assistant.created"
        ASSISTANT_CHANGED = "assistant.changed"
        INTEGRATION_CREATED = "integration.created"
        INTEGRATION_CHANGED = "integration.changed"
        CONNECTION_CREATED = "connection.created"
        CONNECTION_CHANGED = "connection.changed"
        KEY_CREATED = "key.created"
        KEY_CHANGED = "key.changed"
        KEY_REVOKED = "key.revoked"
        DOMAIN_CREATED = "domain.created"
        DOMAIN_CHANGED = "domain.changed"
        DOMAIN_DELETED = "domain.deleted"
        WEBHOOK_CREATED = "webhook.created"
        WEBHOOK_CHANGED = "webhook.changed"
        WEBHOOK_DELETED = "webhook.deleted"
        WEBHOOK_STOPPED = "webhook.stopped"
        ISSUE_REPORTED = "issue.reported"
        APPROVAL_REQUESTED = "approval.requested"
        APPROVAL_REFUSED = "approval.refused"
        OPERATOR_SESSION_STARTED = "operator_session.started"
        OPERATOR_SESSION_ENDED = "operator_session.ended"
        PERSON_CREATED = "person.created"
        PERSON_CHANGED = "person.changed"
        PERSON_SIGNED_IN = "person.signed_in"

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)
    action = models.CharField(max_length=40, choices=Action.choices)
    mailbox_id = models.CharField(max_length=40, blank=True)
    email_id = models.CharField(max_length=40, blank=True)
    assistant_id = models.CharField(max_length=80, blank=True)
    thread_id = models.CharField(max_length=200, blank=True)
    run_id = models.CharField(max_length=200, blank=True)
    tool_call_id = models.CharField(max_length=200, blank=True)
    payload_hash = models.CharField(max_length=64)
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        indexes = [
            models.Index(fields=[name, "seq"], condition=~models.Q(**{name: ""}), name=f"event_{name[:-3]}")
            for name in ("mailbox_id", "email_id", "assistant_id", "thread_id", "run_id", "tool_call_id")
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action}"


class PayloadQuerySet(models.QuerySet["Payload"]):
    def erase(self) -> int:
        return self.update(body=None, salt="")


class Payload(models.Model):
    """The details of an event. Erasable: the chain covers only the hash of salt and body."""

    event = models.OneToOneField(Event, models.PROTECT, primary_key=True, related_name="payload")
    salt = models.CharField(max_length=32)
    body = models.JSONField(null=True)

    objects = PayloadQuerySet.as_manager()

    def __str__(self) -> str:
        return f"payload of {self.event_id}"
