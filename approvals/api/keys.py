"""/v1/api-keys: for keys that administer all mailboxes."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, wire
from approvals.actions.keys import check_scopes, widens
from approvals.api import answers
from approvals.api.admin_requests import KeyChange, KeyRequest, WithCode
from approvals.api.base import View, body, key_of, one, query
from approvals.api.paging import page
from approvals.api.requests import WholeQuery
from approvals.api.schema import operation
from approvals.api.two_step import two_step
from approvals.models import OperatorRequest
from approvals.permissions import check_administer
from assistants.models import ApiKey, Assistant, Integration, Scope
from mailboxes.models import Mailbox

Action = OperatorRequest.Action
PENDING = {202: answers.PendingApproval}


def key_object(key: ApiKey) -> answers.KeyObject:
    return {
        "id": key.pk,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "assistant_id": key.assistant_id,
        "mailbox_ids": ["*"] if key.all_mailboxes else [link.mailbox_id for link in key.mailbox_links.all()],
        "created_at": wire.moment(key.created_at),
        "last_used_at": wire.timestamp(key.last_used_at),
        "expires_at": wire.timestamp(key.expires_at),
        "is_active": key.revoked_at is None and (key.expires_at is None or key.expires_at > timezone.now()),
    }


class KeysView(View):
    scopes = {"GET": (Scope.ADMIN,), "POST": (Scope.ADMIN,)}

    @operation("list_api_keys", answers.KeyList, parameters=[WholeQuery])
    def get(self, request: Request) -> Response:
        """Every key, newest first; never its secret."""
        check_administer(key_of(request))
        keys = ApiKey.objects.select_related("assistant", "integration").prefetch_related("mailbox_links")
        found, cursor = page(keys, query(request, WholeQuery))
        shown = [key_object(key) for key in found]
        return Response({"api_keys": shown, "items": shown, "cursor": cursor})

    @operation("create_api_key", answers.KeyCreated, status=201, also=PENDING, request=KeyRequest)
    def post(self, request: Request) -> Response:
        """Make a key, with a person's word. Its secret is in this answer and nowhere else."""
        by, data = key_of(request), body(request, KeyRequest)
        check_administer(by)
        owner = _owner(by, data)
        scopes = data.get("scopes") or [Scope.READ.value]
        check_scopes(owner, scopes)
        mailboxes = _mailboxes(owner, data)
        params = {
            "name": data["name"],
            "scopes": scopes,
            "owner": owner.pk,
            "mailboxes": [box.pk for box in mailboxes] if mailboxes is not None else ["*"],
            "expires_at": wire.timestamp(data.get("expires_at")),
        }

        def make() -> Response:
            key, secret = actions.create_key(
                owner,
                name=data["name"],
                scopes=scopes,
                mailboxes=mailboxes or (),
                all_mailboxes=mailboxes is None,
                expires_at=data.get("expires_at"),
                by=by,
            )
            return Response({**key_object(key), "api_key": secret}, status=201)

        return two_step(Action.CREATE_KEY, params, data, by=by, do=make)


def _owner(by: ApiKey, data: dict[str, Any]) -> Assistant | Integration:
    if assistant_id := data.get("assistant_id"):
        return one(Assistant.objects.filter(pk=assistant_id), "assistant")
    return by.owner


def _mailboxes(owner: Assistant | Integration, data: dict[str, Any]) -> list[Mailbox] | None:
    """None: all of them, now and later."""
    if "mailbox_ids" in data:
        return [one(Mailbox.objects.filter(pk=pk), "mailbox") for pk in data["mailbox_ids"]]
    if isinstance(owner, Assistant):
        return list(Mailbox.objects.visible_to(owner).order_by("pk"))
    return None


class KeyView(View):
    scopes = {"PATCH": (Scope.ADMIN,), "DELETE": (Scope.ADMIN,)}

    @operation("change_api_key", answers.KeyChanged, also=PENDING, request=KeyChange)
    def patch(self, request: Request, key_id: str) -> Response:
        """Rename it, or change what it may do. More than before takes a person's word."""
        by, data = key_of(request), body(request, KeyChange)
        key = _key(by, key_id)
        wanted = {name: data[name] for name in ("name", "scopes", "expires_at") if name in data}

        def change() -> Response:
            actions.change_key(key, **wanted, by=by)
            return Response({**key_object(_key(by, key_id)), "status": "updated"})

        if not widens(key, data.get("scopes", [])):
            return change()
        check_scopes(key.owner, data["scopes"])
        params = {"key": key.pk, "name": key.name, "scopes": data["scopes"]}
        return two_step(Action.WIDEN_KEY, params, data, by=by, do=change)

    @operation("revoke_api_key", answers.Status, also=PENDING, request=WithCode)
    def delete(self, request: Request, key_id: str) -> Response:
        """End it, with a person's word."""
        by, data = key_of(request), body(request, WithCode)
        key = _key(by, key_id)

        def revoke() -> Response:
            actions.revoke_key(key, by=by)
            return Response({"status": "revoked"})

        return two_step(Action.REVOKE_KEY, {"key": key.pk, "name": key.name}, data, by=by, do=revoke)


def _key(by: ApiKey, key_id: str) -> ApiKey:
    check_administer(by)
    keys = ApiKey.objects.select_related("assistant", "integration").prefetch_related("mailbox_links")
    return one(keys.filter(pk=key_id), "key")
