"""The `openai` clients of run servers and models: made once each, and with errors that say what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from urllib.parse import urlsplit

import openai
from cryptography.fernet import InvalidToken
from django.conf import settings

from assistants.models import Connection
from assistants.runtimes.errors import Gone, NotWaiting, Refused, Unauthorized, Unreachable

TIMEOUT = 30.0  # seconds
# some servers want no key, while the client wants one
NO_KEY = "none"
# beside all that are 500 or more: too slow, too early, too many
BUSY = (408, 425, 429)
LONGEST_MESSAGE = 500  # characters
LONGEST_WAIT = 86_400.0  # seconds; what asks for more is no number of them

# by its maker; it is what this project speaks
warnings.filterwarnings("ignore", "The Assistants API is deprecated", DeprecationWarning)


# to make one costs more than a call: it reads certificates and builds a pool of connections
@lru_cache(maxsize=64)
def _client(base_url: str, key: str, timeout: float, query: str, host: str, scheme: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=base_url or None,
        api_key=key,
        timeout=timeout,
        # a submit must not be repeated behind our back
        max_retries=0,
        default_query={"api-version": query} if query else None,
        default_headers={"Host": host, "X-Forwarded-Proto": scheme} if host else None,
    )


def embedded(token: str) -> openai.OpenAI:
    """Our own server, reached over HTTP like anyone else's, at INTERNAL_URL."""
    public = urlsplit(settings.PUBLIC_URL)
    # as a proxy in front would: in production other hosts, and http, are turned away
    client = _client(
        f"{settings.INTERNAL_URL}/openai/v1", "per call", TIMEOUT, "", public.netloc, public.scheme
    )
    return client.with_options(api_key=token)


def foreign(connection: Connection, timeout: float = TIMEOUT) -> openai.OpenAI:
    """`timeout`: in seconds, for a connection that says nothing of it."""
    try:
        key = connection.api_key or NO_KEY
    except InvalidToken as error:
        why = f"The key of {connection.name} cannot be read: SECRET_KEY has changed."
        raise Unauthorized(why) from error
    return _client(connection.base_url, key, connection.timeout or timeout, connection.api_version, "", "")


def close() -> None:
    """Let go of every client; for a process that ends, or forks."""
    _client.cache_clear()


@contextmanager
def far_side() -> Iterator[None]:
    """Says of each error whether trying again helps, in a sentence without the key."""
    try:
        yield
    except openai.APIError as error:
        text = told(error)
        # whatever prints the cause prints no more than that
        error.args = (text,)
        raise _kind(error)(text) from error


def _kind(error: openai.APIError) -> Callable[[str], Exception]:
    match error:
        case openai.APIConnectionError():
            return Unreachable
        case openai.NotFoundError():
            # a page is what a proxy says while the server behind it is away
            return Unreachable if _is_page(error.body) else Gone
        case openai.BadRequestError() | openai.ConflictError() | openai.UnprocessableEntityError():
            return NotWaiting
        case openai.APIStatusError(status_code=status) if status in BUSY or status >= 500:
            return partial(Unreachable, after=_retry_after(error))
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return Unauthorized
    return Refused


def told(error: openai.APIError) -> str:
    """What went wrong, as a sentence for the run's page."""
    match error:
        case openai.APITimeoutError():
            text = f"{error.request.url.host} did not answer in time."
        case openai.APIConnectionError():
            text = f"{error.request.url.host} could not be reached: {error.__cause__ or error}"
        case openai.APIStatusError():
            code = f" {error.code}" if error.code else ""
            text = f"{_message(error.body) or error.response.reason_phrase} (HTTP {error.status_code}{code})"
        case _:
            text = str(error)
    # some quote the key that they refuse
    for name in ("Authorization", "api-key"):
        key = error.request.headers.get(name, "").removeprefix("Bearer ")
        if key and key != NO_KEY:
            text = text.replace(key, "[key]")
    return text


def _message(body: object) -> str:
    if isinstance(body, Mapping):
        return str(body.get("message") or body.get("detail") or body)[:LONGEST_MESSAGE]
    return "" if body is None or _is_page(body) else str(body)[:LONGEST_MESSAGE]


def _is_page(body: object) -> bool:
    return isinstance(body, str) and body.lstrip().startswith("<")


def _retry_after(error: openai.APIStatusError) -> float | None:
    """In seconds. For a date, which is rare, and for "at once", which is a loop, our own pauses will do."""
    given = error.response.headers.get("Retry-After", "")
    return min(float(given), LONGEST_WAIT) or None if given.isdecimal() else None
