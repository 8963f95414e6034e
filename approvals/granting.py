"""An administrator answers what a key asked for: it happens at once, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction

from approvals import actions, mailbox_requests, operator_requests
from approvals.errors import Conflict, NotFound, NotPermitted
from approvals.mailbox_requests import Wanted
from approvals.models import OperatorRequest, User, WebhookEndpoint
from assistants.models import ApiKey, Assistant, Integration
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.models import Mailbox, OversightMode

Action = OperatorRequest.Action
# what was made, if it has a secret, and the secret, which is shown this once
Made = tuple[ApiKey | WebhookEndpoint | None, str]
NOTHING: Made = (None, "")


def grant(request: OperatorRequest, *, by: User) -> Made:
    """Do it in the name of `by`, who must be allowed to do the same without being asked."""
    _check(request, by)
    with transaction.atomic():
        operator_requests.close(request, by=by)
        return DO[Action(request.action)](request, by) or NOTHING


def refuse(request: OperatorRequest, reason: str, *, by: User) -> None:
    """The key hears it, with the reason, when it asks again."""
    _check(request, by)
    with transaction.atomic():
        operator_requests.close(request, by=by, reason=reason.strip()[:500], refused=True)
        subject = Subject(
            mailbox_id=str(request.params.get("mailbox_id", "")), assistant_id=request.key.assistant_id or ""
        )
        details = {"request": request.pk, "asked": request.action, "reason": reason.strip()[:500]}
        log.record(Entry(Event.Action.APPROVAL_REFUSED, subject, details), by=by.actor)


def _check(request: OperatorRequest, by: User) -> None:
    seen = OperatorRequest.objects.visible_to(by).filter(pk=request.pk).exists()
    if not (by.is_active and by.is_administrator and seen):
        raise NotPermitted("Answering requests takes the administrator role where they come from.")


def _mailbox(request: OperatorRequest) -> Mailbox:
    found = Mailbox.objects.filter(pk=request.params["mailbox_id"], is_active=True).first()
    if found is None:
        raise NotFound("The mailbox that this is about was closed meanwhile.")
    return found


def _create_mailbox(request: OperatorRequest, by: User) -> Made:
    made = mailbox_requests.create_for(request.key, Wanted(**request.params), by=by)
    return _hooked(made.mailbox, made.secrets)


def _hooked(mailbox: Mailbox, secrets: dict[str, str]) -> Made:
    """A webhook that was made along with it. Of two, the page of the other makes a new secret."""
    secret = next(iter(secrets.values()), "")
    return (mailbox.webhooks.order_by("pk").last(), secret) if len(secrets) == 1 else NOTHING


def _change_mailbox(request: OperatorRequest, by: User) -> Made:
    mailbox = _mailbox(request)
    wanted = {name: value for name, value in request.params.items() if name not in ("mailbox_id", "address")}
    mode = wanted.get("oversight_mode", mailbox.oversight_mode)
    if OversightMode(mailbox.oversight_mode).is_stricter_than(mode):
        raise Conflict("This would make the mailbox looser, which a key asks for with request-upgrade.")
    return _hooked(mailbox, actions.change_mailbox(mailbox, wanted, key=request.key, by=by))


def _upgrade(request: OperatorRequest, by: User) -> None:
    mailbox, params = _mailbox(request), request.params
    if mailbox.oversight_mode != params["from"]:
        raise Conflict(
            f"{mailbox.address} is in {mailbox.oversight_mode} now, no longer in {params['from']}."
        )
    actions.set_mode(mailbox, params["to"], by=by)


def _allow(request: OperatorRequest, by: User) -> None:
    actions.allow(_mailbox(request), request.params["pattern"], by=by, note=request.params.get("note", ""))


def _disallow(request: OperatorRequest, by: User) -> None:
    listed = _mailbox(request).allowlist.select_related("mailbox").filter(pattern=request.params["pattern"])
    if (entry := listed.first()) is None:
        raise NotFound("It is no longer on the allowlist.")
    actions.disallow(entry, by=by)


def _create_key(request: OperatorRequest, by: User) -> Made:
    params = request.params
    owners: tuple[Any, ...] = (Assistant.objects, Integration.objects)
    owner = next((found for rows in owners if (found := rows.filter(pk=params["owner"]).first())), None)
    if owner is None:
        raise NotFound("Whoever was to own the key is gone.")
    every = params["mailboxes"] == ["*"]
    until = params.get("expires_at")
    return actions.create_key(
        owner,
        name=params["name"],
        scopes=params["scopes"],
        mailboxes=() if every else Mailbox.objects.filter(pk__in=params["mailboxes"]),
        all_mailboxes=every,
        expires_at=datetime.fromisoformat(until) if until else None,
        by=by,
    )


def _key(request: OperatorRequest) -> ApiKey:
    found = ApiKey.objects.select_related("assistant", "integration").filter(pk=request.params["key"])
    if (key := found.first()) is None:
        raise NotFound("The key that this is about is gone.")
    return key


def _widen_key(request: OperatorRequest, by: User) -> None:
    actions.change_key(_key(request), scopes=request.params["scopes"], by=by)


def _revoke_key(request: OperatorRequest, by: User) -> None:
    actions.revoke_key(_key(request), by=by)


def _create_webhook(request: OperatorRequest, by: User) -> Made:
    mailbox = _mailbox(request) if request.params["mailbox_id"] else None
    url, events = request.params["url"], request.params["events"]
    return actions.create_endpoint(url, events, mailbox, key=request.key, by=by)


def _change_account(request: OperatorRequest, by: User) -> None:
    actions.change_account(request.params, by=by)


def _close_account(request: OperatorRequest, by: User) -> None:
    actions.close_account(by=by)


def _begin_session(request: OperatorRequest, by: User) -> None:
    raise Conflict("A session begins with its code: give that to whoever runs the program, or refuse.")


DO: dict[Action, Callable[[OperatorRequest, User], Made | None]] = {
    Action.CREATE_MAILBOX: _create_mailbox,
    Action.CHANGE_COPIES: _change_mailbox,
    Action.CHANGE_HOOKS: _change_mailbox,
    Action.UPGRADE_MODE: _upgrade,
    Action.ADD_TO_ALLOWLIST: _allow,
    Action.CUT_ALLOWLIST: _disallow,
    Action.CREATE_KEY: _create_key,
    Action.WIDEN_KEY: _widen_key,
    Action.REVOKE_KEY: _revoke_key,
    Action.CREATE_WEBHOOK: _create_webhook,
    Action.CHANGE_ACCOUNT: _change_account,
    Action.DELETE_ACCOUNT: _close_account,
    Action.OPERATOR_SESSION: _begin_session,
}
