"""What differs between run servers, as far as waiting for people goes."""

from __future__ import annotations

from dataclasses import dataclass

from assistants.models import Connection


@dataclass(frozen=True, slots=True)
class Abilities:
    # it says by itself when a run changes: no polling
    tells: bool = False
    # the same outputs once more are the same success, so that they may be handed over unasked
    repeats: bool = False
    # it takes the output of one call before those of the others
    partial: bool = False
    # its runs end by themselves while a person thinks, and say when
    expires: bool = False
    # nothing can be added to a thread while a run in it is active
    locks: bool = True


OURS = Abilities(tells=True, repeats=True)
# by protocol: what a runtime does, and what the dashboard says of a connection
OF: dict[str, Abilities] = {
    Connection.Protocol.CHAT_COMPLETIONS: OURS,
    Connection.Protocol.SCRIPTED: OURS,
    Connection.Protocol.ASSISTANTS: Abilities(expires=True),
    Connection.Protocol.RESPONSES: Abilities(repeats=True),
    # an output has a key of its own and is an event of its own
    Connection.Protocol.AGENTS: Abilities(repeats=True, partial=True),
}
