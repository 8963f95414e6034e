"""Who works on what: nothing that waits for one server keeps another's work waiting."""

from __future__ import annotations

from collections import Counter

import pytest
from celery import current_app
from django.conf import settings
from django.db import transaction

from approvals import effects, gate, outbox, tasks
from approvals.models import OutboxEntry
from assistants.models import Assistant
from config.embedded.lanes import LANES
from mailboxes.models import Mailbox, RawMessage
from tests.approvals import living

Kind = OutboxEntry.Kind
OF = {
    "approvals.tasks.deliver": effects.DELIVERY,
    "approvals.tasks.receive": effects.INBOUND,
    "approvals.tasks.drain": effects.OTHERS,
    "approvals.tasks.post": effects.POSTS,
    "approvals.tasks.drive": effects.RUNS,
}


def test_each_promise_wakes_the_one_task_that_keeps_it() -> None:
    assert Counter(kind for kinds in OF.values() for kind in kinds) == Counter(Kind)
    for task, kinds in OF.items():
        assert {outbox.TASKS.get(kind, outbox.OTHERS) for kind in kinds} == {task}


def test_each_lane_is_a_task_and_each_task_of_the_outbox_has_one() -> None:
    current_app.loader.import_default_modules()
    assert set(LANES) <= set(current_app.tasks)
    assert set(OF) <= set(LANES)


def test_separate_workers_have_what_waits_for_models_and_run_servers_in_a_queue_of_its_own() -> None:
    apart = {task for task, route in settings.CELERY_TASK_ROUTES.items() if route["queue"] == "models"}
    slow = {"approvals.tasks.drive", "approvals.tasks.sync_runs", "assistants.server.tasks.advance_runs"}
    assert apart == slow


@pytest.mark.django_db
def test_mail_comes_in_past_runs_whose_server_hangs(assistant: Assistant, mailbox: Mailbox) -> None:
    """Whoever takes the mail never speaks to a run server."""
    for _ in range(5):
        run = living.a_waiting_run(assistant, mailbox, ("check_inbox", "{}"))
        run.calls.update(output="{}")
        with transaction.atomic():
            outbox.enqueue(Kind.RESUME_RUN, run.pk)
    raw = gate.receive(mailbox, "a@b.example", mailbox.address, b"Subject: x\r\n\r\nx")
    assert tasks.receive() == 1
    assert RawMessage.objects.get(pk=raw.pk).email
    assert OutboxEntry.objects.filter(kind=Kind.RESUME_RUN, attempts=0).count() == 5
