"""What went wrong at the model's server, in words that a run may show to anybody."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import openai
from django.utils import timezone

from assistants.server.turn import ModelError

# asked for again later by the engine, which keeps no thread waiting for it
TRANSIENT = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
LONGEST_WAIT = 300.0  # seconds; a server that wants to be left alone for longer is asked all the same
REFUSED = "The model refused to answer."
BROKE_OFF = "The model's server broke off its answer."
UNREADABLE = "The model answered with a tool call that cannot be read."
NONSENSE = "The model's server answered with something that is no chat completion."


def understood(error: openai.OpenAIError, key: str) -> ModelError:
    transient, wait = isinstance(error, TRANSIENT), _wait(error)
    if isinstance(error, openai.APITimeoutError):
        return ModelError("The model's server did not answer in time.", transient=transient)
    if isinstance(error, openai.APIConnectionError):
        return ModelError("The model's server could not be reached.", transient=transient)
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        # its text may quote a part of the key
        return ModelError("The model's server refused the connection's key.")
    said = _brief(error, key)
    if isinstance(error, openai.RateLimitError):
        return ModelError(
            f"The model's server is busy: {said}", "rate_limit_exceeded", transient=transient, wait=wait
        )
    if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        return ModelError(f"The model's server refused the request: {said}", "invalid_prompt")
    return ModelError(f"The model's server failed: {said}", transient=transient, wait=wait)


def _brief(error: openai.OpenAIError, key: str) -> str:
    said = str(error)
    return (said.replace(key, "[the key]") if key else said)[:500]


def _wait(error: openai.OpenAIError) -> float:
    """The seconds for which its server asks to be left alone, within reason."""
    if not isinstance(error, openai.APIStatusError):
        return 0
    seconds = _retry_after(error.response.headers)
    return min(max(seconds, 0), LONGEST_WAIT) if math.isfinite(seconds) else 0


def _retry_after(headers: Mapping[str, str]) -> float:
    if milliseconds := headers.get("retry-after-ms"):
        return _number(milliseconds) / 1000
    said = headers.get("retry-after", "")
    try:
        return (parsedate_to_datetime(said) - timezone.now()).total_seconds()
    except (ValueError, TypeError, OverflowError):
        # no date, or one without a time zone
        return _number(said)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0
