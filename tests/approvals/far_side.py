"""A run server in memory, behind the interface of the runtimes; its journal is what the promises are about.

The real protocols are tested with servers on loopback; here the rules of waiting are, which are the same
for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from assistants import runtimes
from assistants.models import Run, ToolCall
from assistants.observe import OWN_ROW, SeenCall, Snapshot
from assistants.runtimes import Abilities, NotWaiting, Unreachable


@dataclass
class FarSide:
    can: Abilities = field(default_factory=Abilities)
    shows_outputs: bool = True
    runs: dict[str, Snapshot] = field(default_factory=dict)
    # every output that was accepted, in order: (run, call, output)
    journal: list[tuple[str, str, str]] = field(default_factory=list)
    started: list[tuple[str, str]] = field(default_factory=list)  # (thread, prompt)
    reads: int = 0
    _fault: str = ""

    @contextmanager
    def fault(self, kind: str) -> Iterator[None]:
        """`lost`: done, and the reply is lost. `down`: nothing is heard. `refused`: it won't."""
        self._fault = kind
        yield
        self._fault = ""

    def _before(self) -> None:
        if self._fault == "down":
            raise Unreachable("connection refused")
        if self._fault == "refused":
            raise runtimes.Refused("401 the key was revoked")
        if self._fault == "unauthorized":
            raise runtimes.Unauthorized("401 the key was revoked")

    def _after(self) -> None:
        if self._fault == "lost":
            raise Unreachable("the connection was closed before an answer came")

    def begin(self, run: Run, *calls: ToolCall, expires_at: datetime | None = None) -> None:
        """It serves `run`, which waits for `calls`."""
        seen = [SeenCall(call.call_id, call.name, call.arguments) for call in calls]
        self.runs[run.run_id] = Snapshot(
            run.run_id, run.thread_id, "asst_1", "requires_action", seen, expires_at=expires_at
        )

    def becomes(self, run: Run, status: str, *calls: SeenCall) -> None:
        self.runs[run.run_id] = replace(self.runs[run.run_id], status=status, calls=calls)

    def start(self, run: Run, *, again: bool) -> Snapshot:
        self._before()
        for seen in self.runs.values():
            if again and seen.metadata.get(OWN_ROW) == run.pk:
                return seen
            if self.can.locks and seen.thread_id == run.thread_id and seen.status not in Run.ENDED:
                raise runtimes.Locked(f"{seen.thread_id} already has an active run {seen.run_id}.")
        number = len(self.runs) + 1
        thread_id = run.thread_id or f"thread_far_{number}"
        self.started.append((thread_id, run.prompt))
        seen = Snapshot(f"run_far_{number}", thread_id, "asst_1", "queued", metadata={OWN_ROW: run.pk})
        self.runs[seen.run_id] = seen
        self._after()
        return seen

    def read(self, run: Run) -> Snapshot:
        self.reads += 1
        self._before()
        if run.run_id not in self.runs:
            raise runtimes.Gone(f"No run found with id '{run.run_id}'.")
        seen = self.runs[run.run_id]
        shown = {call: output for of, call, output in self.journal if of == run.run_id}
        return replace(seen, outputs=shown if self.shows_outputs else {})

    def submit(self, run: Run, calls: list[ToolCall]) -> None:
        self._before()
        seen = self.runs[run.run_id]
        if not {call.call_id for call in calls} <= seen.asked:
            raise NotWaiting(f'Runs in status "{seen.status}" do not accept tool outputs.')
        self.journal += [(run.run_id, call.call_id, call.output or "") for call in calls]
        given = {call.call_id for call in calls}
        left = [call for call in seen.calls if call.call_id not in given]
        self.runs[run.run_id] = replace(seen, status="requires_action" if left else "queued", calls=left)
        self._after()

    def outputs(self, run: Run) -> dict[str, str]:
        """By call id; fails if one call was given two."""
        of_run = [(call, output) for of, call, output in self.journal if of == run.run_id]
        assert len(dict(of_run)) == len(of_run), of_run
        return dict(of_run)
