"""Identifiers: a type prefix and a ULID, so that ids sort by the time they were made."""

from datetime import datetime

from ulid import ULID

LATEST = 2**48 - 1  # milliseconds since 1970, in the year 10889


def new_id(prefix: str) -> str:
    return f"{prefix}_{ULID()}"


def first_id(prefix: str, at: datetime) -> str:
    """Not above any id that is made at or after `at`."""
    milliseconds = min(max(int(at.timestamp() * 1000), 0), LATEST)
    return f"{prefix}_{ULID.from_bytes(milliseconds.to_bytes(6, 'big') + bytes(10))}"
