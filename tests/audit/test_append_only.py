"""The database refuses what would rewrite history, on both engines."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.log import Entry, record
from audit.models import ChainHead, Event, Payload
from audit.verify import verify

pytestmark = [pytest.mark.database, pytest.mark.django_db]

EVENTS = "events are never changed or deleted"
PAYLOADS = "a payload may only be erased"
NEXT = "inserted only as the next link"


@pytest.fixture(autouse=True)
def _three_events(db: None) -> None:
    with transaction.atomic():
        record(*(Entry(Event.Action.MESSAGE_HELD, payload={"n": n}) for n in range(3)), by="person:p")
    connection.check_constraints()


def refuses(sentence: str, sql: str) -> None:
    with pytest.raises(IntegrityError, match=sentence), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    assert verify().ok


def test_an_event_cannot_be_changed() -> None:
    refuses(EVENTS, "UPDATE audit_event SET action = 'message.sent' WHERE seq = 2")


def test_an_event_cannot_be_deleted() -> None:
    refuses(EVENTS, "DELETE FROM audit_event WHERE seq = 3")


def test_the_orm_is_refused_alike() -> None:
    with pytest.raises(IntegrityError, match=EVENTS), transaction.atomic():
        Event.objects.filter(seq=2).update(actor="somebody else")


def test_a_payload_cannot_be_changed() -> None:
    refuses(PAYLOADS, """UPDATE audit_payload SET body = '{"n": 9}' WHERE event_id = 2""")


def test_a_payload_cannot_be_given_to_another_event() -> None:
    refuses(PAYLOADS, "UPDATE audit_payload SET event_id = 9, body = NULL, salt = '' WHERE event_id = 3")


def test_a_payload_cannot_lose_its_body_and_keep_its_salt() -> None:
    refuses(PAYLOADS, "UPDATE audit_payload SET body = NULL WHERE event_id = 3")


def test_a_payload_cannot_be_deleted() -> None:
    refuses(PAYLOADS, "DELETE FROM audit_payload WHERE event_id = 3")


def test_a_payload_can_be_erased_and_the_chain_stays_whole() -> None:
    assert Payload.objects.filter(event_id=2).erase() == 1
    assert Payload.objects.get(event_id=2).body is None
    assert verify().ok


def test_an_erased_payload_cannot_be_filled_again() -> None:
    Payload.objects.filter(event_id=2).erase()
    refuses(PAYLOADS, """UPDATE audit_payload SET body = '{"n": 1}' WHERE event_id = 2""")


@pytest.mark.parametrize(("seq", "prev_seq"), [(2, 1), (5, 3), (4, 2), (0, None)])
def test_an_event_is_inserted_only_after_the_last_one(seq: int, prev_seq: int | None) -> None:
    hashes: dict[int | None, str] = dict(Event.objects.values_list("seq", "hash"))
    stray = Event(seq=seq, at=timezone.now(), hash="new", prev_hash=hashes.get(prev_seq, ""))
    with pytest.raises(IntegrityError), transaction.atomic():
        stray.save(force_insert=True)
    assert verify().ok


COLUMNS = ", ".join(field.attname for field in Event._meta.concrete_fields)
WAYS_ROUND = {
    "sqlite": [
        # REPLACE deletes without firing the triggers of DELETE
        f"INSERT OR REPLACE INTO audit_event SELECT {COLUMNS} FROM audit_event WHERE seq = 2",
        f"INSERT OR REPLACE INTO audit_event SELECT {COLUMNS.replace('seq', 'seq + 2')} FROM audit_event"
        " WHERE seq = 2",
        "INSERT OR REPLACE INTO audit_payload SELECT * FROM audit_payload WHERE event_id = 2",
    ],
    "postgresql": [
        f"INSERT INTO audit_event SELECT {COLUMNS} FROM audit_event WHERE seq = 2"
        " ON CONFLICT (seq) DO UPDATE SET actor = 'x'",
        "TRUNCATE audit_event, audit_payload",
        "TRUNCATE audit_payload",
    ],
}


@pytest.mark.parametrize("sql", WAYS_ROUND[connection.vendor])
def test_ways_round_update_and_delete_are_closed(sql: str) -> None:
    refuses(f"{EVENTS}|{PAYLOADS}|{NEXT}", sql)


@pytest.mark.django_db(transaction=True)
def test_migrating_back_and_forth_restores_head_and_triggers() -> None:
    call_command("flush", interactive=False, verbosity=0)
    call_command("migrate", "audit", "0001", verbosity=0, stdout=StringIO())
    call_command("migrate", "audit", verbosity=0, stdout=StringIO())
    assert ChainHead.objects.get().pk == 1
    with transaction.atomic():
        record(Entry(Event.Action.MESSAGE_HELD), by="person:p")
    refuses(EVENTS, "DELETE FROM audit_event")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_a_transactional_test_begins_with_an_empty_log(turn: int) -> None:
    """The flush after the first turn restores the head and the triggers for the second."""
    assert Event.objects.count() == 3
    refuses(EVENTS, "DELETE FROM audit_event")
