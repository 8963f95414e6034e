"""The policy: from who would be written to and the oversight in force to a ruling with reasons.

Pure: it imports no framework and touches nothing, so that it can be read and proved alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

READ_ONLY, GATED_ALL, GATED_SEND, MONITORED, AUTONOMOUS = (
    "read_only",
    "gated_all",
    "gated_send",
    "monitored",
    "autonomous",
)


# of one conversation and one hour: what two programs that answer each other may do before a person looks
RUNS_PER_HOUR = 10
RELEASES_PER_HOUR = 10


class Verdict(StrEnum):
    RELEASE = "release"
    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Oversight:
    """What is in force for a mailbox at this moment."""

    mailbox: str
    mode: str
    allowlist: tuple[str, ...] = ()
    held_reason: str | None = None
    oversight_address: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    verdict: Verdict
    reasons: tuple[str, ...]


def rule(recipients: tuple[str, ...], oversight: Oversight) -> Ruling:
    """May mail to `recipients` (bare, normalised addresses) leave without a person?"""
    mode, mailbox = oversight.mode, oversight.mailbox
    if mode == READ_ONLY:
        return Ruling(Verdict.REFUSE, (f"{mailbox} is read_only: it reads mail and sends none.",))
    if oversight.held_reason is not None:
        return Ruling(Verdict.HOLD, (f"Everything is held: {oversight.held_reason}",))
    if mode == AUTONOMOUS:
        return Ruling(Verdict.RELEASE, (f"{mailbox} is autonomous.",))
    if mode == MONITORED:
        return _if_copied(oversight)
    if mode == GATED_SEND and oversight.allowlist:
        return _by_allowlist(recipients, oversight)
    # gated_all, gated_send, and whatever a later version may have written: a person decides
    return Ruling(Verdict.HOLD, (f"{mailbox} is in {mode}.",))


def _if_copied(oversight: Oversight) -> Ruling:
    mailbox, copied_to = oversight.mailbox, oversight.oversight_address
    if not copied_to:
        return Ruling(Verdict.HOLD, (f"{mailbox} is monitored, but there is no oversight address.",))
    return Ruling(Verdict.RELEASE, (f"{mailbox} is monitored: {copied_to} gets a copy.",))


def _by_allowlist(recipients: tuple[str, ...], oversight: Oversight) -> Ruling:
    strangers = [r for r in recipients if not any(matches(p, r) for p in oversight.allowlist)]
    if recipients and not strangers:
        return Ruling(Verdict.RELEASE, ("Every recipient is on the allowlist.",))
    return Ruling(
        Verdict.HOLD,
        (
            f"{oversight.mailbox} is in gated_send.",
            *(f"{stranger} is not on the allowlist." for stranger in strangers),
        ),
    )


def brake(ruling: Ruling, released: int) -> Ruling:
    """`released`: how much mail of the conversation left without a person in the last hour."""
    if ruling.verdict != Verdict.RELEASE or released < RELEASES_PER_HOUR:
        return ruling
    reason = (
        f"{released} messages of this conversation left without a person within the hour: "
        "it may be two programs that answer each other."
    )
    return Ruling(Verdict.HOLD, (reason,))


def too_many_runs(started: int) -> str:
    """Why mail starts no run although its mailbox says so, or ""; `started` in the last hour."""
    if started < RUNS_PER_HOUR:
        return ""
    return (
        f"Mail of this conversation started {started} runs within the hour: "
        "it may be two programs that answer each other."
    )


def rule_inbound(oversight: Oversight) -> Ruling:
    """Does mail that arrived wait for a person before an assistant may see it?"""
    if oversight.mode in (READ_ONLY, GATED_SEND, MONITORED, AUTONOMOUS):
        return Ruling(Verdict.RELEASE, (f"{oversight.mailbox} is in {oversight.mode}.",))
    return Ruling(Verdict.HOLD, (f"{oversight.mailbox} is in {oversight.mode}: incoming mail waits too.",))


def matches(pattern: str, address: str) -> bool:
    """`pattern` is an address or `*@domain`; the domain alone, without its subdomains."""
    pattern, address = pattern.lower(), address.lower()
    if pattern.startswith("*@"):
        return address.rpartition("@")[2] == pattern[2:]
    return address == pattern
