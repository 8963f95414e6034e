"""/v1/account, /v1/usage and /v1/audit-log."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, usage, wire
from approvals.actions.account import the_account
from approvals.api import answers
from approvals.api.admin_requests import AccountChange, AuditQuery, UsageQuery, WithCode, emptied
from approvals.api.authentication import ANY_KEY
from approvals.api.base import View, body, key_of, query, validated
from approvals.api.paging import page
from approvals.api.schema import operation
from approvals.api.system import sign_up_is_off
from approvals.api.two_step import two_step
from approvals.models import OperatorRequest
from approvals.permissions import check_administer, check_all_mailboxes
from assistants.models import ApiKey, Scope
from audit import search
from audit.models import Event
from mailboxes.models import Account, Mailbox

Action = OperatorRequest.Action
PENDING = {202: answers.PendingApproval}
PLAN = "self-hosted"


def account_object(account: Account) -> answers.AccountObject:
    held = account.held_at is not None
    return {
        "id": wire.TENANT_ID,
        "name": account.name,
        "slug": wire.TENANT_ID,
        "plan": PLAN,
        "oversight_email": account.oversight_email,
        "physical_address": account.physical_address,
        "monthly_email_quota": account.monthly_email_quota,
        "max_mailboxes": account.max_mailboxes,
        # only the disk limits it
        "max_storage_bytes": None,
        "emails_sent_this_month": usage.sent_this_month(),
        "storage_used_bytes": usage.stored_bytes(),
        "is_active": account.closed_at is None,
        "sending_disabled": held,
        "sending_disabled_reason": account.held_reason if held else None,
    }


class AccountView(View):
    scopes = {"GET": (Scope.READ,), "POST": ANY_KEY, "PATCH": (Scope.ADMIN,), "DELETE": (Scope.ADMIN,)}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method == "POST":
            raise sign_up_is_off()  # before anybody is asked for a key: who signs up has none
        super().initial(request, *args, **kwargs)

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        """Signing up, which is off: `initial` says so."""
        raise sign_up_is_off()

    @operation("get_account", answers.AccountObject)
    def get(self, request: Request) -> Response:
        check_all_mailboxes(key_of(request))
        return Response(account_object(the_account()))

    @operation("update_account", answers.AccountObject, also=PENDING, request=AccountChange)
    def patch(self, request: Request) -> Response:
        """Who gets the copies and the codes is changed with a person's word only."""
        key, data = key_of(request), validated(AccountChange, emptied(request.data))
        check_administer(key)
        wanted = {name: text for name, text in data.items() if name != "approval_code"}

        def change() -> Response:
            actions.change_account(wanted, by=key)
            return Response(account_object(the_account()))

        if wanted.get("oversight_email", the_account().oversight_email) == the_account().oversight_email:
            return change()
        return two_step(Action.CHANGE_ACCOUNT, wanted, data, by=key, do=change)

    @operation("delete_account", answers.Status, also=PENDING, request=WithCode)
    def delete(self, request: Request) -> Response:
        """Close the account, with a person's word: nothing is sent any more, and every key ends."""
        key, data = key_of(request), body(request, WithCode)
        check_administer(key)

        def close() -> Response:
            actions.close_account(by=key)
            return Response({"status": "deleted"})

        return two_step(Action.DELETE_ACCOUNT, {}, data, by=key, do=close)


class UsageView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("get_usage", answers.UsageSummary | answers.UsageDaily, parameters=[UsageQuery])
    def get(self, request: Request) -> Response:
        """What the key's mailboxes sent and received: this month, or from one moment to another."""
        key, wanted = key_of(request), query(request, UsageQuery)
        period = usage.period(wanted.get("from"), wanted.get("to"))
        if "daily" in (wanted.get("breakdown"), wanted.get("period")):
            return Response(usage.daily(key, period))
        return Response(usage.summary(key, period))


class AuditLogView(View):
    scopes = {"GET": (Scope.ADMIN,)}

    @operation("get_audit_log", answers.AuditLog, parameters=[AuditQuery])
    def get(self, request: Request) -> Response:
        """What happened, newest first: in the key's mailboxes, or everywhere for a key over all of them."""
        key, wanted = key_of(request), query(request, AuditQuery)
        rows, cursor = page(_events(key, wanted).select_related("payload"), wanted)
        shown = [audit_entry(event) for event in rows]
        return Response({"entries": shown, "items": shown, "cursor": cursor})


def _events(key: ApiKey, wanted: dict[str, Any]) -> Any:
    found = search.find(
        assistant=wanted.get("assistant_id", ""),
        thread=wanted.get("openai_thread_id", ""),
        run=wanted.get("run_id", ""),
        email=wanted.get("email_id", ""),
        mailbox=wanted.get("mailbox_id", ""),
    )
    lookups = {"actor": "actor", "action": "action", "since": "at__gte", "until": "at__lt"}
    found = found.filter(**{lookups[name]: wanted[name] for name in lookups if name in wanted})
    if key.all_mailboxes:
        return found
    within = Mailbox.objects.visible_to(key).values("pk")
    return found.filter(Q(mailbox_id__in=within))


def audit_entry(event: Event) -> answers.AuditEntry:
    kind, resource = _resource(event)
    owner, _, pk = event.actor.partition(":")
    return {
        "id": str(event.seq),
        "action": event.action,
        "resource_type": kind,
        "resource_id": resource,
        "actor": event.actor,
        "actor_key_id": pk if owner == "key" else None,
        "metadata": event.payload.body or {},
        "assistant_id": event.assistant_id,
        "openai_thread_id": event.thread_id,
        "run_id": event.run_id,
        "tool_call_id": event.tool_call_id,
        "email_id": event.email_id,
        "mailbox_id": event.mailbox_id,
        "hash": event.hash,
        "created_at": wire.moment(event.at),
    }


def _resource(event: Event) -> tuple[str, str]:
    """The narrowest thing that the event is about."""
    named = (("email", event.email_id), ("run", event.run_id), ("mailbox", event.mailbox_id))
    return next(((kind, pk) for kind, pk in named if pk), (event.action.partition(".")[0], ""))
