"""The requests of the Assistants protocol, and what comes back as plain JSON.

The client's own types are the protocol's; what servers send is not always that (see lenient.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import openai

from assistants.models import Run
from assistants.runtimes import lenient
from assistants.runtimes.errors import Unreachable
from assistants.runtimes.lenient import Json

PAGE = 100  # of a list, its newest: as many as one request brings
ABSENT = (404, 405, 501)

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Threads:
    client: openai.OpenAI

    @property
    def host(self) -> str:
        return self.client.base_url.host

    def create_assistant(self, options: Options) -> Json:
        return _made(self._beta.assistants.with_raw_response.create(**options))

    def has_assistant(self, assistant_id: str) -> bool:
        try:
            self._beta.assistants.with_raw_response.retrieve(assistant_id)
        except openai.NotFoundError:
            return False
        return True

    def create_thread(self, *messages: Options) -> Json:
        return _made(self._beta.threads.with_raw_response.create(messages=messages))

    def create_thread_and_run(self, options: Options, *messages: Options) -> Json:
        thread = {"messages": messages}
        return _made(self._beta.threads.with_raw_response.create_and_run(thread=thread, **options))

    def add_message(self, thread_id: str, message: Options) -> None:
        self._beta.threads.messages.with_raw_response.create(thread_id, **message)

    def create_run(self, thread_id: str, options: Options) -> Json:
        return _made(self._beta.threads.runs.with_raw_response.create(thread_id, **options))

    def runs(self, thread_id: str) -> list[Json]:
        return _page(self._beta.threads.runs.with_raw_response.list(thread_id, limit=PAGE, order="desc"))

    def run(self, run: Run) -> Json:
        return _object(
            self._beta.threads.runs.with_raw_response.retrieve(run.run_id, thread_id=run.thread_id)
        )

    def submit(self, run: Run, outputs: Iterable[Options]) -> None:
        self._beta.threads.runs.with_raw_response.submit_tool_outputs(
            run.run_id, thread_id=run.thread_id, tool_outputs=outputs
        )

    def steps(self, run: Run) -> list[Json]:
        """Newest first; none where the server keeps no such list."""
        steps = self._beta.threads.runs.steps.with_raw_response
        try:
            return _page(steps.list(run.run_id, thread_id=run.thread_id, limit=PAGE, order="desc"))
        except openai.APIStatusError as error:
            return _none_if_absent(error)

    def messages(self, thread_id: str) -> list[Json]:
        """Newest first; none where the server keeps no such list."""
        try:
            return _page(
                self._beta.threads.messages.with_raw_response.list(thread_id, limit=PAGE, order="desc")
            )
        except openai.APIStatusError as error:
            return _none_if_absent(error)

    @property
    def _beta(self) -> Any:
        return self.client.beta


def _none_if_absent(error: openai.APIStatusError) -> list[Json]:
    if error.status_code in ABSENT:
        return []
    raise error


def _page(response: Any) -> list[Json]:
    return lenient.mappings(_object(response).get("data"))


def _made(response: Any) -> Json:
    made = _object(response)
    if not lenient.text(made.get("id")):
        raise Unreachable(f"{response.url.host} answered without the id of what it made.")
    return made


def _object(response: Any) -> Json:
    try:
        body = response.http_response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Unreachable(f"{response.url.host} answered something that is no JSON object.")
    return body
