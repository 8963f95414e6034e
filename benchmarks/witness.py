"""A server in a process of its own that says on stdout what it saw, and when."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[1]


class Witness:
    """`seen` maps each word to the moment (seconds since 1970) at which the server saw it first."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.process, self.lines = process, process.stdout
        self.port = int(self.lines.readline().split()[1])
        self.seen: dict[str, float] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    @classmethod
    @contextmanager
    def running(cls, module: str, *arguments: str) -> Iterator[Self]:
        words = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield cls(process)
            finally:
                process.terminate()

    def _listen(self) -> None:
        for line in self.lines:
            at, word = line.split(maxsplit=1)
            with self._changed:
                self.seen.setdefault(word.strip(), float(at))
                self._changed.notify_all()

    def wait_for(self, word: str, seconds: float = 60) -> float:
        with self._changed:
            if not self._changed.wait_for(lambda: word in self.seen, seconds):
                raise TimeoutError(f"{word} was not seen within {seconds:g} seconds")
            return self.seen[word]
