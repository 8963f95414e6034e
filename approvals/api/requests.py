"""What callers may say: types and shapes only. What makes a message valid is the domain's to know."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from approvals import wire
from approvals.gate import Context
from assistants import tools
from assistants.models import Run
from assistants.runtimes import ids
from audit.log import no_constant
from mailboxes.attachments import MAX_FILES, Attachment
from mailboxes.envelope import Draft
from mailboxes.models import Email, GateTiming, OversightMode

MAX_RECIPIENTS = 50

CONTEXT_HEADERS = {
    "assistant_id": "X-Assistant-Id",
    "thread_id": "X-Thread-Id",
    "run_id": "X-Run-Id",
    "tool_call_id": "X-Tool-Call-Id",
}


class StringField(serializers.CharField):
    """A JSON string, exactly as given: no numbers made into text, nothing trimmed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "allow_blank": True, **options})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class IdField(StringField):
    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=80, **{"allow_blank": False, **options})

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            raise serializers.ValidationError("This is not an id.", code="invalid")
        return text


def unquoted(data: Any) -> Any:
    """Some callers can only say strings: they write a list or an object as the JSON of it."""
    if not isinstance(data, str) or data.lstrip()[:1] not in ("[", "{"):
        return data
    try:
        return json.loads(data, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return data


class ListField(serializers.ListField):
    def to_internal_value(self, data: Any) -> list[Any]:
        found: list[Any] = super().to_internal_value(unquoted(data))
        return found


class NamesField(ListField):
    """Names from a known set, for which one string with commas will do too."""

    def to_internal_value(self, data: Any) -> list[Any]:
        data = unquoted(data)
        if isinstance(data, str):
            data = [name for name in re.split(r"[,\s]+", data) if name]
        return super().to_internal_value(data)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "maxItems": MAX_RECIPIENTS},
        ]
    }
)
class AddressesField(ListField):
    """One address, or a list of them. A string is one element, whatever commas it holds."""

    child = StringField()

    def to_internal_value(self, data: Any) -> list[str]:
        data = unquoted(data)
        return super().to_internal_value([data] if isinstance(data, str) else data)


class TagsField(serializers.DictField):
    child = StringField()

    def to_internal_value(self, data: Any) -> dict[str, str]:
        data = unquoted(data)
        if isinstance(data, dict):
            names = serializers.ListField(child=StringField(allow_blank=False))
            names.run_validation(list(data))
        tags: dict[str, str] = super().to_internal_value(data)
        return tags


class ForeignIdField(StringField):
    """An id of somebody else's making: printable ASCII, without what JSON would escape."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not re.fullmatch(r"[!#-\[\]-~]*", text):
            raise serializers.ValidationError("This is not an id.", code="invalid")
        return text


class RunContext(serializers.Serializer[Any]):
    assistant_id = ForeignIdField(max_length=80, required=False)
    thread_id = ForeignIdField(max_length=200, required=False)
    run_id = ForeignIdField(max_length=200, required=False)
    tool_call_id = ForeignIdField(max_length=200, required=False)


class Base64Field(StringField):
    def to_internal_value(self, data: Any) -> bytes:  # type: ignore[override]
        text = super().to_internal_value(data)
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except ValueError:
            raise serializers.ValidationError("This is not base64.", code="bad_base64") from None


@extend_schema_field({"type": "string", "format": "date-time"})
class SendTimeField(serializers.DateTimeField):
    """A moment that says its zone: an hour that may be anybody's is no time to send mail."""

    def to_internal_value(self, value: Any) -> Any:
        if not isinstance(value, str) or not re.search(r"(?:[zZ]|[+-]\d\d:\d\d)$", value):
            message = "Give a time with its zone, such as 2026-12-24T09:00:00Z."
            raise serializers.ValidationError(message, code="no_zone")
        return super().to_internal_value(value)


class ScheduleRequest(serializers.Serializer[Any]):
    send_at = SendTimeField(required=False)
    to = AddressesField(required=False, max_length=MAX_RECIPIENTS)
    cc = AddressesField(required=False, max_length=MAX_RECIPIENTS)
    bcc = AddressesField(required=False, max_length=MAX_RECIPIENTS)
    subject = StringField(required=False)
    markdown = StringField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError({"send_at": "Say what is to change."}, code="required")
        return attrs


class AttachmentRequest(serializers.Serializer[Any]):
    name = StringField(max_length=255)
    content_base64 = Base64Field()
    content_type = StringField(max_length=200, required=False, default="application/octet-stream")


class ContentRequest(serializers.Serializer[Any]):
    """The body under any of its names, and what goes along with every send."""

    markdown = StringField(required=False, help_text="The canonical name; `body` and `text` mean the same.")
    body = StringField(required=False)
    text = StringField(required=False)
    html = StringField(required=False)
    cc = AddressesField(required=False, max_length=MAX_RECIPIENTS)
    bcc = AddressesField(required=False, max_length=MAX_RECIPIENTS)
    attachments = ListField(child=AttachmentRequest(), required=False, max_length=MAX_FILES)
    idempotency_key = StringField(required=False, max_length=255)
    context = RunContext(required=False)  # type: ignore[assignment]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = {attrs[name] for name in ("markdown", "body", "text") if name in attrs}
        if len(given) > 1:
            raise serializers.ValidationError(
                {"markdown": "markdown, body and text are one thing; these differ."}, code="ambiguous"
            )
        if not given and not attrs.get("html"):
            raise serializers.ValidationError({"markdown": "This field is required."}, code="required")
        attrs["markdown"] = given.pop() if given else ""
        return attrs


class ReplyRequest(ContentRequest):
    pass


class SendRequest(ContentRequest):
    to = AddressesField(max_length=MAX_RECIPIENTS)
    subject = StringField()
    send_at = SendTimeField(required=False)
    gate_timing = serializers.ChoiceField(GateTiming.values, required=False)


class FlatSendRequest(SendRequest):
    mailbox_id = IdField()


class FlatReplyRequest(ContentRequest):
    email_id = IdField()
    mailbox_id = IdField(required=False)


def draft(data: dict[str, Any]) -> Draft:
    """From the validated data of any of the above."""
    return Draft(
        to=tuple(data.get("to", ())),
        cc=tuple(data.get("cc", ())),
        bcc=tuple(data.get("bcc", ())),
        subject=data.get("subject", ""),
        markdown=data["markdown"],
        html=data.get("html", ""),
        attachments=tuple(map(_attachment, data.get("attachments", ()))),
        send_at=data.get("send_at"),
        gate_timing=data.get("gate_timing", ""),
    )


def _attachment(data: dict[str, Any]) -> Attachment:
    kind = data["content_type"].partition(";")[0].strip().lower()
    return Attachment(data["name"], kind or "application/octet-stream", data["content_base64"])


def context(data: dict[str, Any], headers: Any) -> Context:
    """The run that a call belongs to: by headers, or in the body, which wins."""
    named = {name: headers.get(header) for name, header in CONTEXT_HEADERS.items()}
    serializer = RunContext(data={name: text for name, text in named.items() if text is not None})
    serializer.is_valid(raise_exception=True)
    return Context(**{**serializer.validated_data, **data.get("context", {})})


def idempotency_key(data: dict[str, Any], headers: Any) -> str:
    in_body, in_header = data.get("idempotency_key", ""), headers.get("Idempotency-Key", "")
    given = {text for text in (in_body, in_header) if text}
    if len(given) > 1:
        raise serializers.ValidationError(
            {"idempotency_key": "The header and the body name different keys."}, code="ambiguous"
        )
    return str(serializers.CharField(max_length=255).run_validation(given.pop())) if given else ""


class TagsRequest(serializers.Serializer[Any]):
    tags = TagsField()


class FlatTagRequest(serializers.Serializer[Any]):
    email_id = IdField()
    mailbox_id = IdField(required=False)
    action = serializers.ChoiceField(["set", "get", "delete"], required=False)
    tags = TagsField(required=False)
    key = StringField(required=False, allow_blank=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        action = attrs.setdefault("action", "set" if "tags" in attrs else "get")
        needed = {"set": "tags", "delete": "key", "get": "action"}[action]
        if needed not in attrs:
            raise serializers.ValidationError({needed: "This field is required."}, code="required")
        return attrs


class FlatEmailRequest(serializers.Serializer[Any]):
    email_id = IdField()
    mailbox_id = IdField(required=False)


class PageQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    cursor = StringField(required=False, max_length=200)
    offset = serializers.IntegerField(min_value=0, max_value=1_000_000, required=False)


class WholeQuery(PageQuery):
    """Of lists that the clients read in one call: the SDK, for one, has no way to ask for a second page."""

    limit = serializers.IntegerField(
        min_value=1, max_value=100, required=False, help_text="Left out: all, up to 1000 at once."
    )


class EmailQuery(PageQuery):
    status = serializers.ChoiceField(wire.STATUS_WORDS, required=False)
    sender = StringField(required=False, max_length=320)
    subject_contains = StringField(required=False, max_length=998)
    date_after = serializers.DateTimeField(required=False, default_timezone=UTC)
    date_before = serializers.DateTimeField(required=False, default_timezone=UTC)
    direction = serializers.ChoiceField(Email.Direction.values, required=False)
    has_attachments = serializers.BooleanField(required=False)
    since_id = IdField(required=False)


class FlatInboxRequest(EmailQuery):
    mailbox_id = IdField(required=False)


class PendingQuery(PageQuery):
    # read in one call too, and each with its whole body
    limit = serializers.IntegerField(min_value=1, max_value=100, default=100)
    mailbox_id = IdField(required=False)
    assistant_id = StringField(required=False, max_length=80)


class RunQuery(PageQuery):
    state = serializers.ChoiceField(Run.Status.values, required=False)


class AdoptRequest(serializers.Serializer[Any]):
    thread_id = StringField(max_length=200, allow_blank=False, validators=[ids.check])
    run_id = StringField(max_length=200, allow_blank=False, validators=[ids.check])
    # the name or id of the assistant's connection; another is refused
    connection = StringField(required=False, max_length=200)


class ToolsQuery(serializers.Serializer[Any]):
    mailbox_id = IdField(required=False)
    format = serializers.ChoiceField(sorted(tools.FORMS), default="assistants")


class WaitQuery(serializers.Serializer[Any]):
    wait = serializers.IntegerField(min_value=0, max_value=55, default=0)


class DecideRequest(serializers.Serializer[Any]):
    email_id = IdField()
    action = serializers.ChoiceField(["approve", "reject"])
    reason = StringField(required=False, max_length=2000)
    revision = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
    digest = StringField(required=False, max_length=64)


class MailboxRequest(serializers.Serializer[Any]):
    address = StringField(required=False, max_length=320)
    address_local = StringField(required=False, max_length=64)
    address_local_part = StringField(required=False, max_length=64)
    display_name = StringField(required=False, max_length=200)
    oversight_mode = serializers.ChoiceField(OversightMode.values, required=False)
    approval_code = StringField(required=False, max_length=40)
    webhook_url = StringField(required=False, max_length=2000, help_text="Gets the events of its mail.")
    oversight_webhook_url = StringField(required=False, max_length=2000, help_text="Gets its decisions.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in ("address", "address_local", "address_local_part") if attrs.get(name)]
        if len(given) != 1:
            raise serializers.ValidationError(
                {"address": "Give one of address, address_local and address_local_part."}, code="required"
            )
        return attrs
