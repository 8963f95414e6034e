"""How fast this machine puts bytes on disk: what every durable decision costs at the least."""

from __future__ import annotations

import os
import time
from pathlib import Path

PAGE = b"\0" * 4096  # about what one commit appends to SQLite's write-ahead log


def fsyncs(directory: Path, count: int) -> list[float]:
    """The seconds that each of `count` fsyncs of a small append took."""
    path = directory / "fsync"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        return [_append(file) for _ in range(count)]
    finally:
        os.close(file)
        path.unlink()


def _append(file: int) -> float:
    os.write(file, PAGE)
    start = time.perf_counter()
    os.fsync(file)
    return time.perf_counter() - start
