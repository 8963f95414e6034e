"""Asking, and reading the answer: as it comes if somebody reads along and the server can, else at once."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
from openai import Stream
from openai.types.chat import ChatCompletion

from assistants.models import Connection
from assistants.runtimes import clients
from assistants.runtimes.errors import Refused
from assistants.server.chat import chunks, whole
from assistants.server.chat.errors import BROKE_OFF, NONSENSE, understood
from assistants.server.chat.request import request
from assistants.server.turn import Answer, Json, ModelError, Turn

TIMEOUT = 120.0  # seconds without a sign from the server, unless the connection says otherwise

PLAIN: Json = {}
# servers refuse what they do not know: each way of asking for less is tried in turn
STREAMING: tuple[Json, ...] = (
    {"stream": True, "stream_options": {"include_usage": True}},
    {"stream": True},
    PLAIN,
)


def answer(connection: Connection, turn: Turn) -> Answer:
    try:
        client = clients.foreign(connection, TIMEOUT)
        yield from _read(_ask(client, request(connection, turn), STREAMING if turn.streamed else (PLAIN,)))
    except Refused as error:
        raise ModelError(str(error)) from error
    except openai.OpenAIError as error:
        raise understood(error, connection.api_key) from error
    except httpx2.HTTPError as error:
        # the body of an answer that began well: the client wraps only what happens before it
        raise ModelError(BROKE_OFF, transient=True) from error
    except ValueError as error:
        raise ModelError(NONSENSE) from error


def _ask(client: openai.OpenAI, asked: Json, ways: tuple[Json, ...]) -> Any:
    create: Any = client.chat.completions.with_raw_response.create
    *others, last = ways
    for way in others:
        try:
            return create(**asked, **way)
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            continue
    return create(**asked, **last)


def _read(response: Any) -> Answer:
    said = response.parse()
    if isinstance(said, Stream) and "json" not in response.headers.get("content-type", ""):
        return chunks.read(said)
    if isinstance(said, Stream):
        # it was asked to stream, and does not
        body = json.loads(response.http_response.read())
        said = ChatCompletion.construct(**body) if isinstance(body, dict) else body
    return whole.read(said)
