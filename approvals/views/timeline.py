"""A run as it happened: what was said, called, held, decided, sent, told and tried, in one line of time.

What is shown comes from the log, from the run's calls, and from what was said; each entry leads to its
mail and to its event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import QuerySet

from approvals.models import OutboundMessage, User
from approvals.views import story, turns
from approvals.views.story import Step
from assistants.models import Run, ToolCall
from audit import search
from audit.models import Event
from mailboxes.models import Email

A = Event.Action

SHOWN = 500  # events; the oldest are left out
PAUSE = timedelta(minutes=5)  # from which on a gap is worth a line
MOMENT = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)

ROLES = {"user": ("The assistant was told", "in"), "assistant": ("The assistant said", "out")}


@dataclass(slots=True)
class Entry:
    key: str  # the id of its element, the same at each look
    step: Step
    text: str = ""  # what was said, or the arguments of a call in one line
    call: ToolCall | None = None
    email: Email | None = None
    run: Run | None = None  # a follow-up, or the run that this one follows
    day: date | None = None  # set on the first entry of a day
    pause: timedelta | None = None  # before it, if that was long
    waited: bool = False  # the run waited meanwhile
    codes: list[str] = field(default_factory=list)

    @property
    def at(self) -> datetime:
        return self.step.at


class Timeline:
    """`calls` and `messages`: the run's; the messages only as far as `viewer` may see them."""

    def __init__(
        self, run: Run, viewer: User, calls: Sequence[ToolCall], messages: Sequence[OutboundMessage]
    ) -> None:
        self.run, self.viewer, self.calls, self.messages = run, viewer, calls, messages
        self.started_at = run.start_tried_at or run.created_at

    @cached_property
    def entries(self) -> list[Entry]:
        found = [*self._of_events(), *self._of_calls(), *self._of_runs(), *self._said]
        found.sort(key=lambda entry: entry.at)
        _mark_time(found, self.run)
        return found

    @property
    def is_cut(self) -> bool:
        return len(self._events) >= SHOWN

    # what the log has

    @cached_property
    def _events(self) -> list[Event]:
        """Oldest first; those about mail that the viewer may not see are left out."""
        found = Event.objects.filter(seq__in=self._seqs()).select_related("payload").order_by("-seq")
        events = list(found[:SHOWN])[::-1]
        if self.run.cause == Run.Cause.PERSON and not any(map(self._is_own_plan, events)):
            events = [*self._own_plan(events), *events]
        return [event for event in events if self._may_be_seen(event)]

    def _seqs(self) -> QuerySet[Any]:
        """By one index each, which one condition with all of them would not use."""
        run, none = self.run, Event.objects.none().values("seq")
        ours = (run.remote_assistant_id, run.assistant_id)
        mails = [message.pk for message in self.messages]
        of_run = search.find(run=run.run_id).filter(assistant_id__in=ours) if run.run_id else none
        of_mail = Event.objects.filter(email_id__in=mails).exclude(email_id="")
        plans = search.find(thread=run.thread_id) if run.thread_id else none
        own_plan = search.find(email=run.email_id) if run.email_id else none
        asked = [found.filter(action=A.RUN_REQUESTED) for found in (plans, own_plan)]
        each = [found.order_by().values("seq") for found in (of_mail, *asked)]
        return of_run.order_by().values("seq").union(*each)

    def _own_plan(self, events: list[Event]) -> list[Event]:
        """A run that a person began: its plan named neither a thread nor a mail. It stands just before."""
        found = search.find(assistant=self.run.assistant_id).filter(
            action=A.RUN_REQUESTED, at__gte=self.run.created_at, payload__body__run=self.run.pk
        )
        first = next((event.seq for event in events if event.run_id), None)
        found = found.filter(seq__lt=first) if first else found
        return list(found.select_related("payload")[:1])

    def _is_own_plan(self, event: Event) -> bool:
        return event.action == A.RUN_REQUESTED and _body(event).get("run") == self.run.pk

    def _may_be_seen(self, event: Event) -> bool:
        if event.action == A.RUN_REQUESTED:
            return _body(event).get("run") in {self.run.pk, *self._follow_ups}
        # an event of the run names the mail that it is about, whoever may see that
        return not event.email_id or event.email_id in {*self.emails, self.run.email_id}

    @cached_property
    def emails(self) -> dict[str, Email]:
        mine = {message.pk: message.email for message in self.messages}
        cause = Email.objects.visible_to(self.viewer).filter(pk=self.run.email_id or None)
        return mine | {email.pk: email for email in cause.only("subject", "direction", "inbound_status")}

    @cached_property
    def _follow_ups(self) -> dict[str, Run]:
        found = Run.objects.visible_to(self.viewer).filter(follows=self.run).defer("transcript")
        return {run.pk: run for run in found}

    def _of_events(self) -> Iterator[Entry]:
        merged = {seq for seqs in self._told_at_once.values() for seq in seqs}
        steps = zip(self._events, story.told(self._events), strict=True)
        for event, step in steps:
            if event.seq not in merged:
                yield self._of_event(event, step)

    def _of_event(self, event: Event, step: Step) -> Entry:
        entry = Entry(f"event-{event.seq}", step, email=self.emails.get(event.email_id))
        body = _body(event)
        if event.action == A.RUN_STARTED:
            # the log has it from the first time that there was something to note
            step.at, entry.email = self.started_at, None
        elif event.action == A.RUN_REQUESTED:
            self._tell_plan(entry, body)
        elif event.action == A.TOOL_ANSWERED:
            self._tell_answer(event, step)
        elif event.action.startswith("run."):
            # it names the mail that its run is about, which the plan has told
            entry.email = None
        entry.codes = [*step.codes, *(self._names.get(call, str(call)) for call in body.get("calls", []))]
        return entry

    @cached_property
    def _names(self) -> dict[str, str]:
        return {call.call_id: call.name for call in self.calls}

    def _tell_plan(self, entry: Entry, body: dict[str, Any]) -> None:
        entry.run = self._follow_ups.get(str(body.get("run")))
        if entry.run:
            entry.step.title, entry.email = "Follow-up planned", None
        else:
            entry.step.title = "Planned"
            entry.run = self.follows

    def _tell_answer(self, event: Event, step: Step) -> None:
        """A call has one output. What is answered after it goes to a follow-up."""
        first = next(e.seq for e in self._events if _answers(e, event.tool_call_id))
        if first != event.seq:
            step.title = "Kept for a follow-up"
        elif event.tool_call_id in {call.call_id for call in self.calls if call.is_provisional}:
            step.title, step.shape, step.colour = "Answered for now", "clock", "w"

    @cached_property
    def follows(self) -> Run | None:
        if not self.run.follows_id:
            return None
        found = Run.objects.visible_to(self.viewer).defer("transcript")
        return found.filter(pk=self.run.follows_id).first()

    # what the run's own rows have

    @cached_property
    def _told_at_once(self) -> dict[str, list[int]]:
        """By call: the events of a call that was answered where it was taken; they stand with the call."""
        found: dict[str, list[int]] = {}
        for event in self._events:
            seqs = found.get(event.tool_call_id, [])
            follows = event.action == A.TOOL_ANSWERED and seqs and event.seq == seqs[-1] + 1
            if event.tool_call_id in self._names and (event.action == A.TOOL_CALLED or follows):
                found[event.tool_call_id] = [*seqs, event.seq]
        return found

    def _of_calls(self) -> Iterator[Entry]:
        emails = {message.email.tool_call_id: message.email for message in self.messages}
        for call in self.calls:
            seqs = self._told_at_once.get(call.call_id, [0])
            step = Step(call.created_at, call.name, "code", "", "", seq=seqs[0])
            email, line = emails.get(call.call_id), turns.summary(call.arguments)
            yield Entry(f"call-{call.pk}", step, line, call=call, email=email)

    def _of_runs(self) -> Iterator[Entry]:
        """What the log does not tell any more, or never did."""
        told = {str(_body(event).get("run")) for event in self._events if event.action == A.RUN_REQUESTED}
        for pk, run in self._follow_ups.items():
            if pk not in told:
                yield Entry(f"run-{pk}", Step(run.created_at, "Follow-up planned", "play", "a", ""), run=run)
        if self.run.cause == Run.Cause.FOLLOW_UP and self.run.pk not in told:
            step = Step(self.run.created_at, "Planned", "play", "a", "")
            yield Entry(f"run-{self.run.pk}", step, run=self.follows)
        if self.run.prompt and not self.run.run_id:
            title = "The assistant was to be told" if self.run.has_ended else "The assistant will be told"
            step = Step(self._newest, title, "in", "", "")
            yield Entry("prompt", step, self.run.prompt)

    @property
    def _newest(self) -> datetime:
        return max([self.run.created_at, *(event.at for event in self._events)])

    @cached_property
    def _spoken(self) -> tuple[list[turns.Turn], list[turns.Turn]]:
        """What was said in its thread before this run began, and since; with the question that it answers.

        Servers tell whole seconds.
        """
        spoken, since = turns.said(self.run), self.started_at.replace(microsecond=0)
        begins = next((n for n, turn in enumerate(spoken) if turn.at >= since), len(spoken))
        while begins and spoken[begins - 1].who == "user":
            begins -= 1
        return spoken[:begins], spoken[begins:]

    @property
    def earlier(self) -> list[turns.Turn]:
        return self._spoken[0]

    @property
    def _said(self) -> Iterator[Entry]:
        for number, turn in enumerate(self._spoken[1]):
            title, shape = ROLES.get(turn.who, (turn.who, "info"))
            step = Step(self._when_said(turn), title, shape, "", "")
            yield Entry(f"said-{number}", step, text=turn.text)

    def _when_said(self, turn: turns.Turn) -> datetime:
        """A whole second is a time rounded down: an answer came after what happened within it."""
        if turn.at.microsecond or turn.who != "assistant":
            return turn.at
        rounded = turn.at + SECOND - MOMENT
        return min(rounded, self.run.ended_at) if self.run.ended_at else rounded


def _answers(event: Event, call_id: str) -> bool:
    return event.action == A.TOOL_ANSWERED and event.tool_call_id == call_id


def _body(event: Event) -> dict[str, Any]:
    return getattr(event.payload, "body", None) or {}


def _mark_time(entries: Iterable[Entry], run: Run) -> None:
    """Where a day begins, and where nothing happened for long."""
    before: datetime | None = None
    for entry in entries:
        at = entry.at.astimezone(UTC)
        if before is None or at.date() != before.date():
            entry.day = at.date()
        if before and at - before >= PAUSE:
            entry.pause = at - before
            entry.waited = run.ended_at is None or before < run.ended_at
        before = at
