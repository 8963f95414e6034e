"""What a person may do about a delivery that failed, is in doubt, or has not begun."""

from __future__ import annotations

from dataclasses import dataclass

from approvals import actions
from approvals.models import OutboundMessage, User
from approvals.states import Status
from approvals.views.rail import ON_THEIR_WAY


@dataclass(frozen=True, slots=True)
class Settlement:
    name: str
    statuses: tuple[Status, ...]
    title: str
    consequence: str
    button: str
    done: str
    style: str = ""
    takes_reason: bool = True
    question: str = "Why?"

    def act(self, message: OutboundMessage, *, by: User, digest: str, reason: str) -> OutboundMessage:
        if self.name == "cancel":
            return actions.cancel(message, by=by)
        act = {
            "mark_sent": actions.mark_sent,
            "send_again": actions.send_again,
            "give_up": actions.give_up,
            "retry": actions.retry,
        }[self.name]
        return act(message, by=by, digest=digest, reason=reason)


SETTLEMENTS = {
    one.name: one
    for one in (
        Settlement(
            "mark_sent",
            (Status.NEEDS_ATTENTION,),
            "Mark this mail as sent?",
            "The record says that it arrived, and a run that waits for it is told so.",
            "Mark sent",
            "Marked as sent.",
            "ok",
            question="How do you know?",
        ),
        Settlement(
            "send_again",
            (Status.NEEDS_ATTENTION,),
            "Send the same bytes again?",
            "If the first copy did arrive, the recipient gets it twice.",
            "Send again",
            "It is sent again now.",
            "pri",
        ),
        Settlement(
            "give_up",
            (Status.NEEDS_ATTENTION,),
            "Give this delivery up?",
            "It counts as not delivered, and a run that waits for it is told so.",
            "Give up",
            "Given up.",
            "no fill",
        ),
        Settlement(
            "retry",
            (Status.FAILED,),
            "Try this delivery again?",
            "The same bytes are offered to the mail server once more.",
            "Try again",
            "It is tried again now.",
            "ok",
        ),
        Settlement(
            "cancel",
            (Status.FAILED, *(s for s in ON_THEIR_WAY if s != Status.SENDING)),
            "Never send this mail?",
            "It is taken back for good. A run that waits for it is told so.",
            "Never send it",
            "Cancelled. It will not be sent.",
            "no fill",
            takes_reason=False,
        ),
    )
}


def possible(status: str) -> list[Settlement]:
    return [one for one in SETTLEMENTS.values() if status in one.statuses]
