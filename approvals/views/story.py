"""What became of one email, told in order from the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from approvals.models import User
from approvals.views.turns import summary
from assistants.models import ApiKey, Assistant, Run
from audit.models import Event
from mailboxes.models import Email

A = Event.Action

# title, shape, colour
TOLD: dict[str, tuple[str, str, str]] = {
    A.TOOL_CALLED: ("Tool call", "code", ""),
    A.MESSAGE_HELD: ("Held because", "pause", "w"),
    A.MESSAGE_RELEASED: ("Released by the policy", "check", "g"),
    A.MESSAGE_REFUSED: ("Refused", "cross", "b"),
    A.MESSAGE_APPROVAL_GIVEN: ("Approval given", "check", "g"),
    A.MESSAGE_APPROVED: ("Approved", "check", "g"),
    A.MESSAGE_REJECTED: ("Rejected", "cross", "b"),
    A.MESSAGE_EXPIRED: ("Expired: nobody answered", "clock", ""),
    A.MESSAGE_CANCELLED: ("Cancelled", "ban", ""),
    A.MESSAGE_SUPERSEDED: ("Superseded", "ban", ""),
    A.MESSAGE_RETURNED: ("Back to the reviewers", "pause", "w"),
    A.MESSAGE_SENDING: ("Recipients accepted, handing over", "arrow", "a"),
    A.MESSAGE_SENT: ("Handed to the mail server", "arrow", "g"),
    A.MESSAGE_DELAYED: ("Not taken yet, tried again later", "clock", "w"),
    A.MESSAGE_FAILED: ("Not delivered", "cross", "b"),
    A.MESSAGE_UNKNOWN: ("Outcome unknown", "warning", "w"),
    A.MESSAGE_SETTLED: ("Settled by a person", "check", "g"),
    A.MESSAGE_RETRIED: ("Tried again by a person", "reply", "a"),
    A.MESSAGE_DELIVERED: ("Delivered", "check", "g"),
    A.MESSAGE_SLOW: ("Still on its way: its server waits", "clock", "w"),
    A.MESSAGE_BOUNCED: ("Bounced", "cross", "b"),
    A.MESSAGE_COMPLAINED: ("Called spam by its recipient", "flag", "b"),
    A.EMAIL_RECEIVED: ("Received", "tray", ""),
    A.EMAIL_HELD: ("Received and held", "pause", "w"),
    A.EMAIL_APPROVED: ("Let through to the assistant", "check", "g"),
    A.EMAIL_REJECTED: ("Kept from the assistant", "cross", "b"),
    A.EMAIL_EXPIRED: ("Expired: nobody let it through", "clock", ""),
    A.EMAIL_READ: ("Read", "eye", ""),
    A.EMAIL_TAGGED: ("Tagged", "flag", ""),
    A.RUN_REQUESTED: ("Run asked for", "play", "a"),
    A.RUN_STARTED: ("Run started", "play", "a"),
    A.RUN_WAITING: ("Run waits for its outputs", "pause", ""),
    A.TOOL_ANSWERED: ("Answer kept for the run", "reply", ""),
    A.RUN_RESUMED: ("Output submitted to the run", "reply", "a"),
    A.RUN_DELAYED: ("Output not handed over; tried again later", "clock", "w"),
    A.RUN_COMPLETED: ("Run completed", "flag", ""),
    A.RUN_FAILED: ("Run ended without completing", "flag", "b"),
    A.RUN_CANCELLED: ("Run cancelled", "flag", ""),
    A.RUN_ADOPTED: ("Run adopted: Counterseal answers it from here on", "key", "a"),
    A.RUN_RECONCILED: ("Output found at the run", "check", "a"),
    A.RUN_CONFLICT: ("Answered by somebody else", "warning", "w"),
    A.RUN_GONE: ("Run ended, perhaps untold", "ban", "w"),
    A.RUN_ALERTED: ("Put before a person", "warning", "w"),
    A.RUN_RETRIED: ("Retried by a person", "reply", "a"),
    A.TOOL_LINKED: ("Bound to a call of its run", "code", ""),
}
OUTCOMES = {
    "confirmed": "No reply had been heard; its server shows our output.",
    "unverified": "No reply was heard; the run went on, and shows nothing of the call.",
    "answered_elsewhere": "Its server shows an output that is not ours.",
    "gone": "What is decided is told by a follow-up in the same thread.",
}
CAUSES = {
    "person": "By hand.",
    "inbound": "For mail that arrived.",
    "follow_up": "To tell what was decided after its run could be told.",
}
WORDS = {"outcome": OUTCOMES, "cause": CAUSES}
SETTLED = {
    "mark_sent": "Marked as sent by a person",
    "send_again": "Sent again by a person",
    "give_up": "Given up by a person",
    "reported": "Settled by a report on it",
}
SYSTEM = {
    "system:delivery": "Outbox",
    "system:driver": "Run driver",
    "system:schedule": "Schedule",
    "system:mail": "Mail server",
    "system:receipts": "Mail server",
    "system:inbound": "Mail server",
    "policy": "Policy",
}


@dataclass(slots=True)
class Step:
    at: datetime
    title: str
    shape: str
    colour: str
    who: str
    sentence: str = ""
    codes: list[str] = field(default_factory=list)
    dialogue: list[list[str]] = field(default_factory=list)
    seq: int = 0


def of_email(email: Email, person: User) -> list[Step]:
    """Its own events, and what its run came to around them, if that is a run of its own that they see."""
    about = Q(email_id=email.pk)
    run = None if email.is_inbound else email.outbound.run_id
    if run and Run.objects.visible_to(person).filter(pk=run).exists():
        about |= Q(run_id=email.run_id, action__startswith="run.")
    return told(Event.objects.filter(about).select_related("payload").order_by("seq"))


def told(found: Iterable[Event]) -> list[Step]:
    events = list(found)
    names = actor_names(event.actor for event in events)
    return [_step(event, names) for event in events]


def _step(event: Event, names: dict[str, str]) -> Step:
    title, shape, colour = TOLD.get(event.action, (event.get_action_display(), "info", ""))
    body: dict[str, Any] = getattr(event.payload, "body", None) or {}
    return Step(
        event.at,
        SETTLED.get(body.get("verdict", ""), title),
        shape,
        colour,
        names.get(event.actor, event.actor),
        _sentence(body),
        _codes(event, body),
        [step for step in body.get("steps", []) if len(step) == 2],
        event.seq,
    )


def _sentence(body: dict[str, Any]) -> str:
    said = [*body.get("reasons", [])]
    if body.get("reason"):
        said.append(f"“{body['reason']}”")
    said += [str(body[name]) for name in ("error", "alert") if body.get(name)]
    said += [known[str(body.get(name))] for name, known in WORDS.items() if str(body.get(name)) in known]
    if body.get("needed", 1) > 1:
        said.append(f"{body.get('given')} of {body['needed']} approvals.")
    if "output" in body:
        said.append(summary(json.dumps(_told_to_run(body["output"]))))
    return " ".join(said)


def _told_to_run(output: Any) -> Any:
    """Without what stands beside it on the page anyway."""
    return (
        {name: value for name, value in output.items() if name != "message_id"}
        if isinstance(output, dict)
        else output
    )


def _codes(event: Event, body: dict[str, Any]) -> list[str]:
    codes = [str(body[name]) for name in ("name", "reply") if body.get(name)]
    if event.action in (A.MESSAGE_HELD, A.MESSAGE_APPROVED, A.MESSAGE_RELEASED) and body.get("digest"):
        codes.append(f"sha256 {_short(body['digest'])}")
    if body.get("sent_digest"):
        codes.append(f"sent as {_short(body['sent_digest'])}")
    return codes


def _short(digest: str) -> str:
    return f"{digest[:4]}…{digest[-4:]}"


def actor_names(actors: Iterable[str]) -> dict[str, str]:
    """`person:usr_…` and its like as people know them."""
    wanted = set(actors)
    names = dict(SYSTEM)
    for kind, model, label in (
        ("person", User, "email"),
        ("key", ApiKey, "name"),
        ("assistant", Assistant, "name"),
    ):
        ids = [actor.partition(":")[2] for actor in wanted if actor.startswith(f"{kind}:")]
        if ids:
            found: Any = model.objects.filter(pk__in=ids).values_list("pk", label)
            names |= {f"{kind}:{pk}": f"key “{name}”" if kind == "key" else name for pk, name in found}
    return names
