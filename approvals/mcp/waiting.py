"""wait_for_email: until mail has come in, with no database connection in hand meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from rest_framework import serializers

from approvals.api import emails
from approvals.api.authentication import check_scopes
from approvals.api.base import mailbox_of, validated
from approvals.api.beside import place_in_line
from approvals.api.requests import IdField, StringField
from approvals.mcp import mail, shown
from approvals.mcp.acting import Arguments, Outcome, check_names, mailbox_for, refusal_of
from approvals.mcp.calls import Caller
from approvals.wire import Dialect
from assistants.models import Scope
from audit import watch
from audit.models import Event
from mailboxes.models import Email

# how long a call has been waiting, and how long it may, in seconds
Beat = Callable[[float, float], Awaitable[None]]

# seconds between signs of life, for clients that give up on silence
BEAT = 10.0
# what puts mail into an inbox: it came, or a person let it in
NEWS = (Event.Action.EMAIL_RECEIVED, Event.Action.EMAIL_APPROVED)


class Filter(serializers.Serializer[Any]):
    sender = StringField(required=False, max_length=320)
    subject_contains = StringField(required=False, max_length=998)


class WaitRequest(serializers.Serializer[Any]):
    mailbox_id = IdField(required=False)
    timeout_seconds = serializers.IntegerField(min_value=5, max_value=120, default=30)
    filter = Filter(required=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    mailbox_id: str
    seconds: int
    filters: dict[str, Any]
    # the event that was newest when the call came
    since: int


async def wait(caller: Caller, arguments: Arguments, beat: Beat) -> Outcome:
    try:
        wanted = await sync_to_async(_wanted)(caller, arguments)
        with place_in_line(caller.key):
            return await _until_it_came(caller, wanted, beat)
    except Exception as error:
        return await sync_to_async(_refused)(error)


def _refused(error: Exception) -> Outcome:
    try:
        return refusal_of(error)
    finally:
        watch.let_go()


def _wanted(caller: Caller, arguments: Arguments) -> Wanted:
    try:
        check_scopes(caller.key, (Scope.READ,))
        check_names(mail.WAIT, arguments)
        data = validated(WaitRequest, {name: one for name, one in arguments.items() if one is not None})
        mailbox = mailbox_of(caller.key, data.get("mailbox_id") or mailbox_for(caller, {}))
        return Wanted(mailbox.pk, data["timeout_seconds"], dict(data.get("filter", {})), watch.head())
    finally:
        watch.let_go()


async def _until_it_came(caller: Caller, wanted: Wanted, beat: Beat) -> Outcome:
    started, seen = time.monotonic(), wanted.since
    while (left := wanted.seconds - (time.monotonic() - started)) > 0:
        now = await watch.changed(seen, timeout=min(left, BEAT))
        if now == seen:
            await beat(time.monotonic() - started, wanted.seconds)
            continue
        seen = now
        if found := await sync_to_async(_came)(caller, wanted):
            return Outcome([shown.as_json({"found": True, "emails": found}), shown.WARNING])
        # somebody else's news come in a stream: let others have a turn
        await asyncio.sleep(0)
    return Outcome([shown.as_json({"found": False, "timeout": True, "waited_seconds": wanted.seconds})])


def _came(caller: Caller, wanted: Wanted) -> list[Any]:
    try:
        news = Event.objects.filter(seq__gt=wanted.since, mailbox_id=wanted.mailbox_id, action__in=NEWS)
        came = list(news.values_list("email_id", flat=True))
        if not came:
            return []
        found = Email.objects.visible_to(caller.key).filter(pk__in=came)
        asked = {"limit": 20, "status": Email.InboundStatus.UNREAD, **wanted.filters}
        listed = emails.listing(found, asked, Dialect.MAILBOX).data["emails"]
        return [shown.head(email) for email in listed]
    finally:
        watch.let_go()
