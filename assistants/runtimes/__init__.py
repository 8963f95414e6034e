"""Where runs live: one module per protocol behind one small interface.

The only code beside effects.py and the server's engine that talks to a network, never inside a
transaction.
"""

from __future__ import annotations

from typing import Protocol

from assistants.models import Run, ToolCall
from assistants.observe import Snapshot
from assistants.runtimes.assistants import AssistantsRuntime
from assistants.runtimes.errors import NotWaiting, Refused, Unreachable

__all__ = ["NotWaiting", "Refused", "Runtime", "Snapshot", "Unreachable", "of"]


class Runtime(Protocol):
    def start(self, run: Run) -> Snapshot:
        """Create the run at the far side, in a thread of its own."""

    def read(self, run: Run) -> Snapshot:
        """The run as it is now, with its open calls and its thread's messages."""

    def submit(self, run: Run, calls: list[ToolCall]) -> None:
        """Hand over all outputs in one request. NotWaiting if the run does not ask for these."""


def of(run: Run) -> Runtime:
    """The runtime that serves `run`. Refused if there is none."""
    connection = run.connection
    if connection is None:
        raise Refused(f"{run.assistant.name} has no model connection.")
    if connection.is_embedded:
        return AssistantsRuntime.embedded(run.assistant)
    raise Refused(f"This version cannot drive runs over the protocol {connection.protocol}.")
