"""The gate: the only way out for mail that leaves, and the only way in for mail that arrives."""

from approvals.gate.calls import dispatch_calls
from approvals.gate.handing import take_handed
from approvals.gate.inbound import Arrival, admit, check_inbox, read, receive, receive_all, tag
from approvals.gate.linking import link_calls
from approvals.gate.outbound import Context, Submission, copy_to_oversight, reply, send
from approvals.gate.revising import ask_deferred, revise

__all__ = [
    "Arrival",
    "Context",
    "Submission",
    "admit",
    "ask_deferred",
    "check_inbox",
    "copy_to_oversight",
    "dispatch_calls",
    "link_calls",
    "read",
    "receive",
    "receive_all",
    "reply",
    "revise",
    "send",
    "tag",
    "take_handed",
]
