"""The way up the ladder: a key asks for a looser mode, and a person's code lets it have it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from approvals import operator_requests
from approvals.actions.oversight import change_mode
from approvals.errors import Conflict, Invalid, NotFound, TooMany
from approvals.models import OperatorRequest
from approvals.permissions import check_administer, check_reach, check_scope
from assistants.models import ApiKey, Scope
from audit import log
from mailboxes.models import Mailbox, OversightMode

Action = OperatorRequest.Action
AN_HOUR = timedelta(hours=1)
MOST_IN_AN_HOUR = 3


def ask(mailbox: Mailbox, target: str, *, by: ApiKey) -> OperatorRequest:
    """An administrator is shown a code, and mailed it."""
    check_scope(by, Scope.SEND)
    check_reach(by, mailbox)
    if not OversightMode(mailbox.oversight_mode).is_stricter_than(target):
        message = f"{mailbox.address} is in {mailbox.oversight_mode}, which is not stricter than {target}."
        raise Invalid([{"field": "target_mode", "code": "not_looser", "message": message}])
    params = {
        "mailbox_id": mailbox.pk,
        "address": mailbox.address,
        "from": mailbox.oversight_mode,
        "to": target,
    }
    _check_not_refused(params, by)
    now = timezone.now()
    with transaction.atomic():
        # the lock makes the count exact where two ask at once
        Mailbox.objects.select_for_update(no_key=True).get(pk=mailbox.pk)
        asked = OperatorRequest.objects.filter(
            action=Action.UPGRADE_MODE, params__mailbox_id=mailbox.pk, created_at__gt=now - AN_HOUR
        )
        times = list(asked.order_by("created_at").values_list("created_at", flat=True))
        if len(times) >= MOST_IN_AN_HOUR:
            sentence = f"A mailbox asks for a looser mode at most {MOST_IN_AN_HOUR} times an hour."
            wait = int((times[0] + AN_HOUR - now).total_seconds())
            raise TooMany(sentence, "too_many_upgrade_requests", wait=wait)
        return operator_requests.new(Action.UPGRADE_MODE, params, by=by)


def _check_not_refused(params: dict[str, str], by: ApiKey) -> None:
    """What was granted is in force, or was taken back since; then it may be asked for anew."""
    with suppress(Conflict):
        operator_requests.check_undecided(Action.UPGRADE_MODE, params, by=by)


def apply(mailbox: Mailbox, code: str, *, by: ApiKey) -> None:
    """The mode that was asked for comes into force, if nobody changed the mode since."""
    check_administer(by, mailbox)
    waiting = operator_requests.open_requests(Action.UPGRADE_MODE).filter(params__mailbox_id=mailbox.pk)
    requests = [one for one in waiting if one.params["from"] == mailbox.oversight_mode]
    if not requests:
        raise NotFound("No upgrade of this mailbox waits for a code; ask for one first.")
    # a code is compared with each that is open; a wrong one counts against the newest
    request = next((one for one in requests if operator_requests.matches(one, code)), requests[0])
    operator_requests.redeem(request, code, lambda: _loosen(mailbox, request.params["to"], by))


def _loosen(mailbox: Mailbox, mode: str, by: ApiKey) -> None:
    entries = change_mode(mailbox, mode)
    if entries:
        log.record(*entries, by=by.actor)
