"""One message as a reviewer sees it: what would leave, why it is held, and what led to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from approvals import permissions
from approvals.actions.transitions import check_open
from approvals.models import ConversationThread, Decision, OutboundMessage, User
from approvals.states import Status
from approvals.views import settlements, turns
from approvals.views.rail import IN_DOUBT, ON_THEIR_WAY
from assistants.models import Run, ToolCall
from mailboxes import mime
from mailboxes.models import Revision

if TYPE_CHECKING:
    from django.db.models import QuerySet

SOURCE_SHOWN = 100_000  # bytes
PRESETS = ("wrong recipient", "wrong facts", "tone", "confidential", "policy", "duplicate", "not needed")

# name, beginnings of the codes of its facts, and what to say when there are none
CHECKS = (
    ("Recipient", ("first_time",), "known"),
    ("Links", ("link",), "nothing odd"),
    ("Hidden text", ("hidden_text", "invisible"), "none found"),
    ("Plain text", ("html_says_more", "text_says_more"), "says the same"),
)


def _first(facts: list[dict[str, Any]], codes: tuple[str, ...]) -> dict[str, Any] | None:
    return next((fact for fact in facts if fact["code"].startswith(codes)), None)


def found(user: User) -> QuerySet[OutboundMessage]:
    related = ("email__mailbox", "email__conversation", "assistant", "integration", "key", "run__assistant")
    return OutboundMessage.objects.visible_to(user).select_related(*related)


@dataclass
class Case:
    """Everything is asked for at most once, and only if the template shows it."""

    message: OutboundMessage
    user: User
    complaint: str = ""

    @cached_property
    def revision(self) -> Revision:
        return self.message.email.revisions.get(number=self.message.revision)

    @cached_property
    def rendered(self) -> mime.Rendered:
        try:
            return mime.render(bytes(self.revision.frozen))
        except ValueError as error:
            return mime.Rendered("", "", (), (), str(error), "", ())

    @property
    def source(self) -> str:
        return bytes(self.revision.frozen[:SOURCE_SHOWN]).decode("ascii", "replace").replace("\r\n", "\n")

    @property
    def source_size(self) -> int:
        return len(self.revision.frozen)

    @property
    def source_is_cut(self) -> bool:
        return self.source_size > SOURCE_SHOWN

    @property
    def blind(self) -> list[str]:
        """Recipients that no header names: they are in the envelope only."""
        named = {address.lower() for address in [*self.message.email.to, *self.message.email.cc]}
        return [address for address in self.revision.recipients if address.lower() not in named]

    @property
    def alarms(self) -> list[dict[str, Any]]:
        return [fact for fact in self.revision.facts if fact["severity"] == "high"]

    @property
    def notices(self) -> list[dict[str, Any]]:
        warned = [fact for fact in self.revision.facts if fact["severity"] == "warn"]
        return [*self.alarms, *warned]

    @property
    def checks(self) -> list[tuple[str, dict[str, Any] | None, str]]:
        """What was looked for: its name, the fact if something was found, and the words if nothing was."""
        facts = self.revision.facts
        known = [(name, _first(facts, codes), clear) for name, codes, clear in CHECKS]
        expected = tuple(code for _, codes, _ in CHECKS for code in codes)
        others = [fact for fact in facts if not fact["code"].startswith(expected)]
        return [*known, *((fact["label"].capitalize(), fact, "") for fact in others)]

    @property
    def foreign_domains(self) -> list[str]:
        domains = {address.rpartition("@")[2].lower() for address in self.revision.recipients}
        return sorted(domains - {self.message.email.mailbox.domain})

    @cached_property
    def decisions(self) -> list[Decision]:
        return list(self.message.decisions.standing())

    @property
    def last_decision(self) -> Decision | None:
        return self.decisions[-1] if self.decisions else None

    @cached_property
    def run(self) -> Run | None:
        """The run behind it. One about another mailbox tells of mail that this person may not see."""
        if self.message.run is None or self.user.all_mailboxes:
            return self.message.run
        return Run.objects.visible_to(self.user).filter(pk=self.message.run.pk).first()

    @cached_property
    def calls(self) -> list[ToolCall]:
        return list(self.run.calls.order_by("position", "pk")) if self.run else []

    @property
    def other_open_calls(self) -> int:
        mine = self.message.email.tool_call_id
        return sum(call.output is None and call.call_id != mine for call in self.calls)

    @cached_property
    def turns(self) -> list[turns.Turn]:
        return turns.leading_to(self.message, self.run, self.calls)

    @cached_property
    def threads(self) -> list[ConversationThread]:
        return turns.threads_of(self.message.email)

    # what may be pressed, and why not

    @property
    def is_pending(self) -> bool:
        return self.message.status == Status.PENDING

    @property
    def is_on_its_way(self) -> bool:
        return self.message.status in ON_THEIR_WAY

    @property
    def can_move(self) -> bool:
        """It has a time, which has not come or of which nobody has decided yet."""
        later = (Status.PENDING, Status.DEFERRED, Status.SCHEDULED)
        return self.message.send_at is not None and self.message.status in later and not self.settle_denial

    @property
    def is_in_doubt(self) -> bool:
        return self.message.status in IN_DOUBT

    @cached_property
    def decide_denial(self) -> str:
        return permissions.denial(permissions.check_decide, self.user, self.message)

    @cached_property
    def settle_denial(self) -> str:
        return permissions.denial(permissions.check_settle, self.user, self.message)

    @cached_property
    def approve_denial(self) -> str:
        mine = next((d for d in self.decisions if d.by_id == self.user.pk and d.verdict == "approve"), None)
        if self.is_pending and mine:
            return f"You approved this at {mine.at:%H:%M}; it needs another person."
        shut = permissions.denial(check_open, self.message.email.mailbox) if self.is_pending else ""
        return self.decide_denial or shut

    @property
    def is_last_approval(self) -> bool:
        return self.message.approvals_given + 1 >= self.message.approvals_needed

    @property
    def settlements(self) -> list[settlements.Settlement]:
        return settlements.possible(self.message.status)

    presets = PRESETS
