"""What keys asked for: repeats, and what needs a person's word."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.people import User
from assistants.models import ApiKey
from audit.ids import new_id
from mailboxes.models import Email


class IdempotencyKey(models.Model):
    """What a key asked before: a named request (24 h) or the same content (60 s)."""

    class Kind(models.TextChoices):
        NAMED = "named"
        CONTENT = "content"

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="idempotency_keys")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    value = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)
    email = models.ForeignKey(Email, models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "kind", "value"], name="idempotency_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


MAX_ATTEMPTS = 5


class OperatorRequestQuerySet(models.QuerySet["OperatorRequest"]):
    def open(self, now: Any) -> Self:
        usable = self.filter(used_at=None, refused_at=None, expires_at__gt=now, attempts__lt=MAX_ATTEMPTS)
        return usable.filter(key__revoked_at=None)

    def visible_to(self, person: Any) -> Self:
        """Of keys within reach, unless it is about a mailbox that is not."""
        if person.all_mailboxes:
            return self
        near = ApiKey.objects.visible_to(person).values("pk")
        mailboxes = list(person.memberships.values_list("mailbox_id", flat=True))
        about = Q(params__mailbox_id__in=mailboxes) | ~Q(params__has_key="mailbox_id")
        return self.filter(about, key__in=near)


class OperatorRequest(models.Model):
    """Something a key asked for that a person must let happen: by relaying a one-time code, or at once."""

    class Action(models.TextChoices):
        CREATE_MAILBOX = "create_mailbox"
        CHANGE_COPIES = "change_copies"
        UPGRADE_MODE = "upgrade_mode"
        ADD_TO_ALLOWLIST = "add_to_allowlist"
        CUT_ALLOWLIST = "cut_allowlist"
        CREATE_KEY = "create_key"
        WIDEN_KEY = "widen_key"
        REVOKE_KEY = "revoke_key"
        CREATE_WEBHOOK = "create_webhook"
        CHANGE_HOOKS = "change_hooks"
        CHANGE_ACCOUNT = "change_account"
        DELETE_ACCOUNT = "delete_account"
        OPERATOR_SESSION = "operator_session"

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "opr"))
    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="operator_requests")
    action = models.CharField(max_length=20, choices=Action.choices)
    params = models.JSONField()
    code_encrypted = models.TextField()
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    refused_at = models.DateTimeField(null=True)
    # the administrator who let it happen or refused it in the dashboard; nobody where a code was relayed
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=500, blank=True)

    objects = OperatorRequestQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=Q(used_at__isnull=True, refused_at__isnull=True),
                name="request_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.id}"

    @property
    def sentence(self) -> str:
        """What was asked for, for the person who is to let it happen."""
        words = {name: ", ".join(v) if isinstance(v, list) else v for name, v in self.params.items()}
        hooks = [
            self.params[name] for name in ("webhook_url", "oversight_webhook_url") if name in self.params
        ]
        posted = f" Its events are sent to {' and '.join(hooks)}." if any(hooks) else ""
        return SENTENCES[self.Action(self.action)].format_map(_Blank(words)) + posted


class _Blank(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return ""


Asked = OperatorRequest.Action
SENTENCES = {
    Asked.CREATE_MAILBOX: "The mailbox {address}, in {oversight_mode}. {display_name}",
    Asked.CHANGE_COPIES: "Copies of all that {address} sends: Cc “{auto_cc}”, Bcc “{auto_bcc}”.",
    Asked.UPGRADE_MODE: "A looser mode for {address}: from {from} to {to}.",
    Asked.ADD_TO_ALLOWLIST: "Mail from {address} to {pattern} skips review in gated_send. {note}",
    Asked.CUT_ALLOWLIST: "Mail from {address} to {pattern} is reviewed again.",
    Asked.CREATE_KEY: "A new key “{name}” with {scopes}, for {owner}, in {mailboxes}.",
    Asked.WIDEN_KEY: "More rights for the key “{name}”: {scopes}.",
    Asked.REVOKE_KEY: "The end of the key “{name}” ({key}).",
    Asked.CREATE_WEBHOOK: "Events sent to {url}: {events}.",
    Asked.CHANGE_HOOKS: "Another receiver for the mail of {address}.",
    Asked.CHANGE_ACCOUNT: "The oversight address {oversight_email}, which gets copies and these codes.",
    Asked.DELETE_ACCOUNT: "The end of this account: nothing is sent any more, and every key ends.",
    Asked.OPERATOR_SESSION: "Half an hour in which this key needs no code for mailboxes, keys, webhooks, "
    "copies and the allowlist.",
}


class OperatorSession(models.Model):
    """A time in which a key needs no code for what otherwise takes one. Only its cookie's hash is kept."""

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="operator_sessions")
    hash = models.CharField(max_length=64, unique=True)
    started_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"of {self.key_id}"
