"""The Assistants protocol: threads, runs, and submit_tool_outputs, all outputs in one request."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

import openai
from django.conf import settings
from openai.types.beta import AssistantToolParam
from openai.types.beta.thread_create_and_run_params import Thread
from openai.types.beta.threads import Message
from openai.types.beta.threads import Run as RemoteRun

from assistants import keys, tools
from assistants.models import Assistant, Run, ToolCall
from assistants.observe import OWN_ROW, SeenCall, Snapshot
from assistants.runtimes.errors import NotWaiting, Refused, Unreachable

TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class AssistantsRuntime:
    client: openai.OpenAI

    @classmethod
    def embedded(cls, assistant: Assistant) -> AssistantsRuntime:
        """Our own server, reached over HTTP like anyone else's, at INTERNAL_URL."""
        public = urlsplit(settings.PUBLIC_URL)
        return cls(
            openai.OpenAI(
                base_url=f"{settings.INTERNAL_URL}/openai/v1",
                api_key=keys.internal_token(assistant),
                timeout=TIMEOUT,
                # a submit must not be repeated behind our back
                max_retries=0,
                # as a proxy in front would: in production other hosts, and http, are turned away
                default_headers={"Host": public.netloc, "X-Forwarded-Proto": public.scheme},
            )
        )

    def start(self, run: Run) -> Snapshot:
        with _far_side(self.client):
            try:
                return _snapshot(self._create(run), [])
            except openai.NotFoundError:
                # somebody deleted the assistant over there; the next try makes it anew
                Assistant.objects.filter(pk=run.assistant_id).update(remote_id="")
                raise

    def _create(self, run: Run) -> RemoteRun:
        thread: Thread = {"messages": [{"role": "user", "content": run.prompt}]}
        # all that counts is named here: the assistant's keys may change its counterpart over there
        return self.client.beta.threads.create_and_run(
            assistant_id=self._remote_assistant(run.assistant),
            instructions=run.assistant.instructions,
            model=_model(run.assistant),
            tools=_tools(),
            thread=thread,
            metadata=_metadata(run),
        )

    def _remote_assistant(self, assistant: Assistant) -> str:
        """The assistant's counterpart at the far side, made at the first start."""
        if not assistant.remote_id:
            made = self.client.beta.assistants.create(
                name=assistant.name,
                model=_model(assistant),
                instructions=assistant.instructions or None,
                tools=_tools(),
            )
            Assistant.objects.filter(pk=assistant.pk, remote_id="").update(remote_id=made.id)
            assistant.refresh_from_db(fields=["remote_id"])
        return assistant.remote_id

    def read(self, run: Run) -> Snapshot:
        with _far_side(self.client):
            remote = self.client.beta.threads.runs.retrieve(run.run_id, thread_id=run.thread_id)
            messages = self.client.beta.threads.messages.list(run.thread_id, order="asc", limit=100)
            return _snapshot(remote, list(messages))

    def submit(self, run: Run, calls: list[ToolCall]) -> None:
        with _far_side(self.client):
            self.client.beta.threads.runs.submit_tool_outputs(
                run.run_id,
                thread_id=run.thread_id,
                tool_outputs=[{"tool_call_id": call.call_id, "output": call.output or ""} for call in calls],
            )


def _model(assistant: Assistant) -> str:
    return (assistant.connection.model if assistant.connection else "") or "default"


def _tools() -> list[AssistantToolParam]:
    return cast("list[AssistantToolParam]", tools.schemas("assistants"))


def _metadata(run: Run) -> dict[str, str]:
    named = {OWN_ROW: run.pk, "mailbox_id": run.mailbox_id, "email_id": run.email_id}
    return {key: value for key, value in named.items() if value}


@contextmanager
def _far_side(client: openai.OpenAI) -> Iterator[None]:
    """Closes the client, and says of each error whether trying again helps."""
    try:
        with client, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError) as error:
        raise Unreachable(str(error)) from error
    except (openai.BadRequestError, openai.NotFoundError, openai.ConflictError) as error:
        raise NotWaiting(str(error)) from error
    except openai.APIError as error:
        raise Refused(str(error)) from error


def _snapshot(remote: RemoteRun, messages: list[Message]) -> Snapshot:
    required = remote.required_action
    calls = required.submit_tool_outputs.tool_calls if required else []
    return Snapshot(
        run_id=remote.id,
        thread_id=remote.thread_id,
        remote_assistant_id=remote.assistant_id,
        status=remote.status,
        calls=[SeenCall(call.id, call.function.name, call.function.arguments) for call in calls],
        transcript=[_said(message) for message in messages],
        last_error=remote.last_error.message if remote.last_error else "",
        metadata=dict(remote.metadata or {}),
    )


def _said(message: Message) -> dict[str, str]:
    text = "\n".join(part.text.value for part in message.content if part.type == "text")
    at = datetime.fromtimestamp(message.created_at, UTC).isoformat()
    return {"role": message.role, "text": text, "at": at}
