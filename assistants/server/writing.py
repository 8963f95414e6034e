"""The steps of one turn: what the model said, then what it called.

For a run that somebody streams they are opened at the first piece and grow before its eyes; otherwise
they are written when the answer is whole. There is one message and one set of calls to a turn: an
attempt that takes the place of a worker that died takes its rows up again, and tells its readers so by
the same `created` events.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from assistants.server import leases, streams
from assistants.server.bodies import written
from assistants.server.models import Message, Run, Step
from assistants.server.objects import usage
from assistants.server.turn import Closing, Json, Piece, Reply
from audit.ids import new_id


class Writing:
    def __init__(self, run: Run, turn: int) -> None:
        self.run, self.turn = run, turn
        self.call_ids: list[str] = []
        self._said: tuple[Step, Message] | None = None
        self._called: Step | None = None
        self._pending: list[Piece] = []

    @property
    def has_shown(self) -> bool:
        """Whether a reader has been given anything that can't be taken back."""
        return bool(self._said or self._called)

    @property
    def is_behind(self) -> bool:
        return bool(self._pending)

    def take(self, part: Piece | Closing) -> None:
        if isinstance(part, Piece) and self.run.stream_after is not None:
            self._pending.append(part)

    def show(self) -> None:
        """Give what has come since to the readers. Raises Lost if the run is no longer this worker's."""
        with transaction.atomic():
            if not leases.settle(self.run, due_at=timezone.now() + leases.LEASE):
                raise leases.Lost
            self._show()

    def _show(self) -> None:
        pieces, self._pending = self._pending, []
        if text := "".join(piece.text for piece in pieces if piece.call is None):
            streams.emit_text(self.run, self._open_message()[1], text)
        if calls := self._call_deltas([piece for piece in pieces if piece.call is not None]):
            streams.emit_calls(self._open_calls(), calls)

    def _call_deltas(self, pieces: list[Piece]) -> list[Json]:
        """One delta for each call; the first one of a call carries its id, which is ours."""
        deltas: dict[int, Json] = {}
        for piece in pieces:
            number = piece.call or 0
            delta = deltas.setdefault(number, self._call_delta(number))
            function = delta["function"]
            function["arguments"] += piece.arguments
            if piece.name:
                function["name"] = function.get("name", "") + piece.name
        return list(deltas.values())

    def _call_delta(self, number: int) -> Json:
        delta: Json = {"index": number, "type": "function", "function": {"arguments": ""}}
        if number < len(self.call_ids):
            return delta
        # ids of our own: some servers repeat theirs from turn to turn
        self.call_ids.append(new_id("call"))
        delta["function"] = {"name": "", "arguments": "", "output": None}
        return {"index": number, "id": self.call_ids[number]} | delta

    def _open_message(self) -> tuple[Step, Message]:
        if self._said is None:
            step = self._open_step(Step.Type.MESSAGE)
            message = self._message_of(step)
            streams.emit_message(self.run, message, "created")
            streams.emit_message(self.run, message, "in_progress")
            self._said = step, message
        return self._said

    def _message_of(self, step: Step) -> Message:
        found = Message.objects.filter(id=step.message_id).first()
        if found is None:
            found = self._new_message(step, status=Message.Status.IN_PROGRESS, content=[])
        found.thread, found.run = self.run.thread, self.run
        return found

    def _new_message(self, step: Step, **fields: object) -> Message:
        return Message.objects.create(
            id=step.message_id, thread=self.run.thread, run=self.run, role="assistant", **fields
        )

    def _open_calls(self) -> Step:
        if self._called is None:
            self._called = self._open_step(Step.Type.CALLS)
        return self._called

    def _open_step(self, kind: Step.Type) -> Step:
        left = self.run.steps.filter(type=kind, turn=self.turn, status=Step.Status.IN_PROGRESS)
        step = left.first()
        if step is None:
            step = self.run.steps.create(
                type=kind,
                turn=self.turn,
                status=Step.Status.IN_PROGRESS,
                message_id=new_id("msg") if kind == Step.Type.MESSAGE else "",
            )
        step.run = self.run
        streams.emit_step(step, "created")
        streams.emit_step(step, "in_progress")
        return step

    def finish(self, reply: Reply) -> Step | None:
        """Write the whole answer. Returns the step whose calls are open, if there are any.

        The caller has locked the run's row.
        """
        for number, call in enumerate(reply.calls):
            if not call.arguments:
                self.take(Piece(call=number, arguments="{}"))
                call.arguments = "{}"
        self._show()
        tokens = usage(reply.closing.prompt_tokens, reply.closing.completion_tokens)
        calls = not reply.closing.cut_short and bool(reply.calls)
        if reply.text:
            # the tokens of a turn are counted on its last step
            self._finish_message(reply, usage(0, 0) if calls else tokens)
        return self._finish_calls(reply, tokens) if calls else None

    def _finish_message(self, reply: Reply, tokens: Json) -> None:
        (step, message), now = self._open_message(), timezone.now()
        message.content, message.ended_at = [written(reply.text)], now
        message.status = Message.Status.COMPLETED
        if reply.closing.cut_short:
            message.status, message.incomplete_reason = Message.Status.INCOMPLETE, "max_tokens"
        message.save(update_fields=["content", "ended_at", "status", "incomplete_reason"])
        streams.emit_message(self.run, message)
        step.status, step.ended_at, step.usage = Step.Status.COMPLETED, now, tokens
        step.save(update_fields=["status", "ended_at", "usage"])
        streams.emit_step(step)

    def _finish_calls(self, reply: Reply, tokens: Json) -> Step:
        step = self._open_calls()
        self.call_ids += [new_id("call") for _ in reply.calls[len(self.call_ids) :]]
        newest = self.run.thread.messages.order_by("-seq").values_list("seq", flat=True).first()
        step.calls = [
            {"id": id, "name": call.name, "arguments": call.arguments, "output": None}
            for id, call in zip(self.call_ids, reply.calls, strict=True)
        ]
        step.after, step.usage = newest or 0, tokens
        step.save(update_fields=["calls", "after", "usage"])
        return step
