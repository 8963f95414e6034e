"""Lets a transactional test empty the log afterwards: the triggers step aside for the flush alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from audit import triggers


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_triggers() -> Iterator[None]:
    flush = type(connection.ops).execute_sql_flush

    def flush_without_triggers(operations: Any, statements: Any) -> None:
        with transaction.atomic(using=operations.connection.alias):
            triggers.drop(operations.connection)
            flush(operations, statements)
            triggers.create(operations.connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(connection.ops), "execute_sql_flush", flush_without_triggers)
        yield
