"""Writers of one process queue fairly, and nobody keeps the turn after an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from config.sqlite.base import DatabaseWrapper, FairLock
from mailboxes.models import Suppression


def wait_until_queued(lock: FairLock, number: int) -> None:
    end = time.monotonic() + 5
    while len(lock._queue) < number:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_came_first_is_served_first() -> None:
    lock, served = FairLock(), []
    assert lock.acquire(1)

    def take(number: int) -> None:
        assert lock.acquire(5)
        served.append(number)
        lock.release()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for number, thread in enumerate(threads, 1):
        thread.start()
        wait_until_queued(lock, number)
    lock.release()
    for thread in threads:
        thread.join(5)
    assert served == [0, 1, 2, 3, 4]


def test_who_gives_up_waiting_holds_up_nobody() -> None:
    lock = FairLock()
    assert lock.acquire(1)
    assert not lock.acquire(0.01)
    lock.release()
    assert lock.acquire(0)


def test_a_turn_handed_over_at_the_last_moment_is_not_lost() -> None:
    """Whoever times out while the lock is being passed has it, or somebody else does; never nobody."""
    lock, taken = FairLock(), []

    def hammer() -> None:
        for _ in range(200):
            if lock.acquire(0.0005):
                taken.append(1)
                lock.release()

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert taken
    assert lock.acquire(0)


@pytest.fixture
def lock(transactional_db: None) -> Iterator[FairLock]:
    wrapper = connections["default"]
    if not isinstance(wrapper, DatabaseWrapper):
        pytest.skip("no SQLite: the lock is for SQLite only")
    lock = wrapper._writer_lock()
    assert not lock._held
    yield lock
    assert not lock._held


def test_the_turn_lasts_as_long_as_the_transaction(lock: FairLock) -> None:
    with transaction.atomic():
        assert lock._held
    assert not lock._held


def test_a_rollback_ends_the_turn(lock: FairLock) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        _ = 1 / 0
    assert not lock._held


def test_a_failed_commit_ends_the_turn(lock: FairLock) -> None:
    """A deferred foreign key is refused only by COMMIT, after which the transaction must be rolled back."""

    @transaction.atomic
    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA defer_foreign_keys = ON")
            cursor.execute("INSERT INTO approvals_membership (user_id, mailbox_id) VALUES (1, 2)")

    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        write()
    assert not lock._held
    Suppression.objects.create(address="x@far.test", reason="a write goes through afterwards")


def test_closing_the_connection_ends_the_turn(lock: FairLock) -> None:
    with transaction.atomic():
        assert lock._held
        connection.close()
        assert not lock._held


def test_who_waits_too_long_gets_an_error_and_not_the_turn(lock: FairLock) -> None:
    options = connection.settings_dict["OPTIONS"]
    assert lock.acquire(1)
    former, options["timeout"] = options["timeout"], 0.01
    try:
        with pytest.raises(OperationalError, match="queue of writers"), transaction.atomic():
            pass
    finally:
        options["timeout"] = former
        lock.release()


def test_reading_takes_no_turn(lock: FairLock) -> None:
    assert lock.acquire(1)
    try:
        assert Suppression.objects.count() == 0
    finally:
        lock.release()


def test_eight_threads_write_at_once_and_none_is_refused(lock: FairLock) -> None:
    def write(number: int) -> None:
        for turn in range(10):
            with transaction.atomic():
                Suppression.objects.create(address=f"{number}.{turn}@far.test", reason="x")
        connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Suppression.objects.count() == 80
