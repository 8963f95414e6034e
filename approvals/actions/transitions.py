"""The one way in which a status changes: a conditional UPDATE, along states.TRANSITIONS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import DateTimeField, Exists, Q
from django.utils import timezone

from approvals.errors import Conflict, Refused
from approvals.models import Decision, OutboundMessage
from approvals.states import TRANSITIONS, Status
from audit.log import Entry, Subject
from audit.models import Event
from audit.prepared import Change, Rows, Slot
from mailboxes.models import Account, Email, Mailbox, OversightMode


def move(
    message: OutboundMessage, source: Status | Iterable[Status], to: Status, *where: Q, **values: Any
) -> bool:
    """UPDATE … WHERE status is one of `source`; True if this call won.

    `where` must compare columns of the message's own row or subqueries on other tables: a join would
    move the comparison into a subquery that PostgreSQL does not look at again after a lock wait.
    """
    found = OutboundMessage.objects.filter(*where, pk=message.pk, status__in=_sources(source, to))
    return bool(found.update(status=to, status_changed_at=timezone.now(), **values))


def _sources(source: Status | Iterable[Status], to: Status) -> list[Status]:
    sources = [source] if isinstance(source, Status) else list(source)
    for one in sources:
        if to not in TRANSITIONS[one]:
            raise ValueError(f"{one} never becomes {to}")
    return sources


class Move:
    """`move` with its SQL built once, for those on the way from a decision to its run.

    `where` and `values` hold a Slot for what differs from message to message.
    """

    def __init__(
        self, source: Status | Iterable[Status], to: Status, where: Callable[[], Q] = Q, **values: Any
    ) -> None:
        sources = _sources(source, to)
        self._to = to
        self._change = Change(
            lambda: OutboundMessage.objects.filter(where(), pk=Slot("pk"), status__in=sources),
            status=to,
            status_changed_at=Slot("now", DateTimeField()),
            **values,
        )

    def __call__(self, message: OutboundMessage, **given: Any) -> bool:
        """True if this call won; `message` then has its new status, and since when."""
        now = timezone.now()
        if not self._change.run(pk=message.pk, now=now, **given):
            return False
        message.status, message.status_changed_at = self._to, now
        return True


def about(message: OutboundMessage) -> Subject:
    return about_email(message.email)


def about_email(email: Email) -> Subject:
    return Subject(
        mailbox_id=email.mailbox_id,
        email_id=email.pk,
        assistant_id=email.assistant_id,
        thread_id=email.thread_id,
        run_id=email.run_id,
        tool_call_id=email.tool_call_id,
    )


def entry(action: Event.Action, message: OutboundMessage, **payload: Any) -> Entry:
    return Entry(action, about(message), {"revision": message.revision, "digest": message.digest} | payload)


_held_account = Rows(lambda: Account.objects.exclude(held_at=None).order_by("pk")[:1])


def everything_held() -> str | None:
    """The reason for which all sending is held, or None."""
    account = _held_account.first()
    return (account.held_reason or "no reason given") if account else None


def hold_reason(mailbox: Mailbox) -> str | None:
    if mailbox.held_at:
        return mailbox.held_reason or "no reason given"
    return everything_held()


def check_open(mailbox: Mailbox) -> None:
    """Nothing may be approved where nothing may leave."""
    if not mailbox.is_active:
        raise Refused(f"{mailbox.address} is closed; nothing can leave it.", "mailbox_closed")
    if mailbox.oversight_mode == OversightMode.READ_ONLY:
        raise Refused(f"{mailbox.address} is read_only; raise its mode before you approve.")
    reason = hold_reason(mailbox)
    if reason is not None:
        what = mailbox.address if mailbox.held_at else "Everything"
        raise Refused(f"{what} is held ({reason}); lift the hold before you approve.", "held")


def open_mailbox() -> Q:
    """The same as a condition of the UPDATE that approves or sends."""
    held = Exists(Account.objects.exclude(held_at=None))
    may_send = Email.objects.filter(mailbox__is_active=True, mailbox__held_at=None).exclude(
        mailbox__oversight_mode=OversightMode.READ_ONLY
    )
    return Q(email__in=may_send.values("pk")) & ~Q(held)


_current = Rows(
    lambda: OutboundMessage.objects.select_related("email__mailbox", "run", "assistant").filter(pk=Slot("pk"))
)


def current(message: OutboundMessage) -> OutboundMessage:
    """The message as it is now, with what the sentences about it need."""
    return _current.get(pk=message.pk)


_alone = Rows(lambda: OutboundMessage.objects.filter(pk=Slot("pk")))


def reread(message: OutboundMessage) -> OutboundMessage:
    """The row as it is now, with the relations that were read before: its mail and mailbox."""
    now = _alone.get(pk=message.pk)
    now.email = message.email
    return now


PAST = {
    Decision.Verdict.RELEASE: "Released",
    Decision.Verdict.APPROVE: "Approved",
    Decision.Verdict.REJECT: "Rejected",
    Decision.Verdict.CANCEL: "Cancelled",
    Decision.Verdict.REQUEST_CHANGES: "Sent back for changes",
    Decision.Verdict.MARK_SENT: "Marked as sent",
    Decision.Verdict.SEND_AGAIN: "Sent again",
    Decision.Verdict.GIVE_UP: "Given up",
    Decision.Verdict.RETRY: "Retried",
}


def conflict(message: OutboundMessage, *, revision: int | None = None, digest: str = "") -> Conflict:
    """Why the UPDATE found nothing, as the truth of this moment."""
    message = current(message)
    details: dict[str, Any] = {
        "status": message.status,
        "revision": message.revision,
        "digest": message.digest,
    }
    stale = (revision and revision != message.revision) or (digest and digest != message.digest)
    if message.status == Status.PENDING and stale:
        sentence = f"This message was edited meanwhile; the current revision is {message.revision}."
        return Conflict(sentence, "stale_revision", message=message, **details)
    last = message.decisions.standing().last()
    if last is None:
        return Conflict(
            f"This message is {message.get_status_display().lower()}.", message=message, **details
        )
    details["decision"] = last
    verb = PAST[Decision.Verdict(last.verdict)]
    return Conflict(
        f"Already {verb.lower()} by {last.decider}, {last.at:%H:%M}.",
        "already_decided",
        message=message,
        **details,
    )
