"""Runs on somebody else's server, at work, for the pages that show them."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from approvals import tasks
from approvals.models import OutboundMessage, OutboxEntry
from approvals.views.timeline import Entry
from assistants.models import Assistant, Connection, Run
from mailboxes.models import Mailbox
from tests.approvals import living
from tests.approvals.far_side import FarSide

SEND = ("send_email", '{"to": "a@b.example", "subject": "One", "body": "b"}')
OTHER = ("send_email", '{"to": "a@b.example", "subject": "Two", "body": "b"}')
INBOX = ("check_inbox", "{}")


def a_run(
    assistant: Assistant, mailbox: Mailbox, far: FarSide, *calls: tuple[str, str], lives: int = 0
) -> Run:
    """It waits for `calls`, taken through the gate. `lives`: seconds until it expires."""
    run = living.a_waiting_run(assistant, mailbox, *calls)
    expires_at = timezone.now() + timedelta(seconds=lives) if lives else None
    far.begin(run, *run.calls.order_by("position"), expires_at=expires_at)
    tasks.sync_runs()
    run.refresh_from_db()
    return run


def work() -> None:
    """Until nothing moves any more."""
    for _ in range(6):
        OutboxEntry.objects.filter(done_at=None).update(due_at=timezone.now(), leased_until=None)
        Run.objects.exclude(sync_due_at=None).update(sync_due_at=timezone.now())
        Connection.objects.update(polls_whole_at=0)
        tasks.deliver()
        tasks.receive()
        tasks.drain()
        tasks.drive()
        tasks.sync_runs()


def held() -> OutboundMessage:
    message = OutboundMessage.objects.pending().first()
    assert message
    return message


def shown(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def entries(client: Client, run: Run) -> list[Entry]:
    found: list[Entry] = client.get(f"/runs/{run.pk}").context["account"].timeline.entries
    return found


def told(client: Client, run: Run) -> list[str]:
    """What the timeline says, in its order."""
    return [entry.step.title for entry in entries(client, run)]
