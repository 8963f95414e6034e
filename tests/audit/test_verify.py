"""Whatever is changed behind the log's back is found, and the first bad event is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from audit import triggers
from audit.log import CHAINED, Entry, Subject, event_hash, record
from audit.models import ChainHead, Event, Payload
from audit.verify import verify

pytestmark = [pytest.mark.database, pytest.mark.django_db]

EVENTS = 6


@pytest.fixture(autouse=True)
def unguarded(db: None) -> Iterator[None]:
    """Six events, and triggers that are out of the way, as for somebody who owns the database."""
    with transaction.atomic():
        for number in range(EVENTS):
            entry = Entry(Event.Action.MESSAGE_HELD, Subject(run_id=f"run_{number}"), {"number": number})
            record(entry, by="person:p")
    connection.check_constraints()
    with transaction.atomic():
        triggers.drop(connection)
        yield
        transaction.set_rollback(True)


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for sql in statements:
            cursor.execute(sql)


def found(seq: int, why: str) -> None:
    verdict = verify()
    assert (verdict.ok, verdict.first_bad) == (False, seq), verdict
    assert why in verdict.sentence


def test_an_untouched_chain_is_whole() -> None:
    assert verify().ok
    assert verify().checked == EVENTS


def test_an_empty_log_is_whole() -> None:
    run(
        "DELETE FROM audit_payload",
        "DELETE FROM audit_event",
        "UPDATE audit_chainhead SET seq = 0, hash = ''",
    )
    assert verify().ok


def test_a_changed_action_is_found() -> None:
    run("UPDATE audit_event SET action = 'message.sent' WHERE seq = 3")
    found(3, "was changed")


def test_a_changed_action_with_a_new_hash_is_found_at_the_next_event() -> None:
    event = Event.objects.get(seq=3)
    event.action = Event.Action.MESSAGE_SENT
    Event.objects.filter(seq=3).update(action=event.action, hash=event_hash(event))
    found(4, "does not continue")


def test_the_last_event_with_a_new_hash_is_found_at_the_head() -> None:
    event = Event.objects.get(seq=EVENTS)
    event.actor = "person:q"
    Event.objects.filter(seq=EVENTS).update(actor=event.actor, hash=event_hash(event))
    found(EVENTS, "head of the chain")


def test_a_changed_payload_is_found() -> None:
    Payload.objects.filter(event_id=4).update(body={"number": 5})
    found(4, "payload of event 4 was changed")


def test_a_changed_payload_hash_is_found() -> None:
    run(f"UPDATE audit_event SET payload_hash = '{'0' * 64}' WHERE seq = 2")
    found(2, "was changed")


def test_a_missing_payload_is_found() -> None:
    run("DELETE FROM audit_payload WHERE event_id = 5")
    found(5, "payload of event 5 is missing")


def test_a_removed_event_is_found() -> None:
    run("DELETE FROM audit_payload WHERE event_id = 3", "DELETE FROM audit_event WHERE seq = 3")
    found(3, "is missing: event 4 stands in its place")


@pytest.mark.parametrize("removed", [1, 3, EVENTS])
def test_a_removed_tail_is_found(removed: int) -> None:
    last = EVENTS - removed
    run(f"DELETE FROM audit_payload WHERE event_id > {last}", f"DELETE FROM audit_event WHERE seq > {last}")
    found(last + 1, f"the head of the chain is at {EVENTS}")


def an_event_at(seq: int, prev_hash: str) -> None:
    event = Event.objects.get(seq=1)
    event.seq, event.prev_hash = seq, prev_hash
    event.hash = event_hash(event)
    event.save(force_insert=True)


def test_an_event_added_at_the_end_is_found() -> None:
    an_event_at(EVENTS + 1, ChainHead.objects.get().hash)
    found(EVENTS + 1, "stands beyond the head")


def test_an_event_added_before_the_first_is_found() -> None:
    an_event_at(0, "")
    found(1, "event 0 stands in its place")


def test_two_swapped_events_are_found() -> None:
    run(*(f"UPDATE audit_event SET seq = {to} WHERE seq = {seq}" for seq, to in ((2, 99), (4, 2), (99, 4))))
    found(2, "does not continue")


@pytest.mark.parametrize(
    ("change", "seq", "why"),
    [
        ("UPDATE audit_chainhead SET seq = 4", 4, "head of the chain"),
        ("UPDATE audit_chainhead SET seq = 9", EVENTS + 1, "head of the chain is at 9"),
        ("UPDATE audit_chainhead SET hash = 'x'", EVENTS, "does not have the hash"),
        ("UPDATE audit_chainhead SET seq = 0, hash = ''", 1, "stands beyond the head"),
        ("DELETE FROM audit_chainhead", 0, "is missing"),
    ],
)
def test_a_changed_head_is_found(change: str, seq: int, why: str) -> None:
    run(change)
    found(seq, why)


UNREADABLE = {
    "sqlite": ["'yesterday'", "'2026-13-45 99:00:00'", "x'ff'", "CAST(x'ff' AS TEXT)"],
    "postgresql": ["'infinity'", "'0044-03-15 12:00:00 BC'"],
}


@pytest.mark.parametrize("value", UNREADABLE[connection.vendor])
def test_a_column_that_cannot_be_read_is_found(value: str) -> None:
    run(f"UPDATE audit_event SET at = {value} WHERE seq = 3")
    verdict = verify()
    assert not verdict.ok
    assert verdict.first_bad is not None
    assert verdict.first_bad <= 3


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=32)
numbers = st.integers(EVENTS + 1, 2**63 - 1) | st.integers(-(2**63), 0)
moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zone beside it
bodies = st.dictionaries(texts, st.integers(7))
TAMPERING: dict[tuple[Any, str], st.SearchStrategy[Any]] = {
    **{(Event, name): texts for name in (*CHAINED, "hash")},
    (Event, "seq"): numbers,
    (Event, "at"): moments,
    (Payload, "event_id"): numbers,
    (Payload, "salt"): texts,
    (Payload, "body"): bodies,
    (ChainHead, "seq"): numbers | st.integers(0, EVENTS - 1),
    (ChainHead, "hash"): texts,
}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), place=st.sampled_from(sorted(TAMPERING, key=str)), seq=st.integers(1, EVENTS))
def test_any_change_of_any_field_is_found(data: Any, place: tuple[Any, str], seq: int) -> None:
    model, name = place
    row = model.objects.filter(pk=1 if model is ChainHead else seq)
    value = data.draw(TAMPERING[place])
    assume(value != row.values_list(name, flat=True).get())
    with transaction.atomic():
        row.update(**{name: value})
        verdict = verify()
        transaction.set_rollback(True)
    assert not verdict.ok
    assert verify().ok


def test_the_command_says_that_the_chain_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify_audit")
    assert capsys.readouterr().out == f"{EVENTS} events, chain whole\n"


def test_the_command_names_the_first_bad_event() -> None:
    run("UPDATE audit_event SET actor = 'nobody' WHERE seq >= 3")
    with pytest.raises(CommandError, match=r"^Event 3 was changed.*2 events before it are good") as refusal:
        call_command("verify_audit")
    assert refusal.value.returncode == 1


def test_verifying_costs_three_queries_whatever_the_length(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(3):  # head, the walk, beyond the head
        assert verify().ok
