"""The Assistants protocol: threads, runs, and submit_tool_outputs, all outputs in one request.

Our own server, and those of others: Azure Foundry classic, Alibaba Model Studio, Open Assistant API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from assistants import keys
from assistants.models import Assistant, Connection, Run, ToolCall
from assistants.observe import OWN_ROW, SeenCall, Snapshot
from assistants.runtimes import clients, lenient
from assistants.runtimes.abilities import OF, OURS, Abilities
from assistants.runtimes.beginning import begin, begin_at_once
from assistants.runtimes.clients import far_side
from assistants.runtimes.errors import Gone, NotWaiting, Unreachable
from assistants.runtimes.lenient import Json
from assistants.runtimes.threads import Threads

UNHEARD = "The run server began the run and did not keep the message that came with it."


@dataclass(frozen=True, slots=True)
class AssistantsRuntime:
    threads: Threads
    can: Abilities

    @classmethod
    def embedded(cls, assistant: Assistant) -> AssistantsRuntime:
        return cls(Threads(clients.embedded(keys.internal_token(assistant))), OURS)

    @classmethod
    def foreign(cls, connection: Connection) -> AssistantsRuntime:
        return cls(Threads(clients.foreign(connection)), OF[connection.protocol])

    def start(self, run: Run, *, again: bool) -> Snapshot:
        """One request to our own server; elsewhere two, or three on a retry (see beginning.py).

        One more where the assistant has no counterpart over there yet.
        """
        with far_side():
            if self.can is OURS:
                remote = begin_at_once(self.threads, run)
            else:
                remote = begin(self.threads, run, again=again)
        seen = _snapshot(run, remote, lenient.open_calls(remote))
        if self.can is not OURS and seen.status != Run.Status.QUEUED:
            # the run of a former attempt may have come far: the first look reads all of it
            seen = replace(seen, status=Run.Status.IN_PROGRESS, calls=())
        return replace(seen, metadata={**seen.metadata, OWN_ROW: run.pk})

    def read(self, run: Run) -> Snapshot:
        """One request while there is nothing new. One more for the steps, while we hold outputs that the run
        does not ask for and whose fate is open, and one for the messages, when it has moved or asks for more.
        """
        with far_side():
            remote = self.threads.run(run)
            waits = lenient.status(remote) == Run.Status.REQUIRES_ACTION
            calls = lenient.open_calls(remote) if waits else []
            untold = waits and not calls
            steps = self.threads.steps(run) if untold or _owes_others(run, calls) else []
            seen = _snapshot(run, remote, calls or lenient.unanswered(steps) if waits else [])
            if waits and not seen.calls:
                raise Unreachable("The run waits, and its server does not say for which tool outputs.")
            seen = replace(seen, outputs=lenient.outputs(steps))
            return self._with_what_was_said(run, seen) if _is_news(run, seen) else seen

    def _with_what_was_said(self, run: Run, seen: Snapshot) -> Snapshot:
        transcript = self._transcript(run)
        error = seen.last_error or (UNHEARD if _is_unheard(run, transcript) else "")
        return replace(seen, transcript=transcript, last_error=error)

    def _transcript(self, run: Run) -> list[dict[str, str]]:
        """The newest messages, oldest first also where the order that we ask for counts for nothing."""
        said = [lenient.said(message) for message in reversed(self.threads.messages(run.thread_id))]
        return sorted(said, key=lambda one: one["at"])

    def submit(self, run: Run, calls: list[ToolCall]) -> None:
        outputs = [{"tool_call_id": call.call_id, "output": call.output or ""} for call in calls]
        try:
            with far_side():
                self.threads.submit(run, outputs)
        except Gone as error:
            # so say some of a run that has ended: reading it tells
            raise NotWaiting(str(error)) from error


def _snapshot(run: Run, remote: Json, calls: Sequence[SeenCall]) -> Snapshot:
    return Snapshot(
        run_id=lenient.text(remote.get("id")) or run.run_id,
        thread_id=lenient.text(remote.get("thread_id")) or run.thread_id,
        remote_assistant_id=lenient.text(remote.get("assistant_id")) or run.remote_assistant_id,
        status=lenient.status(remote),
        calls=calls,
        last_error=lenient.last_error(remote),
        metadata=lenient.metadata(remote),
        expires_at=lenient.moment(remote.get("expires_at")),
    )


def _is_unheard(run: Run, transcript: Sequence[Mapping[str, str]]) -> bool:
    """Some take `additional_messages` without a word, and do nothing with them."""
    said = [" ".join(entry["text"].split()) for entry in transcript]
    return bool(run.prompt and said) and " ".join(run.prompt.split()) not in said


def _owes_others(run: Run, asked: Sequence[SeenCall]) -> bool:
    """We hold outputs that may have been heard: their calls are not asked for."""
    owed = run.calls.filter(output__isnull=False, settled="")
    return owed.exclude(call_id__in=[call.call_id for call in asked]).exists()


def _is_news(run: Run, seen: Snapshot) -> bool:
    """What was said may have changed."""
    known = run.calls.filter(call_id__in=seen.asked).count()
    return seen.status != run.status or known < len(seen.asked)
