"""The Responses protocol: a run is a chain of responses, in a conversation of the Conversations API.

Waiting exists only with us: over there, a response that calls a function is completed. The rules that
follow from that:

1. The conversation is made before anything is asked in it, and its id kept, so that whatever a former
   attempt has done is found there. Only what it does not show is sent: it takes everything twice.
2. A response shows in its conversation when it has ended; until then the conversation is locked. It may
   end between our look and our asking, so we look again, and take back what was too late.
3. The newest response that we know of is asked first. Where a reply was lost there is a newer one,
   whose id nobody tells; then, and when stored responses are gone (30 days), the items tell the state.
4. A server without conversations gets chains of `previous_response_id`. There, a second attempt
   begins a branch of its own, so that no chain has anything twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar, cast

import openai
from openai.types.responses import Response, ResponseInputItemParam, ToolParam

from assistants import tools
from assistants.models import Connection, Run, ToolCall
from assistants.observe import OWN_ROW, SeenCall, Snapshot
from assistants.runtimes import clients
from assistants.runtimes.abilities import OF, Abilities
from assistants.runtimes.clients import far_side, told
from assistants.runtimes.errors import Gone, Locked, NotWaiting, Refused, Unreachable
from assistants.runtimes.responses import items, sight

Found = TypeVar("Found")

CHAIN = "chain_"  # begins the thread ids that we make up where there are no conversations
PAGE = 100  # items, the most that a server gives at once
PATIENCE = 120.0  # seconds for a whole turn, where a server has no background mode
MISSING = (404, 405, 501)  # what servers say of an address that they don't have
LEFT_OPEN = '{"status": "not_answered", "note": "The run that asked for this has ended. Do not repeat it."}'


@dataclass(frozen=True, slots=True)
class ResponsesRuntime:
    client: openai.OpenAI
    connection: Connection
    can: Abilities = OF[Connection.Protocol.RESPONSES]

    @classmethod
    def foreign(cls, connection: Connection) -> ResponsesRuntime:
        return cls(clients.foreign(connection), connection)

    def start(self, run: Run, *, again: bool) -> Snapshot:
        # a lock may be that of our own former attempt, which is no reason to forget it
        with _refusals(locked=Unreachable if again else Locked, open_call=Locked):
            shown = self._newest(run) if run.thread_id else []
            if own := items.of_run(shown, run.pk):
                return sight.of_items(run, own)
            if not run.thread_id:
                self._open_thread(run)
            response = self._ask(run, [*_owed(run, shown), items.opening(run)])
            if again and (late := self._late(run, response, lambda shown: items.of_run(shown, run.pk))):
                return sight.of_items(run, late)
        return sight.of_response(run, response, response.output)

    def read(self, run: Run) -> Snapshot:
        with far_side():
            response = self._latest(run)
            if response:
                _check_place(run, response)
            if response and sight.is_running(response):
                return sight.of_running(run, response, self._given(response))
            # a run that somebody else began bears no reference
            own = items.of_run(self._newest_first(run, response), run.pk if run.start_tried_at else "")
        if response:
            return sight.of_response(run, response, own)
        if not own:
            raise Gone(f"{run.thread_id} shows nothing of this run.")
        return sight.of_items(run, own)

    def submit(self, run: Run, calls: list[ToolCall]) -> None:
        ids = {call.call_id for call in calls}
        if not ids <= self.read(run).asked:
            raise NotWaiting(f"{run.thread_id} does not wait for these outputs.")
        with _refusals(locked=Unreachable, open_call=NotWaiting):
            response = self._ask(run, [items.answer(call, call.output or "") for call in calls])
            late = self._late(run, response, lambda shown: ids & items.outputs(shown).keys())
        if late:
            raise NotWaiting(f"{run.thread_id} has outputs of these calls already.")
        Run.objects.filter(pk=run.pk).update(latest_id=response.id)

    def _late(self, run: Run, response: Response, find: Callable[[list[items.Item]], Found]) -> Found | None:
        """What `find` finds in the thread by now, and the model has replied to: `response` is taken back."""
        if _is_chain(run) or not sight.is_running(response):
            return None
        shown = self._newest(run)
        found = find(shown)
        if not found or items.is_unanswered(shown[::-1]):
            return None
        # one that has ended by now stays
        with suppress(openai.APIStatusError):
            self.client.responses.cancel(response.id)
        return found

    def _open_thread(self, run: Run) -> None:
        try:
            made = self.client.conversations.create(metadata=_metadata(run)).id
        except openai.APIStatusError as error:
            if error.status_code not in MISSING:
                raise
            made = CHAIN + run.pk
        Run.objects.filter(pk=run.pk, thread_id="").update(thread_id=made)
        run.refresh_from_db(fields=["thread_id"])

    def _ask(self, run: Run, given: list[items.Param]) -> Response:
        try:
            return self._create(run, given, background=True)
        except NotWaiting as error:
            if "background" not in str(error):
                raise
            return self._create(run, given, timeout=self.connection.timeout or PATIENCE)

    def _create(self, run: Run, given: list[items.Param], **options: Any) -> Response:
        model = self.connection.models_served.get(self.connection.model, self.connection.model)
        if not model:
            raise Refused(f"{self.connection} names no model, and this protocol asks for one each time.")
        place = _place(run)
        try:
            with far_side():
                response: Response = self.client.responses.create(
                    model=model,
                    instructions=run.assistant.instructions or None,
                    tools=cast("list[ToolParam]", tools.schemas("responses")),
                    input=cast("list[ResponseInputItemParam]", given),
                    store=True,
                    metadata=_metadata(run),
                    **place,
                    **options,
                )
        except Gone as error:
            # a conversation was there a moment ago: it is the model that is not, or the address
            raise (Gone if "previous_response_id" in place else Refused)(str(error)) from error
        return response

    def _latest(self, run: Run) -> Response | None:
        """The newest response that we know of, while it is stored."""
        try:
            return self.client.responses.retrieve(run.latest_id or run.run_id)
        except (openai.NotFoundError, openai.BadRequestError) as error:
            # the items of a conversation remember ours; where its reply was lost, `run_id` is a message's
            if not (_is_theirs(run) or _is_chain(run)):
                return None
            if isinstance(error, openai.BadRequestError):
                # no id of a response at all
                raise Gone(told(error)) from error
            raise

    def _newest(self, run: Run) -> list[items.Item]:
        """The end of the thread, newest first: all that can be open in it."""
        if not _is_chain(run):
            return self.client.conversations.items.list(run.thread_id, limit=PAGE, order="desc").data
        previous = _previous(run)
        return list(self._newest_first(run, self.client.responses.retrieve(previous) if previous else None))

    def _newest_first(self, run: Run, response: Response | None) -> Iterable[items.Item]:
        """The thread, page after page, as far as somebody reads on."""
        if not _is_chain(run):
            return self.client.conversations.items.list(run.thread_id, limit=PAGE, order="desc")
        return chain(reversed(response.output), self._given(response)) if response else ()

    def _given(self, response: Response) -> list[items.Item]:
        """What it was asked with, newest first: shown at once, while a conversation shows it at the end."""
        try:
            return self.client.responses.input_items.list(response.id, limit=PAGE, order="desc").data
        except openai.APIStatusError as error:
            if error.status_code not in MISSING:
                raise
            return []


@contextmanager
def _refusals(*, locked: type[Exception], open_call: type[Exception]) -> Iterator[None]:
    """What a refusal means, by its words, on which servers agree more than on codes."""
    try:
        with far_side():
            yield
    except NotWaiting as error:
        text = str(error)
        if "conversation_locked" in text or isinstance(error.__cause__, openai.ConflictError):
            raise locked(text) from error
        if "No tool output found" in text or "No tool call found" in text:
            raise open_call(text) from error
        raise (Gone if "previous_response_not_found" in text else Refused)(text) from error


def _is_theirs(run: Run) -> bool:
    """Somebody else's, which we only look at: what its server says of it is all that we know."""
    return run.driver != Run.Driver.COUNTERSEAL


def _check_place(run: Run, response: Response) -> None:
    """Outside of a conversation, a response that we did not ask for is a thread of its own."""
    alone = response.id if _is_theirs(run) else run.thread_id
    place = response.conversation.id if response.conversation else alone
    if place != run.thread_id:
        raise Gone(f"{response.id} is not in {run.thread_id}.")


def _is_chain(run: Run) -> bool:
    return run.thread_id.startswith(CHAIN) or run.thread_id == run.run_id != ""


def _place(run: Run) -> dict[str, Any]:
    if not _is_chain(run):
        return {"conversation": run.thread_id}
    previous = _previous(run)
    return {"previous_response_id": previous} if previous else {}


def _previous(run: Run) -> str:
    """In a chain: the response that the next one follows, which may be of an earlier run."""
    return run.latest_id or run.run_id or next((one.latest_id for one in _earlier(run)), "")


def _earlier(run: Run) -> Iterable[Run]:
    """The runs before it in its thread, newest first."""
    same = Run.objects.filter(connection=run.connection_id, thread_id=run.thread_id)
    return same.exclude(pk=run.pk).exclude(run_id="").order_by("-created_at", "-pk")


def _owed(run: Run, shown: list[items.Item]) -> list[items.Param]:
    """Outputs for the calls that ended runs left open: before these nothing can be said in the thread."""
    left = items.open_calls(shown[::-1], items.outputs(shown))
    return [items.answer(call, _output_of(run, call)) for call in left]


def _output_of(run: Run, call: SeenCall) -> str:
    same = ToolCall.objects.filter(call_id=call.call_id, run__in=_earlier(run))
    known = same.select_related("run").first()
    if known is None or not known.run.has_ended:
        raise Locked(f"{run.thread_id} waits for the output of {call.call_id}.")
    return known.output or LEFT_OPEN


def _metadata(run: Run) -> dict[str, str]:
    named = {OWN_ROW: run.pk, "mailbox_id": run.mailbox_id, "email_id": run.email_id}
    if run.cause == Run.Cause.FOLLOW_UP:
        named["followup_id"] = run.pk
    return {key: value for key, value in named.items() if value}
