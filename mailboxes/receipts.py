"""What a report says became of mail, whoever it comes from. Pure: no Django here, and no parser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

DELIVERED, DELAYED, BOUNCED, COMPLAINED = "delivered", "delayed", "bounced", "complained"
HARD, SOFT = "hard", "soft"

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_REPLY = re.compile(r"(?:^|[^\d.])([245])\d\d(?=[ -]|$)")
# what the address itself is at fault for: it is unknown, moved, shut, or its host takes no mail
_OF_THE_ADDRESS = ("0.0", "1.0", "1.1", "1.2", "1.3", "1.6", "1.10", "2.0", "2.1", "4.1", "4.4")
_TYPE = re.compile(rb"(?im)^content-type:[ \t]*(?:\r?\n[ \t]+)*multipart/report\b")
_POSTMASTERS = ("", "<>", "mailer-daemon", "postmaster")


@dataclass(frozen=True, slots=True)
class Report:
    """`message_ids`: of the mail that it is about, as far as it says; `handles`: the provider's for it."""

    kind: str
    recipient: str = ""
    bounce_type: str = ""
    status: str = ""
    detail: str = ""
    at: datetime | None = None
    reference: str = ""
    message_ids: tuple[str, ...] = ()
    handles: tuple[str, ...] = ()
    envelope_id: str = ""


def may_report(envelope_from: str, data: bytes) -> bool:
    """Whether it is worth a closer look. A report comes from nobody, or is one by its type."""
    if envelope_from.partition("@")[0].lower() in _POSTMASTERS:
        return True
    head = re.split(rb"\r?\n\r?\n", data[:65_536], maxsplit=1)[0]
    return _TYPE.search(head) is not None


def status_in(text: str) -> str:
    """The enhanced status code that the words of a server hold, such as 5.1.1."""
    found = _STATUS.search(text)
    return found[0] if found else ""


def is_temporary(status: str, detail: str) -> bool:
    if status:
        return status.startswith("4.")
    found = _REPLY.search(detail)
    return found is not None and found[1] == "4"


def bounce_type(status: str, detail: str = "") -> str:
    """Hard when the address is at fault. A refusal of this message alone says nothing about the next."""
    status = status or status_in(detail)
    if is_temporary(status, detail):
        return SOFT
    subject = status.partition(".")[2]
    return HARD if not subject or subject in _OF_THE_ADDRESS else SOFT
