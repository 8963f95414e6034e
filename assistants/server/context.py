"""What the model of a run gets to see."""

from __future__ import annotations

from django.db.models import Max

from assistants.server.models import Message, Run, Step
from assistants.server.turn import Called, Said, Turn


def turn_of(run: Run) -> Turn:
    limit = run.options.get("max_completion_tokens")
    return Turn(
        number=_next_turn(run),
        model=run.model,
        instructions=run.instructions,
        conversation=_conversation(run),
        tools=run.tools,
        options=run.options | ({"max_completion_tokens": limit - run.completion_tokens} if limit else {}),
        known=_known(run),
        streamed=run.stream_after is not None,
    )


def _next_turn(run: Run) -> int:
    """What is still open was left by an earlier attempt at the same turn."""
    over = run.steps.exclude(status=Step.Status.IN_PROGRESS)
    return (over.aggregate(newest=Max("turn"))["newest"] or 0) + 1


def spent(run: Run, over: int = 0) -> str:
    """The limit of tokens that the run has used up, and by so many more, or ""."""
    used = {"max_prompt_tokens": run.prompt_tokens, "max_completion_tokens": run.completion_tokens}
    limits = {name: limit + over for name in used if (limit := run.options.get(name))}
    return next((name for name, limit in limits.items() if used[name] >= limit), "")


def _conversation(run: Run) -> list[Said | Called]:
    """The thread's messages, and between them the calls that were answered, of this and of former runs."""
    messages = _messages(run)
    start = messages[0].seq if messages else 0
    steps = Step.objects.filter(
        run__thread=run.thread_id, type=Step.Type.CALLS, status=Step.Status.COMPLETED
    ).order_by("seq")
    placed: dict[tuple[int, int], Said | Called] = {
        (message.seq, 0): Said(message.role, message.content) for message in messages
    }
    for step in steps:
        if step.after >= start or step.run_id == run.pk:
            placed[step.after, step.seq] = Called(step.calls, this_run=step.run_id == run.pk)
    return [placed[place] for place in sorted(placed)]


def _messages(run: Run) -> list[Message]:
    newest = run.thread.messages.written().exclude(content=[]).order_by("-seq")
    last = (run.options.get("truncation_strategy") or {}).get("last_messages")
    return list(newest[:last] if last else newest)[::-1]


def _known(run: Run) -> dict[str, str]:
    known = {name: run.metadata[name] for name in ("mailbox_id", "email_id") if run.metadata.get(name)}
    if "mailbox_id" not in known:
        # by name: the links belong to a higher app
        links = run.owner.mailbox_links.order_by("pk").values_list("mailbox_id", flat=True)
        known |= {"mailbox_id": first} if (first := links.first()) else {}
    return known
