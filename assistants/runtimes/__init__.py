"""Where runs live: one module per protocol behind one small interface.

The only code beside effects.py and the server's engine that talks to a network, never inside a
transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from assistants.models import Connection, Run, ToolCall
from assistants.observe import Snapshot
from assistants.runtimes.abilities import Abilities
from assistants.runtimes.agents import AgentsRuntime
from assistants.runtimes.assistants import AssistantsRuntime
from assistants.runtimes.errors import Gone, Locked, NotWaiting, Refused, Unauthorized, Unreachable
from assistants.runtimes.responses import ResponsesRuntime

__all__ = [
    "Abilities",
    "Gone",
    "Locked",
    "NotWaiting",
    "Refused",
    "Runtime",
    "Snapshot",
    "Unauthorized",
    "Unreachable",
    "of",
]


class Runtime(Protocol):
    """Each call may raise Unreachable, Refused or Gone."""

    @property
    def can(self) -> Abilities: ...

    def start(self, run: Run, *, again: bool) -> Snapshot:
        """Create the planned run, in the thread that it names or else in a new one.

        `again`: a former attempt may have been heard, so look for its run first, by our row's id.
        Locked while another run holds the thread.
        """

    def read(self, run: Run) -> Snapshot:
        """The run as it is now: its open calls, the outputs that it shows, what was said, its expiry."""

    def submit(self, run: Run, calls: list[ToolCall]) -> None:
        """Hand over these outputs, in one request where the protocol has one. NotWaiting if it won't."""


FOREIGN: dict[str, Callable[[Connection], Runtime]] = {
    Connection.Protocol.ASSISTANTS: AssistantsRuntime.foreign,
    Connection.Protocol.RESPONSES: ResponsesRuntime.foreign,
    Connection.Protocol.AGENTS: AgentsRuntime.foreign,
}


def of(run: Run) -> Runtime:
    """The runtime that serves `run`. Refused if there is none."""
    connection = run.connection
    if connection is None:
        raise Refused(f"{run.assistant.name} has no model connection.")
    if connection.is_embedded:
        return AssistantsRuntime.embedded(run.assistant)
    serve = FOREIGN.get(connection.protocol)
    if serve is None:
        raise Refused(f"This version cannot drive runs over the protocol {connection.protocol}.")
    return serve(connection)
