"""A closed connection is used again, and whoever gets it finds nothing of whoever had it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from config.sqlite.base import DatabaseWrapper
from config.sqlite.spares import MOST, Spares
from mailboxes.models import Suppression


@pytest.fixture
def ours(transactional_db: None) -> Iterator[DatabaseWrapper]:
    wrapper = connections["default"]
    if not isinstance(wrapper, DatabaseWrapper):
        pytest.skip("no SQLite: PostgreSQL has a pool of its own")
    wrapper.ensure_connection()
    yield wrapper
    wrapper.close()


def reopened(wrapper: DatabaseWrapper) -> Any:
    wrapper.close()
    assert wrapper.connection is None
    wrapper.ensure_connection()
    return wrapper.connection


def test_it_is_used_again(ours: DatabaseWrapper) -> None:
    former = ours.connection
    assert reopened(ours) is former


def test_what_was_not_committed_is_gone(ours: DatabaseWrapper) -> None:
    former = ours.connection
    transaction.set_autocommit(False)
    Suppression.objects.create(address="x@far.test", reason="never committed")
    assert reopened(ours) is former
    assert not former.in_transaction
    assert not Suppression.objects.exists()
    Suppression.objects.create(address="y@far.test", reason="nobody holds the turn")


def test_a_query_that_was_not_read_to_its_end_pins_nothing(ours: DatabaseWrapper) -> None:
    """It would go on showing the database as it was, and refuse every write."""
    Suppression.objects.create(address="x@far.test", reason="x")
    Suppression.objects.create(address="y@far.test", reason="y")
    cursor = ours.cursor()
    cursor.execute("SELECT address FROM mailboxes_suppression")
    assert cursor.fetchone()
    reopened(ours)
    with sqlite3.connect(str(ours.settings_dict["NAME"])) as other:
        other.execute("DELETE FROM mailboxes_suppression")
    other.close()
    assert not Suppression.objects.exists()
    Suppression.objects.create(address="z@far.test", reason="z")


def test_one_that_has_failed_is_not(ours: DatabaseWrapper) -> None:
    former = ours.connection
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM mailboxes_suppression")
    assert reopened(ours) is not former
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        former.execute("SELECT 1")


def test_constraints_that_were_turned_off_are_on_again(ours: DatabaseWrapper) -> None:
    """As a migration or a fixture that fails leaves it."""
    ours.disable_constraint_checking()
    reopened(ours)
    with ours.cursor() as cursor:
        assert cursor.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_one_that_is_broken_is_not(ours: DatabaseWrapper) -> None:
    former = ours.connection
    former.close()
    assert reopened(ours) is not former


@pytest.fixture
def opened() -> Iterator[list[sqlite3.Connection]]:
    made = [sqlite3.connect(":memory:") for _ in range(MOST + 1)]
    yield made
    for one in made:
        one.close()


def test_only_so_many_rest(opened: list[sqlite3.Connection]) -> None:
    resting = Spares()
    assert [resting.keep("a", one) for one in opened] == [True] * MOST + [False]


def test_each_database_has_its_own(opened: list[sqlite3.Connection]) -> None:
    resting = Spares()
    assert resting.keep("a", opened[0])
    assert resting.take("b") is None
    assert resting.take("a") is opened[0]


def test_none_crosses_a_fork(opened: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    resting, parent = Spares(), os.getpid()
    resting.keep("a", opened[0])
    with monkeypatch.context() as in_child:
        in_child.setattr(os, "getpid", lambda: parent + 1)
        assert resting.take("a") is None
        resting.close()
    assert resting.take("a") is opened[0]
    opened[0].execute("SELECT 1")


def test_at_the_end_all_are_closed_and_no_log_is_left(tmp_path: Path) -> None:
    resting, path = Spares(), tmp_path / "database"
    one = sqlite3.connect(path)
    one.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (x)")
    resting.keep("a", one)
    assert {file.name for file in tmp_path.iterdir()} > {"database"}
    resting.close()
    assert {file.name for file in tmp_path.iterdir()} == {"database"}
