"""How servers of the Assistants protocol differ from the one that its official client was made for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest


@dataclass(frozen=True)
class Ways:
    prefixes: bool = True  # run_1 rather than 24 hex digits
    times: str = "seconds"  # or floats, milliseconds, text
    lifetime: float | None = 600  # seconds, from a run's creation
    notices_expiry: bool = True  # by itself, rather than when it works on the run
    shows_expiry: bool = True  # expires_at is there
    locks: bool = True  # a thread takes nothing while a run in it is active
    partial: bool = False  # outputs are taken one by one
    ended_is_missing: bool = False  # 404 to a submit that nothing waits for, rather than 400
    breaks_on_bogus: bool = False  # 500 to an unknown call id, rather than 400
    stray_completed: bool = False  # a stream that ends at requires_action says completed after it
    cancels: bool = True
    has_steps: bool = True
    shows_outputs: bool = True  # in the steps
    sorts: bool = True  # lists as they are asked for, rather than oldest first
    metadata: str = "metadata"  # the name it has in lists; "": metadata are not kept
    lists_calls: bool = True  # required_action is there while the run waits
    api_version: str = ""  # what ?api-version must be
    additional_messages: bool = True  # a run brings them along
    errors: str = "openai"  # or flat, detail

    def time(self, seconds: float | None) -> Any:
        if seconds is None:
            return None
        shapes = {
            "seconds": int(seconds),
            "floats": seconds,
            "milliseconds": int(seconds * 1000),
            "text": datetime.fromtimestamp(seconds, UTC).isoformat(),
        }
        return shapes[self.times]

    def id(self, prefix: str, number: int) -> str:
        return f"{prefix}_{number}" if self.prefixes else f"{number:024x}"

    def error(self, message: str) -> dict[str, Any]:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        shapes: dict[str, dict[str, Any]] = {
            "openai": {"error": error},
            "flat": {"code": "Invalid", "message": message},
            "detail": {"detail": message},
        }
        return shapes[self.errors]


REFERENCE = Ways()
AZURE = Ways(api_version="v1")
MODEL_STUDIO = Ways(times="milliseconds", cancels=False, additional_messages=False, errors="flat")
OPEN_ASSISTANT = Ways(
    prefixes=False,
    times="floats",
    lifetime=None,
    locks=False,
    partial=True,
    ended_is_missing=True,
    breaks_on_bogus=True,
    metadata="metadata_",
    additional_messages=False,
)

# each difference by itself, and the servers that have several
DIFFERENCES = {
    "the reference": REFERENCE,
    "ids without prefixes": Ways(prefixes=False),
    "times as floats": Ways(times="floats"),
    "times in milliseconds": Ways(times="milliseconds"),
    "times as text": Ways(times="text"),
    "no expires_at": Ways(shows_expiry=False),
    "runs that live for ever": Ways(lifetime=None),
    "no thread lock": Ways(locks=False),
    "partial submits": Ways(partial=True),
    "404 once a run has ended": Ways(ended_is_missing=True),
    "500 to a bogus call id": Ways(breaks_on_bogus=True),
    "a stray completed event": Ways(stray_completed=True),
    "no cancel": Ways(cancels=False),
    "no steps": Ways(has_steps=False),
    "steps without outputs": Ways(shows_outputs=False),
    "lists in one order": Ways(sorts=False, times="floats"),
    "metadata under another name": Ways(metadata="metadata_"),
    "metadata that are not kept": Ways(metadata=""),
    "calls listed in the steps only": Ways(lists_calls=False),
    "errors in one level": Ways(errors="flat"),
    "errors as detail": Ways(errors="detail"),
    "Azure Foundry classic": AZURE,
    "Alibaba Model Studio": MODEL_STUDIO,
    "Open Assistant API": OPEN_ASSISTANT,
}


def losing(ways: dict[str, Ways], *kinds: str) -> list[Any]:
    """Every server with replies that get lost, and the reference with every other fault."""
    return [
        *(pytest.param(one, "drops", id=f"{name}, drops") for name, one in ways.items()),
        *(pytest.param(REFERENCE, kind, id=f"the reference, {kind}") for kind in kinds),
    ]
