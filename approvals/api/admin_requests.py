"""What callers may say about the account, its mailboxes, keys, contacts and the log."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from rest_framework import serializers

from approvals.api.requests import (
    ForeignIdField,
    IdField,
    ListField,
    NamesField,
    PageQuery,
    StringField,
    WholeQuery,
)
from approvals.models import WebhookDelivery
from assistants.models import Scope
from audit.models import Event
from mailboxes.models import GateTiming, OversightMode

# a null empties these; elsewhere it is the same as saying nothing
EMPTIED_BY_NULL = (
    "auto_cc",
    "auto_bcc",
    "signature_block",
    "physical_address",
    "display_name",
    "webhook_url",
    "oversight_webhook_url",
)


def emptied(data: Any) -> dict[str, Any]:
    """`data` with "" for the nulls that mean to empty something."""
    given = dict(data)
    return given | {name: "" for name in EMPTIED_BY_NULL if name in given and given[name] is None}


class WithCode(serializers.Serializer[Any]):
    approval_code = StringField(
        required=False, max_length=40, help_text="The one-time code that an administrator was shown."
    )


class SessionCode(serializers.Serializer[Any]):
    code = StringField(max_length=40, allow_blank=False)


class MailboxSettings(WithCode):
    display_name = StringField(required=False, max_length=200)
    oversight_mode = serializers.ChoiceField(
        OversightMode.values, required=False, help_text="Stricter only; looser takes a person."
    )
    auto_cc = StringField(required=False, max_length=320)
    auto_bcc = StringField(required=False, max_length=320)
    signature_block = StringField(required=False, max_length=1000)
    ai_disclosure = serializers.BooleanField(required=False)
    forward_inbound = serializers.BooleanField(required=False)
    default_gate_timing = serializers.ChoiceField(GateTiming.values, required=False)
    scheduling_enabled = serializers.BooleanField(required=False)
    mcp_configured = serializers.BooleanField(required=False)
    is_bulk = serializers.BooleanField(
        required=False, help_text="A newsletter: who gets it may unsubscribe with one click."
    )
    webhook_url = StringField(required=False, max_length=2000, help_text="Gets the events of its mail.")
    oversight_webhook_url = StringField(required=False, max_length=2000, help_text="Gets its decisions.")


class UpgradeRequest(serializers.Serializer[Any]):
    target_mode = serializers.ChoiceField(OversightMode.values)


class UpgradeCode(serializers.Serializer[Any]):
    code = StringField(max_length=40, allow_blank=False)


class AllowlistRequest(WithCode):
    pattern = StringField(max_length=320, help_text="An address or *@domain.")
    note = StringField(required=False, max_length=200)


class ScopesField(NamesField):
    child = serializers.ChoiceField(Scope.values)


class KeyRequest(WithCode):
    name = StringField(max_length=200, allow_blank=False)
    scopes = ScopesField(required=False, max_length=5)
    mailbox_ids = NamesField(
        child=IdField(), required=False, max_length=100, help_text="Left out: all that its owner may touch."
    )
    assistant_id = IdField(required=False)
    expires_at = serializers.DateTimeField(required=False, default_timezone=UTC)


class KeyChange(WithCode):
    name = StringField(required=False, max_length=200, allow_blank=False)
    scopes = ScopesField(required=False, max_length=5)
    expires_at = serializers.DateTimeField(required=False, default_timezone=UTC)


class AccountChange(WithCode):
    name = StringField(required=False, max_length=200, allow_blank=False)
    oversight_email = StringField(required=False, max_length=320)
    physical_address = StringField(required=False, max_length=2000)


class WebhookRequest(WithCode):
    url = StringField(max_length=2000, allow_blank=False)
    events = NamesField(child=StringField(max_length=40), max_length=30)
    mailbox_id = IdField(required=False, help_text="Left out: for all mailboxes that the key reaches.")
    secret = StringField(required=False, max_length=200, help_text="Left out: one is made.")


class WebhookChange(serializers.Serializer[Any]):
    events = NamesField(child=StringField(max_length=40), required=False, max_length=30)
    is_active = serializers.BooleanField(required=False)


class DeliveryQuery(PageQuery):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=50)
    webhook_id = IdField(required=False)
    status = serializers.ChoiceField(WebhookDelivery.Status.values, required=False)


class DomainRequest(serializers.Serializer[Any]):
    domain = StringField(max_length=253, allow_blank=False, help_text="Such as example.com.")


class IssueRequest(serializers.Serializer[Any]):
    category = serializers.ChoiceField(["bug", "site_problem", "feature_request"], default="bug")
    title = StringField(required=False, max_length=200)
    description = StringField(max_length=5000, allow_blank=False)
    tool_name = StringField(required=False, max_length=80)
    email_id = IdField(required=False)


class ContactRequest(serializers.Serializer[Any]):
    email = StringField(max_length=320, allow_blank=False)
    name = StringField(required=False, max_length=200)
    tags = ListField(child=StringField(max_length=100), required=False, max_length=50)


class ContactQuery(WholeQuery):
    q = StringField(required=False, max_length=200)
    query = StringField(required=False, max_length=200)


class AuditQuery(PageQuery):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=50)
    assistant_id = ForeignIdField(required=False, max_length=80)
    run_id = ForeignIdField(required=False, max_length=200)
    openai_thread_id = ForeignIdField(required=False, max_length=200)
    email_id = IdField(required=False)
    mailbox_id = IdField(required=False)
    actor = StringField(required=False, max_length=80)
    action = serializers.ChoiceField(Event.Action.values, required=False)
    since = serializers.DateTimeField(required=False, default_timezone=UTC)
    until = serializers.DateTimeField(required=False, default_timezone=UTC)


# `from` is a keyword
UsageQuery = type(
    "UsageQuery",
    (serializers.Serializer,),
    {
        "from": serializers.IntegerField(required=False, min_value=0, max_value=2**53),
        "to": serializers.IntegerField(required=False, min_value=0, max_value=2**53),
        "breakdown": serializers.ChoiceField(["daily"], required=False),
        "period": serializers.ChoiceField(["summary", "daily"], required=False),
    },
)
