"""Find what happened, by any id that an auditor holds."""

from __future__ import annotations

from django.db.models import QuerySet

from audit.models import Event


def find(
    *,
    assistant: str = "",
    thread: str = "",
    run: str = "",
    call: str = "",
    email: str = "",
    mailbox: str = "",
) -> QuerySet[Event]:
    """Newest first; the next page is `.filter(seq__lt=…)`. Ids that are not given don't narrow."""
    wanted = {
        "assistant_id": assistant,
        "thread_id": thread,
        "run_id": run,
        "tool_call_id": call,
        "email_id": email,
        "mailbox_id": mailbox,
    }
    events = Event.objects.order_by("-seq")
    for name, value in wanted.items():
        if value:
            # said outright, because SQLite does not conclude it and would pass by the partial index
            events = events.filter(**{name: value}).exclude(**{name: ""})
    return events
