"""record() writes the same chain on both databases, whatever is put into it."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.log import Entry, Subject, event_hash, record
from audit.models import ChainHead, Event, Payload
from audit.verify import verify

pytestmark = pytest.mark.database

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.text(max_size=5), anything, max_size=4), name=st.text(max_size=20))
def test_whatever_is_recorded_verifies_when_read_back(body: dict[str, Any], name: str) -> None:
    with transaction.atomic():
        record(Entry(Event.Action.TOOL_CALLED, Subject(thread_id=name), body), by="assistant:a")
    verdict = verify()
    assert verdict.ok, verdict.sentence


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\ud83d", "\N{REPLACEMENT CHARACTER}"),
        ("žluťoučký 😀", "žluťoučký 😀"),
        (1e16, 10**16),
        (-0.0, 0),
        (0.1, 0.1),
        (math.nan, "nan"),
        (True, True),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (Event.Action.MESSAGE_SENT, "message.sent"),
        (("a", None), ["a", None]),
    ],
)
def test_a_payload_is_kept_as_json_that_both_databases_give_back(given: Any, kept: Any) -> None:
    with transaction.atomic():
        record(Entry(Event.Action.EMAIL_TAGGED, payload={"value": given}), by="person:p")
    assert Payload.objects.get().body == {"value": kept}
    assert verify().ok


@pytest.mark.django_db
def test_nul_in_an_id_does_not_stop_the_action() -> None:
    with transaction.atomic():
        record(Entry(Event.Action.RUN_STARTED, Subject(run_id="run\0")), by="assistant:a")
    assert Event.objects.get().run_id == "run\N{REPLACEMENT CHARACTER}"


@pytest.mark.django_db
def test_the_hash_of_a_moment_does_not_depend_on_its_zone() -> None:
    utc = Event(seq=1, at=datetime(2026, 1, 2, 3, tzinfo=UTC), action="run.started")
    prague = Event(seq=1, at=utc.at.astimezone(timezone(timedelta(hours=1))), action="run.started")
    assert event_hash(utc) == event_hash(prague)


@pytest.mark.django_db
def test_the_events_of_one_action_are_linked_in_their_order() -> None:
    with transaction.atomic():
        record(Entry(Event.Action.MESSAGE_HELD), Entry(Event.Action.MESSAGE_APPROVED), by="person:p")
    first, second = Event.objects.order_by("seq")
    assert (first.seq, first.action, first.prev_hash) == (1, "message.held", "")
    assert (second.seq, second.action, second.prev_hash) == (2, "message.approved", first.hash)
    head = ChainHead.objects.get()
    assert (head.pk, head.seq, head.hash) == (1, 2, second.hash)


@pytest.mark.django_db
def test_equal_payloads_have_different_hashes() -> None:
    entry = Entry(Event.Action.MESSAGE_HELD, payload={"to": ["ann@customer.test"]})
    with transaction.atomic():
        record(entry, entry, by="person:p")
    assert Event.objects.values("payload_hash").distinct().count() == 2


@pytest.mark.django_db
def test_nothing_to_record_touches_nothing(django_assert_num_queries: Any) -> None:
    with transaction.atomic(), django_assert_num_queries(0):
        record(by="person:p")


@pytest.mark.django_db(transaction=True)
def test_recording_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="end of a transaction"):
        record(Entry(Event.Action.MESSAGE_HELD), by="person:p")


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_leaves_no_gap() -> None:
    with transaction.atomic():
        record(Entry(Event.Action.MESSAGE_HELD), by="person:p")
        transaction.set_rollback(True)
    with transaction.atomic():
        record(Entry(Event.Action.MESSAGE_HELD), by="person:p")
    assert Event.objects.get().seq == 1
    assert verify().ok


@pytest.mark.django_db(transaction=True)
def test_twenty_writers_at_once_make_one_whole_chain() -> None:
    writers, rounds = 20, 20
    together = threading.Barrier(writers)
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            together.wait()
            for turn in range(rounds):
                with transaction.atomic():
                    record(Entry(Event.Action.EMAIL_READ, payload={"turn": turn}), by=f"key:{number}")
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    verdict = verify()
    assert (verdict.ok, verdict.checked) == (True, writers * rounds), verdict.sentence
