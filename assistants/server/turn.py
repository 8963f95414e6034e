"""What a model is asked in one turn of a run, and what it answers. Both kinds of model speak this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

LONGEST_ANSWER = 4_000_000  # characters; a model that says more has lost its way
MOST_TOKENS = 2**40  # in one turn; what is more is nonsense that no column could sum up


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
    streamed: bool = False  # somebody reads along: the answer is wanted as it comes

    @property
    def functions(self) -> list[Json]:
        return [tool for tool in self.tools if tool["type"] == "function"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: some text, or some of a call's name and arguments; `call` counts from 0."""

    text: str = ""
    call: int | None = None
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """What is known once an answer is over."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut_short: bool = False  # by a limit of tokens


Answer = Iterator[Piece | Closing]


@dataclass(slots=True)
class Call:
    name: str = ""
    arguments: str = ""  # JSON text


@dataclass(slots=True)
class Reply:
    """A whole answer, put together from its pieces."""

    texts: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    closing: Closing = field(default_factory=Closing)
    size: int = 0

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def take(self, part: Piece | Closing) -> None:
        if isinstance(part, Closing):
            self.closing = part
            return
        self.size += len(part.text) + len(part.name) + len(part.arguments)
        if self.size > LONGEST_ANSWER:
            raise ModelError(f"The model's answer is longer than {LONGEST_ANSWER} characters.")
        if part.call is None:
            self.texts.append(part.text)
        else:
            self._take_call(part.call, part)

    def _take_call(self, number: int, part: Piece) -> None:
        if number == len(self.calls):
            self.calls.append(Call())
        self.calls[number].name += part.name
        self.calls[number].arguments += part.arguments

    def check(self) -> None:
        """Refuse calls that nobody could answer.

        Arguments that are no JSON and functions that the run does not have pass, as in the protocol's
        own server: whoever drives the run answers them with an error, and the model can mend its ways.
        """
        if not self.closing.cut_short and any(not call.name for call in self.calls):
            raise ModelError("The model called a function without a name.")


class ModelError(Exception):
    """The model gave no usable answer. `code` is one that a run's last_error may have.

    `wait`: seconds for which its server asked to be left alone.
    """

    def __init__(
        self, message: str, code: str = "server_error", *, transient: bool = False, wait: float = 0
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.transient, self.wait = message, code, transient, wait
