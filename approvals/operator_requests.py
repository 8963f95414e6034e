"""What a key asks for and a person must let happen: asked once, done by the same call with a code."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from approvals import outbox
from approvals.errors import Conflict, NotPermitted
from approvals.models import OperatorRequest, OutboxEntry, User
from approvals.models.requests import MAX_ATTEMPTS
from assistants.models import ApiKey
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from audit.secrets import decrypt, encrypt

CODE_LIFETIME = timedelta(hours=24)
MAX_OPEN_REQUESTS = 10
# no letter or digit that is read for another
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

Action = OperatorRequest.Action
Made = TypeVar("Made")

# a session does not cover what would let its key grant the next one itself, or end everything
ALWAYS_ASKED = (Action.CHANGE_ACCOUNT, Action.DELETE_ACCOUNT)


def done_or_asked(
    action: Action, params: Mapping[str, Any], code: str, *, by: ApiKey, do: Callable[[], Made]
) -> Made | OperatorRequest:
    """What `do` made, if `code` is that of an open request of this key for exactly `params`.

    Without a code, the request that waits for one. `do` runs in the transaction that uses the code up, so
    that a code is worth one success. In an operator session, nearly all of it needs none.
    """
    if by.in_operator_session and action not in ALWAYS_ASKED:
        with transaction.atomic():
            return do()
    if not code:
        return ask(action, params, by=by)
    request = next((one for one in open_requests(action).filter(key=by) if one.params == params), None)
    return redeem(request, code, do)


def redeem(request: OperatorRequest | None, code: str, do: Callable[[], Made]) -> Made:
    if request is None:
        raise NotPermitted("No such request is open; ask without a code first.", "no_open_request")
    # counted before the comparison, and by the database, so that parallel guesses are counted too
    counted = OperatorRequest.objects.filter(
        pk=request.pk, attempts__lt=MAX_ATTEMPTS, used_at=None, refused_at=None
    )
    if not counted.update(attempts=F("attempts") + 1) or not matches(request, code):
        raise NotPermitted("This is not the code that the administrator was shown.", "wrong_approval_code")
    with transaction.atomic():
        unused = OperatorRequest.objects.filter(pk=request.pk, used_at=None, refused_at=None)
        if not unused.update(used_at=timezone.now()):
            raise NotPermitted("This code has been used.", "wrong_approval_code")
        return do()


def ask(action: Action, params: Mapping[str, Any], *, by: ApiKey) -> OperatorRequest:
    """Asking again for the same finds the request that is open already, or hears what a person said."""
    check_undecided(action, params, by=by)
    requests = list(open_requests(action).filter(key=by))
    if same := next((request for request in requests if request.params == params), None):
        return same
    if len(requests) >= MAX_OPEN_REQUESTS:
        raise Conflict(
            "Too many requests of this key wait for an administrator already.", "too_many_requests"
        )
    return new(action, params, by=by)


def check_undecided(action: Action, params: Mapping[str, Any], *, by: ApiKey) -> None:
    """Whoever was answered is not asked the same again for as long as the request would have been open."""
    answered = OperatorRequest.objects.filter(key=by, action=action, expires_at__gt=timezone.now())
    answered = answered.exclude(decided_by=None).order_by("-pk")
    same = next((request for request in answered if request.params == params), None)
    if same is None:
        return
    again = f"The same can be asked again after {same.expires_at:%Y-%m-%d %H:%M} UTC."
    if same.refused_at:
        why = f": {same.reason}" if same.reason else ""
        raise NotPermitted(f"An administrator refused this{why}. {again}", "refused_by_administrator")
    raise Conflict(f"An administrator has let this happen already. {again}", "done_already")


def close(request: OperatorRequest, *, by: User, reason: str = "", refused: bool = False) -> None:
    """In the transaction of what follows from it. The UPDATE decides who answered."""
    now = timezone.now()
    values = {"refused_at" if refused else "used_at": now, "decided_by": by, "reason": reason}
    unanswered = OperatorRequest.objects.filter(
        pk=request.pk, used_at=None, refused_at=None, expires_at__gt=now, attempts__lt=MAX_ATTEMPTS
    )
    if request.key.revoked_at or not unanswered.update(**values):
        raise Conflict("This request is closed: it was answered, or its time is over.", "request_closed")


def new(action: Action, params: Mapping[str, Any], *, by: ApiKey) -> OperatorRequest:
    now = timezone.now()
    with transaction.atomic():
        request = OperatorRequest.objects.create(
            key=by,
            action=action,
            params=params,
            code_encrypted=encrypt(_new_code()),
            created_at=now,
            expires_at=now + CODE_LIFETIME,
        )
        outbox.enqueue(OutboxEntry.Kind.MAIL_CODE, request.pk)
        subject = Subject(mailbox_id=str(params.get("mailbox_id", "")), assistant_id=by.assistant_id or "")
        details = {"request": request.pk, "asked": action.value, **params}
        log.record(Entry(Event.Action.APPROVAL_REQUESTED, subject, details), by=by.actor)
    return request


def open_requests(action: Action) -> QuerySet[OperatorRequest]:
    return OperatorRequest.objects.open(timezone.now()).filter(action=action).order_by("-pk")


def is_open(request: OperatorRequest) -> bool:
    """By the row at hand, whose key was fetched with it."""
    answered = request.used_at or request.refused_at or request.key.revoked_at
    return not answered and request.expires_at > timezone.now() and request.attempts < MAX_ATTEMPTS


def open_code(request: OperatorRequest) -> str:
    """For the administrator's eyes; "" once it can no longer be used."""
    return decrypt(request.code_encrypted) if is_open(request) else ""


def matches(request: OperatorRequest, code: str) -> bool:
    return secrets.compare_digest(decrypt(request.code_encrypted).encode(), code.strip().upper().encode())


def _new_code() -> str:
    """Like A7X-29K."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(6))
    return f"{text[:3]}-{text[3:]}"
