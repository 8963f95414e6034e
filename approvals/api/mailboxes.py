"""/v1/mailboxes and /v1/mailboxes/{id}."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, mailbox_requests, upgrades, wire
from approvals.actions.mailbox_hooks import new_hooks
from approvals.actions.mailbox_settings import new_copies
from approvals.actions.setup import checked_pattern
from approvals.api import answers
from approvals.api.admin_requests import (
    AllowlistRequest,
    MailboxSettings,
    UpgradeCode,
    UpgradeRequest,
    WithCode,
    emptied,
)
from approvals.api.base import View, body, key_of, mailbox_of, one, query, validated
from approvals.api.paging import page
from approvals.api.requests import MailboxRequest, WholeQuery
from approvals.api.schema import operation
from approvals.api.two_step import pending, two_step
from approvals.models import OperatorRequest
from approvals.permissions import check_administer
from assistants.models import Scope
from mailboxes.models import AllowlistEntry, Mailbox, OversightMode

PENDING = {202: answers.PendingApproval}


class MailboxesView(View):
    scopes = {"GET": (Scope.READ,), "POST": (Scope.ADMIN,)}

    @operation("list_mailboxes", answers.MailboxList, parameters=[WholeQuery])
    def get(self, request: Request) -> Response:
        """The mailboxes within the key's reach, newest first."""
        open_ones = Mailbox.objects.visible_to(key_of(request)).filter(is_active=True)
        open_ones = open_ones.prefetch_related("webhooks")
        found, cursor = page(open_ones, query(request, WholeQuery))
        shown = [wire.mailbox_object(mailbox) for mailbox in found]
        return Response({"mailboxes": shown, "items": shown, "cursor": cursor})

    @operation(
        "create_mailbox",
        answers.MailboxWithSecrets,
        status=201,
        also={202: answers.PendingApproval},
        request=MailboxRequest,
    )
    def post(self, request: Request) -> Response:
        """Create a mailbox. A key's first is made at once; a later one takes an administrator's code."""
        data = body(request, MailboxRequest)
        wanted = mailbox_requests.Wanted(
            address=data.get("address") or data.get("address_local") or data["address_local_part"],
            display_name=data.get("display_name", ""),
            oversight_mode=data.get("oversight_mode", OversightMode.GATED_SEND),
            webhook_url=data.get("webhook_url", ""),
            oversight_webhook_url=data.get("oversight_webhook_url", ""),
        )
        made = mailbox_requests.create_by_key(wanted, data.get("approval_code", ""), by=key_of(request))
        if isinstance(made, mailbox_requests.Created):
            return Response({**wire.mailbox_object(made.mailbox), **made.secrets}, status=201)
        return pending(made)


def _change(request: Request, mailbox_id: str, done: Callable[[Mailbox], Any]) -> Response:
    """Settings at once; whom each message is copied to and who hears of it, with a person's word."""
    key, data = key_of(request), validated(MailboxSettings, emptied(request.data))
    mailbox = mailbox_of(key, mailbox_id)
    check_administer(key, mailbox)
    wanted = {name: value for name, value in data.items() if name != "approval_code"}

    def change() -> Response:
        secrets = actions.change_mailbox(mailbox, wanted, by=key)
        return Response({**done(mailbox_of(key, mailbox_id)), **secrets})

    copies, hooks = new_copies(mailbox, wanted), new_hooks(mailbox, wanted)
    if not copies and not hooks:
        return change()
    action = OperatorRequest.Action.CHANGE_COPIES if copies else OperatorRequest.Action.CHANGE_HOOKS
    params = {"mailbox_id": mailbox.pk, "address": mailbox.address, **wanted}
    return two_step(action, params, data, by=key, do=change)


class MailboxView(View):
    scopes = {"GET": (Scope.READ,), "PATCH": (Scope.ADMIN,), "DELETE": (Scope.ADMIN,)}

    @operation("get_mailbox", wire.MailboxObject)
    def get(self, request: Request, mailbox_id: str) -> Response:
        return Response(wire.mailbox_object(mailbox_of(key_of(request), mailbox_id)))

    @operation("update_mailbox", answers.MailboxUpdated, also=PENDING, request=MailboxSettings)
    def patch(self, request: Request, mailbox_id: str) -> Response:
        """Change its settings. The mode can be made stricter only; looser takes a person."""
        return _change(request, mailbox_id, lambda _: {"status": "updated"})

    @operation("delete_mailbox", answers.Status, request=None)
    def delete(self, request: Request, mailbox_id: str) -> Response:
        """It sends and receives nothing more. Its mail stays on record; its address is never used again."""
        key = key_of(request)
        actions.delete_mailbox(mailbox_of(key, mailbox_id), by=key)
        return Response({"status": "deleted"})


class ConfigureView(View):
    scopes = {"PATCH": (Scope.ADMIN,)}

    @operation("configure_mailbox", answers.MailboxWithSecrets, also=PENDING, request=MailboxSettings)
    def patch(self, request: Request, mailbox_id: str) -> Response:
        """The same as changing the mailbox, with the mailbox for an answer."""
        return _change(request, mailbox_id, wire.mailbox_object)


class RequestUpgradeView(View):
    scopes = {"POST": (Scope.SEND,)}

    @operation("request_upgrade", answers.Status, request=UpgradeRequest)
    def post(self, request: Request, mailbox_id: str) -> Response:
        """Ask a person for a looser mode. Three times an hour at most."""
        key, data = key_of(request), body(request, UpgradeRequest)
        upgrades.ask(mailbox_of(key, mailbox_id), data["target_mode"], by=key)
        return Response({"status": "upgrade_requested"})


class UpgradeView(View):
    scopes = {"POST": (Scope.ADMIN,)}

    @operation("apply_upgrade", answers.Status, request=UpgradeCode)
    def post(self, request: Request, mailbox_id: str) -> Response:
        """Loosen the mailbox with the code that an administrator was shown."""
        key = key_of(request)
        upgrades.apply(mailbox_of(key, mailbox_id), body(request, UpgradeCode)["code"], by=key)
        return Response({"status": "upgraded"})


class AllowlistView(View):
    scopes = {"GET": (Scope.ADMIN,), "POST": (Scope.ADMIN,)}

    @operation("list_allowlist", answers.Allowlist)
    def get(self, request: Request, mailbox_id: str) -> Response:
        """Who may be written to without review, while the mailbox is in gated_send."""
        mailbox = mailbox_of(key_of(request), mailbox_id)
        shown = [listed_entry(entry) for entry in mailbox.allowlist.order_by("pk")]
        return Response({"mailbox_id": mailbox.pk, "count": len(shown), "entries": shown, "items": shown})

    @operation(
        "add_allowlist_entry",
        answers.AllowlistEntryObject,
        status=201,
        also=PENDING,
        request=AllowlistRequest,
    )
    def post(self, request: Request, mailbox_id: str) -> Response:
        """Let mail to an address or *@domain skip review, with a person's word."""
        key, data = key_of(request), body(request, AllowlistRequest)
        mailbox, pattern = mailbox_of(key, mailbox_id), checked_pattern(data["pattern"])
        note = data.get("note", "")

        def add() -> Response:
            return Response(listed_entry(actions.allow(mailbox, pattern, by=key, note=note)), status=201)

        params = {"mailbox_id": mailbox.pk, "address": mailbox.address, "pattern": pattern, "note": note}
        return two_step(OperatorRequest.Action.ADD_TO_ALLOWLIST, params, data, by=key, do=add)


class AllowlistEntryView(View):
    scopes = {"DELETE": (Scope.ADMIN,)}

    @operation("remove_allowlist_entry", answers.Status, also=PENDING, request=WithCode)
    def delete(self, request: Request, mailbox_id: str, entry: str) -> Response:
        """Have mail to it reviewed again, with a person's word. `entry`: its id or its pattern."""
        key, data = key_of(request), body(request, WithCode)
        mailbox = mailbox_of(key, mailbox_id)
        named = Q(pk=entry) | Q(pattern=unquote(entry).lower())
        listed = one(mailbox.allowlist.select_related("mailbox").filter(named), "allowlist entry")

        def remove() -> Response:
            actions.disallow(listed, by=key)
            return Response({"status": "removed"})

        params = {"mailbox_id": mailbox.pk, "address": mailbox.address, "pattern": listed.pattern}
        return two_step(OperatorRequest.Action.CUT_ALLOWLIST, params, data, by=key, do=remove)


def listed_entry(entry: AllowlistEntry) -> answers.AllowlistEntryObject:
    return {
        "id": entry.pk,
        "pattern": entry.pattern,
        "note": entry.note,
        "added_at": wire.moment(entry.added_at),
    }
