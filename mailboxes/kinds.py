"""What sort of mail came in: from a person, from a program, a report on mail of ours, or our own. Pure.

Only `normal` mail starts a run by itself or is answered without a person: two programs that answer each
other never stop. Reports (`bounce`) are what receipts are made from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from django.db.models import TextChoices


class Kind(TextChoices):
    NORMAL = "normal"
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"
    OWN = "own"


# header fields in lower case (parsing.MARKS), each with its values in the order in which they stand
Marks = Mapping[str, Sequence[str]]

_REPORTS = {"delivery-status": "delivery", "feedback-report": "a complaint"}
_DAEMONS = re.compile(r"(?:mailer-daemon|mail-daemon)@", re.IGNORECASE)
_PRECEDENCES = {"bulk", "list", "junk", "auto_reply"}
_SUPPRESS = {"all", "oof", "autoreply", "rn", "nrn", "dr"}


def classify(marks: Marks, sender: str | None, from_address: str = "", *, own: str = "") -> tuple[Kind, str]:
    """The kind, and in a sentence why; "" for a normal one.

    `sender` is the envelope's: "" for the null sender, None where no envelope came along. `own` says why
    this is mail that left here, if it is.
    """
    sender = _return_path(marks) if sender is None else sender
    if reason := _report(marks):
        return Kind.BOUNCE, reason
    if own:
        return Kind.OWN, own
    if reason := _automatic(marks):
        return Kind.AUTO_REPLY, reason
    if sender == "":
        return Kind.BOUNCE, "It has no sender on its envelope, as bounces have."
    if _DAEMONS.match(from_address):
        return Kind.BOUNCE, f"It comes from {from_address.partition('@')[0]}, as bounces do."
    return Kind.NORMAL, ""


def _report(marks: Marks) -> str:
    content_type = _first(marks, "content-type").lower()
    if content_type.startswith("multipart/report"):
        found = re.search(r'report-type\s*=\s*"?([a-z-]{1,40})', content_type)
        if found and found[1] in _REPORTS:
            return f"It is a report on mail of ours: {_REPORTS[found[1]]}."
    return "It names recipients that could not be reached." if _first(marks, "x-failed-recipients") else ""


def _automatic(marks: Marks) -> str:
    """In the order of how plainly they say it."""
    submitted = _word(marks, "auto-submitted")
    if submitted and submitted != "no":
        return f"It says that no person sent it (Auto-Submitted: {submitted})."
    if _first(marks, "content-type").lower().startswith("multipart/report"):
        return "It is a report, such as a receipt for reading."
    for name in ("x-autoreply", "x-autorespond"):
        if _first(marks, name):
            return "It is an automatic reply."
    if (precedence := _word(marks, "precedence")) in _PRECEDENCES:
        return f"It is sent to many or by a program (Precedence: {precedence})."
    if any(_first(marks, name) for name in ("list-id", "list-post", "list-unsubscribe", "feedback-id")):
        return "It comes from a mailing list."
    words = {word.strip().lower() for word in _first(marks, "x-auto-response-suppress").split(",")}
    return "It asks for no automatic answer (X-Auto-Response-Suppress)." if words & _SUPPRESS else ""


def _return_path(marks: Marks) -> str | None:
    """What a mail server that delivered it noted of its envelope."""
    path = _first(marks, "return-path")
    return path.strip("<> ") if path else None


def _word(marks: Marks, name: str) -> str:
    """The value without its parameters and comments."""
    return re.split(r"[;\s(]", _first(marks, name).strip().lower(), maxsplit=1)[0][:40]


def _first(marks: Marks, name: str) -> str:
    return next(iter(marks.get(name, ())), "")
