"""Identifiers: a type prefix and a ULID, so that ids sort by the time they were made."""

from ulid import ULID


def new_id(prefix: str) -> str:
    return f"{prefix}_{ULID()}"
