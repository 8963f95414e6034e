"""How a run stands, in words, and what a person may do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from approvals import permissions
from approvals.actions.inbound_runs import thread_of
from approvals.models import OutboundMessage, OutboxEntry
from approvals.states import Status
from approvals.templatetags.words import clock, lasting, short, to_the_second
from assistants import actions as assistant_actions
from assistants.models import Run, ToolCall

if TYPE_CHECKING:
    from approvals.models import User

S = Run.Status
Kind = OutboxEntry.Kind
ENDS = {
    S.COMPLETED: "Completed",
    S.FAILED: "Failed",
    S.CANCELLED: "Cancelled",
    S.EXPIRED: "Expired",
    S.INCOMPLETE: "Ended before it was complete",
    S.GONE: "Gone: its server knows it no more, seen",
}
NOT_OURS = "Its caller answers this run. Adopt it first."


class Standing:
    """`calls` and `messages` are the run's."""

    def __init__(
        self, run: Run, viewer: User, calls: Sequence[ToolCall], messages: Sequence[OutboundMessage]
    ) -> None:
        self.run, self.viewer, self.calls, self.messages = run, viewer, calls, messages

    @property
    def is_ours(self) -> bool:
        return self.run.driver == Run.Driver.COUNTERSEAL

    @property
    def driver(self) -> str:
        return "Counterseal answers its calls" if self.is_ours else "Its caller answers its calls"

    # how it stands

    @cached_property
    def lines(self) -> list[SafeString]:
        """The first says it; the others, what will come of it."""
        run = self.run
        if run.has_ended:
            return [self._ended()]
        if run.status == S.STARTING:
            return list(self._planned())
        if run.status == S.REQUIRES_ACTION:
            return list(self._waiting())
        return [format_html("Works since {}. Counterseal looks again by itself.", clock(run.updated_at))]

    def _ended(self) -> SafeString:
        run = self.run
        word, at = ENDS[S(run.status)], run.ended_at or run.updated_at
        return format_html("{} {}, {} after it began.", word, clock(at), lasting(at - run.created_at))

    def _planned(self) -> Iterator[SafeString]:
        ahead = assistant_actions.ahead_of(self.run, self.thread_id)
        if ahead:
            yield _busy("Waits for its thread: {} {}.", ahead)
        else:
            yield format_html("Planned {}. It begins in a moment.", clock(self.run.created_at))
            yield from self._attempts(Kind.START_RUN, "start it")

    def _waiting(self) -> Iterator[SafeString]:
        since = format_html(
            "since {} ({})", clock(self.waiting_since), lasting(timezone.now() - self.waiting_since)
        )
        if self.open_calls:
            yield format_html("Waits for {} {}.", _listed(list(self._awaited())), since)
            yield from self._deadline()
        elif self.due_calls:
            yield format_html("All its calls are answered; it waits for the outputs {}.", since)
        else:
            yield format_html("Waits for its server to go on, {}.", since)
        yield from self._attempts(Kind.RESUME_RUN, "hand over its outputs")

    def _awaited(self) -> Iterator[str]:
        """Whom it waits for: a reviewer, the mail server, a person who settles, or its caller."""
        states = {message.email.tool_call_id: message.status for message in self.messages}
        waits_for = [_WAITS.get(states.get(call.call_id, ""), "") for call in self.open_calls]
        for what in dict.fromkeys(waits_for):
            number = waits_for.count(what)
            unseen = "call that is being answered" if self.is_ours else "answer of its caller"
            yield _counted(number, what or unseen)

    def _deadline(self) -> Iterator[SafeString]:
        run = self.run
        if run.expires_at is None:
            return
        ends, until = clock(run.expires_at), run.hold_until
        if until is None or not self.is_ours:
            yield format_html("Expires {}.", ends)
        elif until > timezone.now():
            yield format_html(
                "Expires {}. What is undecided at {} gets an answer for now; "
                "what is decided later is told by a follow-up.",
                ends,
                clock(until),
            )

    def _attempts(self, kind: Kind, what: str) -> Iterator[SafeString]:
        """Only where an attempt failed: the next one is planned, and the row says why."""
        promise = OutboxEntry.objects.filter(kind=kind, ref=self.run.pk, done_at=None).first()
        if promise and promise.last_error:
            times = _counted(promise.attempts, "attempt")
            yield format_html(
                "{} to {} failed; the next is at {}. {}",
                times,
                what,
                to_the_second(promise.due_at),
                promise.last_error,
            )

    @cached_property
    def open_calls(self) -> list[ToolCall]:
        """Those that it waits for."""
        waits = self.run.status == S.REQUIRES_ACTION
        return [call for call in self.calls if call.output is None and not call.settled and waits]

    @cached_property
    def due_calls(self) -> list[ToolCall]:
        return [call for call in self.calls if call.output is not None and not call.settled]

    @property
    def waiting_since(self) -> datetime:
        asked = [call.created_at for call in [*self.open_calls, *self.due_calls]]
        return max(asked, default=self.run.updated_at)

    @cached_property
    def thread_id(self) -> str:
        """Where it goes on; a plan knows that from its conversation."""
        return thread_of(self.run)

    # what a person may do

    @cached_property
    def denial(self) -> str:
        return permissions.denial(permissions.check_drive, self.viewer, self.run)

    @property
    def may_be_adopted(self) -> bool:
        return not self.is_ours and not self.run.has_ended

    @property
    def may_be_retried(self) -> bool:
        """There is something that a look now could change."""
        stuck = bool(self.run.last_error) and not self.run.has_ended
        return self.is_ours and bool(self.run.alert or self.due_calls or stuck)

    @property
    def follow_up_denial(self) -> str:
        if not self.is_ours:
            return NOT_OURS
        return self.denial or (
            "" if self.run.thread_id else "This run has not begun, so it cannot be told more yet."
        )

    @cached_property
    def told_when(self) -> str:
        """When a follow-up that is asked for now would be told."""
        plan = Run(
            assistant_id=self.run.assistant_id,
            connection_id=self.run.connection_id,
            conversation_id=self.run.conversation_id,
        )
        ahead = assistant_actions.ahead_of(plan, self.run.thread_id)
        if ahead is None:
            return "Its thread is free: it is told at once."
        if ahead.pk == self.run.pk:
            return "It is told when this run has ended, because its thread takes one run at a time."
        return _busy("It is told when its thread is free: {} {}.", ahead)


_WAITS: dict[str, str] = {
    Status.PENDING: "decision",
    Status.DEFERRED: "decision",
    Status.NEEDS_ATTENTION: "delivery that a person must settle",
    Status.APPROVED: "delivery",
    Status.SCHEDULED: "delivery",
    Status.SENDING: "delivery",
}
_PLURALS = {
    "delivery": "deliveries",
    "delivery that a person must settle": "deliveries that a person must settle",
    "call that is being answered": "calls that are being answered",
    "answer of its caller": "answers of its caller",
}


def _counted(number: int, what: str) -> str:
    return f"{number} {what if number == 1 else _PLURALS.get(what, f'{what}s')}"


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _busy(sentence: str, ahead: Run) -> SafeString:
    link = format_html('<a href="{}"><code>{}</code></a>', reverse("run", args=[ahead.pk]), short(str(ahead)))
    what = "is planned before it" if ahead.status == S.STARTING else "is active in it"
    return format_html(sentence, link, what)
