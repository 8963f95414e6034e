"""A time in which a key needs no code: begun with one, kept by a cookie, ended by the clock or by hand."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from approvals import operator_requests
from approvals.models import OperatorRequest, OperatorSession
from approvals.permissions import check_scope
from assistants.models import ApiKey, Scope
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from audit.secrets import hash_secret

COOKIE = "operator_session"
LASTS = timedelta(minutes=30)
ACTION = OperatorRequest.Action.OPERATOR_SESSION


def ask(*, by: ApiKey) -> OperatorRequest:
    """An administrator is shown a code, and mailed it."""
    check_scope(by, Scope.ADMIN)
    return operator_requests.ask(ACTION, {}, by=by)


def begin(code: str, *, by: ApiKey) -> tuple[OperatorSession, str]:
    """The session, and what its cookie holds."""
    check_scope(by, Scope.ADMIN)
    request = operator_requests.open_requests(ACTION).filter(key=by).first()
    return operator_requests.redeem(request, code, lambda: _begin(by))


def _begin(key: ApiKey) -> tuple[OperatorSession, str]:
    token, now = secrets.token_urlsafe(32), timezone.now()
    session = OperatorSession.objects.create(
        key=key, hash=hash_secret(token), started_at=now, expires_at=now + LASTS
    )
    log.record(_entry(Event.Action.OPERATOR_SESSION_STARTED, session, key), by=key.actor)
    return session, token


def find(key: ApiKey, token: str) -> OperatorSession | None:
    """The open one of this very key."""
    found = key.operator_sessions.filter(ended_at=None, expires_at__gt=timezone.now())
    return found.filter(hash=hash_secret(token)).first() if token else None


def end(*, by: ApiKey) -> None:
    """All that the key has open; none is fine."""
    now = timezone.now()
    with transaction.atomic():
        open_ones = list(by.operator_sessions.filter(ended_at=None, expires_at__gt=now))
        by.operator_sessions.filter(pk__in=[one.pk for one in open_ones]).update(ended_at=now)
        log.record(*(_entry(Event.Action.OPERATOR_SESSION_ENDED, one, by) for one in open_ones), by=by.actor)


def _entry(action: Event.Action, session: OperatorSession, key: ApiKey) -> Entry:
    details = {"key": key.pk, "name": key.name, "until": session.expires_at.isoformat()}
    return Entry(action, Subject(assistant_id=key.assistant_id or ""), details)
