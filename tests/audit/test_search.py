"""An auditor finds events by any id, through an index."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from audit.log import Entry, Subject, record
from audit.models import Event
from audit.search import find

pytestmark = [pytest.mark.database, pytest.mark.django_db]

IDS = {
    "assistant": "assistant_id",
    "thread": "thread_id",
    "run": "run_id",
    "call": "tool_call_id",
    "email": "email_id",
    "mailbox": "mailbox_id",
}


@pytest.mark.parametrize(("name", "column"), IDS.items())
def test_events_are_found_by_one_id_newest_first(name: str, column: str) -> None:
    with transaction.atomic():
        record(
            *(Entry(Event.Action.MESSAGE_HELD, Subject(**{column: value})) for value in ("a", "b", "a", "")),
            by="assistant:a",
        )
    assert [event.seq for event in find(**{name: "a"})] == [3, 1]
    assert [event.seq for event in find(**{name: "a"}).filter(seq__lt=3)] == [1]


def test_several_ids_narrow_together() -> None:
    with transaction.atomic():
        record(
            Entry(Event.Action.MESSAGE_HELD, Subject(run_id="r", email_id="e")),
            Entry(Event.Action.MESSAGE_HELD, Subject(run_id="r", email_id="f")),
            by="assistant:a",
        )
    assert [event.seq for event in find(run="r", email="e")] == [1]


def test_without_an_id_everything_is_found() -> None:
    with transaction.atomic():
        record(Entry(Event.Action.MESSAGE_HELD), Entry(Event.Action.MESSAGE_SENT), by="policy")
    assert [event.seq for event in find()] == [2, 1]


def test_every_search_goes_through_the_index_of_its_id() -> None:
    """Among enough events, with a hundred values in each column, that a planner has a choice."""
    ids = ({column: f"{column}{n % 100}" for column in IDS.values()} for n in range(3000))
    with transaction.atomic():
        record(*(Entry(Event.Action.MESSAGE_HELD, Subject(**each)) for each in ids), by="policy")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for name, column in IDS.items():
        plan = find(**{name: f"{column}7"})[:50].explain()
        assert f"event_{column[:-3]}" in plan, plan
