"""What a model is asked in one turn of a run, and what it answers. Both kinds of model speak this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    role: str
    content: Sequence[Json]  # content blocks, as in Message.content

    @property
    def text(self) -> str:
        return "\n".join(block["text"]["value"] for block in self.content if block["type"] == "text")


@dataclass(frozen=True, slots=True)
class Called:
    """The calls of one turn, each with its output: {"id", "name", "arguments", "output"}."""

    calls: Sequence[Json]
    this_run: bool


@dataclass(frozen=True, slots=True)
class Turn:
    number: int  # within its run, from 1
    model: str
    instructions: str
    conversation: Sequence[Said | Called]
    tools: Sequence[Json]
    options: Mapping[str, Any]
    known: Mapping[str, str]  # mailbox_id and email_id, as far as the run names them

    @property
    def functions(self) -> list[Json]:
        return [tool for tool in self.tools if tool["type"] == "function"]


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: str  # JSON text


@dataclass(frozen=True, slots=True)
class Reply:
    text: str = ""
    calls: Sequence[Call] = field(default_factory=tuple)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut_short: bool = False  # by a limit of tokens


class ModelError(Exception):
    """The model gave no usable answer. `code` is one that a run's last_error may have."""

    def __init__(self, message: str, code: str = "server_error", *, transient: bool = False) -> None:
        super().__init__(message)
        self.message, self.code, self.transient = message, code, transient


def check_calls(reply: Reply) -> None:
    """Refuse calls that nobody could answer.

    Arguments that are no JSON and functions that the run does not have pass, as in the protocol's
    own server: whoever drives the run answers them with an error, and the model can mend its ways.
    """
    if any(not call.name for call in reply.calls):
        raise ModelError("The model called a function without a name.")
