"""What the modules of the providers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Account:
    """`path`: what stands after the host, such as the domain that Mailgun sends for."""

    provider: str
    base: str
    user: str = ""
    secret: str = field(default="", repr=False)
    path: str = ""


@dataclass(frozen=True)
class Post:
    """`files` for a form with a file, else `body`."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)
    body: bytes | None = None
    form: dict[str, Any] | None = None
    files: dict[str, Any] | None = None


class Refused(Exception):
    """It said no in an answer that looks like yes; nobody got it."""


class Unclear(Exception):
    """It took the message for some of the recipients, or did not say."""


class Provider(Protocol):
    WANTS: str  # what its URL must hold, as a sentence

    def lacks(self, account: Account) -> bool:
        """Whether the account holds too little to post with."""
        ...

    def post(self, account: Account, sender: str, recipients: Sequence[str], data: bytes) -> Post: ...

    def taken(self, answer: dict[str, Any], recipients: Sequence[str]) -> str:
        """Its own name for the message that it took, or Refused or Unclear."""
        ...
