"""The states of mail that came in."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from approvals import webhooks
from approvals.actions.announcing import announce
from approvals.actions.decide import checked_reason
from approvals.actions.inbound_runs import start_run_for
from approvals.actions.transitions import about_email
from approvals.errors import Conflict
from approvals.models import Decision, User
from approvals.permissions import Actor, Decider, check_decide, check_reach
from approvals.states import INBOUND_TRANSITIONS
from assistants.models import ApiKey
from audit import log
from audit.log import Entry
from audit.models import Event
from mailboxes.models import Email

S = Email.InboundStatus


def move_inbound(email: Email, source: S, to: S) -> bool:
    if to not in INBOUND_TRANSITIONS[source]:
        raise ValueError(f"{source} never becomes {to}")
    won = Email.objects.filter(pk=email.pk, inbound_status=source).update(inbound_status=to)
    if won:
        email.inbound_status = to
    return bool(won)


def approve_inbound(email: Email, *, by: Decider) -> Email:
    """The mail becomes visible to its assistants, and starts a run where the mailbox says so."""
    return _decide(email, S.UNREAD, Decision.Verdict.APPROVE, Event.Action.EMAIL_APPROVED, by)


def reject_inbound(email: Email, *, by: Decider, reason: str) -> Email:
    """No assistant will ever see it."""
    return _decide(email, S.REJECTED, Decision.Verdict.REJECT, Event.Action.EMAIL_REJECTED, by, reason)


def _decide(
    email: Email, to: S, verdict: Decision.Verdict, action: Event.Action, by: Decider, reason: str = ""
) -> Email:
    check_decide(by, email)
    reason = checked_reason(reason)
    with transaction.atomic():
        if not move_inbound(email, S.PENDING, to):
            raise _conflict(email)
        Email.objects.filter(pk=email.pk).update(decided_at=timezone.now())
        decision = Decision.objects.create(
            inbound=email,
            verdict=verdict,
            by=by if isinstance(by, User) else None,
            by_key=by if isinstance(by, ApiKey) else None,
            digest=email.raw.digest if email.raw else "",
            reason=reason,
        )
        approved = to == S.UNREAD
        started = start_run_for(email) if approved else []
        announce(webhooks.APPROVED if approved else webhooks.REJECTED, email, decision=decision)
        if approved:
            announce(webhooks.RECEIVED, email)
        log.record(Entry(action, about_email(email), {"reason": reason}), *started, by=by.actor)
    return email


def expire_inbound(email: Email) -> bool:
    with transaction.atomic():
        late = Email.objects.filter(pk=email.pk, deadline_at__lte=timezone.now()).exists()
        if not late or not move_inbound(email, S.PENDING, S.EXPIRED):
            return False
        announce(webhooks.EXPIRED, email)
        log.record(Entry(Event.Action.EMAIL_EXPIRED, about_email(email)), by="system:schedule")
    return True


def overdue_inbound(now: datetime) -> list[Email]:
    """Held mail that nobody decided in time; some of it, the next sweep takes the rest."""
    late = Email.objects.filter(inbound_status=S.PENDING, deadline_at__lte=now)
    return list(late.select_related("mailbox")[:500])


def read(email: Email, *, by: Actor) -> Email:
    """unread → read, once, with its event; anything else stays as it is."""
    if email.inbound_status == S.UNREAD:
        with transaction.atomic():
            if move_inbound(email, S.UNREAD, S.READ):
                log.record(Entry(Event.Action.EMAIL_READ, about_email(email)), by=by.actor)
    return email


def report_spam(email: Email, *, by: Actor) -> Email:
    """Out of the way of whoever lists mail. Twice does no harm."""
    sources = (S.UNREAD, S.READ, S.SPAM_FLAGGED)
    return _call_it(email, sources, S.SPAM_QUARANTINED, Event.Action.EMAIL_CALLED_SPAM, by)


def not_spam(email: Email, *, by: Actor) -> Email:
    """Back among the unread. Twice does no harm."""
    spam = (S.SPAM_FLAGGED, S.SPAM_QUARANTINED)
    return _call_it(email, spam, S.UNREAD, Event.Action.EMAIL_CALLED_NO_SPAM, by)


def _call_it(email: Email, sources: tuple[S, ...], to: S, action: Event.Action, by: Actor) -> Email:
    check_reach(by, email.mailbox)
    with transaction.atomic():
        if any(move_inbound(email, source, to) for source in sources):
            log.record(Entry(action, about_email(email)), by=by.actor)
            return email
    if email.inbound_status not in (to, S.READ if to == S.UNREAD else to):
        raise _conflict(email)
    return email


def _conflict(email: Email) -> Conflict:
    last = email.decisions.standing().last()
    now = Email.objects.get(pk=email.pk)
    if last is None:
        return Conflict(
            f"This mail is {now.get_inbound_status_display().lower()}.", status=now.inbound_status
        )
    verb = "approved" if last.verdict == Decision.Verdict.APPROVE else "rejected"
    return Conflict(
        f"Already {verb} by {last.decider}, {last.at:%H:%M}.",
        "already_decided",
        status=now.inbound_status,
        decision=last,
    )
