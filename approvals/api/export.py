"""GET /v1/export: all that there is, as one JSON document, written while it is read."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Model, QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from rest_framework.request import Request

from approvals import actions, wire
from approvals.actions.account import the_account
from approvals.api.account import account_object, audit_entry
from approvals.api.base import View, key_of
from approvals.api.contacts import contact_object, suppression_object
from approvals.api.keys import key_object
from approvals.api.mailboxes import listed_entry
from approvals.api.schema import operation
from approvals.api.webhooks import webhook_object
from approvals.models import Decision, User, WebhookEndpoint
from assistants.models import ApiKey, Assistant, Scope
from audit import watch
from audit.models import Event
from mailboxes.models import Contact, Email, Mailbox, Revision, Suppression

PAGE = 100
Section = tuple[str, QuerySet[Any], Callable[[Any], dict[str, Any]]]


class ExportView(View):
    scopes = {"GET": (Scope.ADMIN,)}

    @operation("export_account", dict[str, Any])
    def get(self, request: Request) -> StreamingHttpResponse:
        """Everything on record, once an hour at most: mail with its bytes, people, keys, and the log.

        Secrets are not in it, nor is held inbound mail, unless the key may oversee.
        """
        key = key_of(request)
        actions.begin_export(by=key)
        chunks = _document(key)
        # each of the two servers would gather the whole of the other's kind before its first byte
        is_async = isinstance(request._request, ASGIRequest)
        response = StreamingHttpResponse(_in_turn(chunks) if is_async else chunks)
        response["Content-Type"] = "application/json"
        response["Content-Disposition"] = 'attachment; filename="counterseal-export.json"'
        return response


async def _in_turn(chunks: Iterator[str]) -> AsyncIterator[str]:
    while (chunk := await sync_to_async(_next)(chunks)) is not None:
        yield chunk


def _next(chunks: Iterator[str]) -> str | None:
    """No connection is held while the caller takes its time to read."""
    try:
        return next(chunks, None)
    finally:
        watch.let_go()


def _document(key: ApiKey) -> Iterator[str]:
    head = {"exported_at": wire.moment(timezone.now()), "account": account_object(the_account())}
    yield json.dumps(head)[:-1]
    for name, rows, shape in _sections(key):
        yield f', "{name}": ['
        separator = "\n"
        for row in _pages(rows):
            yield separator + json.dumps(shape(row))
            separator = ",\n"
        yield "]"
    yield "}\n"


def _sections(key: ApiKey) -> list[Section]:
    keys = ApiKey.objects.select_related("assistant", "integration").prefetch_related("mailbox_links")
    decisions = Decision.objects.select_related("by", "by_key__integration")
    return [
        ("people", User.objects.all(), _person),
        ("assistants", Assistant.objects.all(), _assistant),
        ("mailboxes", Mailbox.objects.prefetch_related("allowlist", "webhooks"), _mailbox),
        ("api_keys", keys, lambda one: dict(key_object(one))),
        ("webhooks", WebhookEndpoint.objects.all(), lambda one: dict(webhook_object(one))),
        ("contacts", Contact.objects.all(), lambda one: {**contact_object(one), "owner": one.owner}),
        ("suppressions", Suppression.objects.all(), lambda one: dict(suppression_object(one))),
        ("emails", wire.with_story(Email.objects.visible_to(key)), _email),
        ("decisions", decisions, _decision),
        ("audit_log", Event.objects.select_related("payload"), lambda one: dict(audit_entry(one))),
    ]


def _pages(rows: QuerySet[Any]) -> Iterator[Model]:
    last: Any = None
    while True:
        found = list((rows.filter(pk__gt=last) if last is not None else rows).order_by("pk")[:PAGE])
        yield from found
        if len(found) < PAGE:
            return
        last = found[-1].pk


def _person(person: User) -> dict[str, Any]:
    return {"id": person.pk, "email": person.email, "roles": person.roles, "is_active": person.is_active}


def _assistant(one: Assistant) -> dict[str, Any]:
    return {"id": one.pk, "name": one.name, "instructions": one.instructions, "scopes": one.scopes}


def _mailbox(mailbox: Mailbox) -> dict[str, Any]:
    allowlist = [dict(listed_entry(entry)) for entry in mailbox.allowlist.all()]
    return {**wire.mailbox_object(mailbox), "allowlist": allowlist}


def _email(email: Email) -> dict[str, Any]:
    """With its bytes: as it came, or as each revision was frozen. They are read one email at a time."""
    sources = [bytes(email.raw.data)] if email.is_inbound and email.raw else _frozen(email)
    return {**wire.email_object(email), "sources_base64": [base64.b64encode(s).decode() for s in sources]}


def _frozen(email: Email) -> list[bytes]:
    revisions = Revision.objects.filter(email=email).order_by("number")
    return [bytes(one.block or b"") + bytes(one.frozen) for one in revisions]


def _decision(one: Decision) -> dict[str, Any]:
    about = {"id": one.pk, "email_id": one.message_id or one.inbound_id, "voided": one.voided_at is not None}
    return {**about, "revision": one.revision, "digest": one.digest, **wire.decision(one)}
