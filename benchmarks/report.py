"""What a benchmark found: printed as a table, kept as JSON, compared run to run.

`python -m benchmarks.report BEFORE.json AFTER.json` prints the medians of both side by side.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from django.utils import timezone

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """Durations in milliseconds."""

    n: int
    min: float
    median: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        ordered = sorted(value * 1000 for value in seconds)
        return cls(
            len(ordered),
            *(
                round(value, 3)
                for value in (
                    ordered[0],
                    statistics.median(ordered),
                    _nearest_rank(ordered, 90),
                    _nearest_rank(ordered, 99),
                    ordered[-1],
                )
            ),
        )


def _nearest_rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[-(-len(ordered) * percent // 100) - 1]


@dataclass(frozen=True, slots=True)
class Target:
    """`figure`'s `quantile` is to stay under `limit` milliseconds."""

    figure: str
    quantile: str
    limit: float


def machine() -> dict[str, Any]:
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load average before": _load(),
    }


def _load() -> str:
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"


@dataclass(slots=True)
class Report:
    benchmark: str
    settings: dict[str, Any]
    targets: Sequence[Target] = ()
    figures: dict[str, Figure] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=machine)
    at: str = field(default_factory=lambda: timezone.now().isoformat(timespec="seconds"))

    def add(self, name: str, seconds: Sequence[float]) -> Figure:
        self.figures[name] = figure = Figure.of(seconds)
        return figure

    def is_met(self, target: Target) -> bool:
        return float(getattr(self.figures[target.figure], target.quantile)) < target.limit

    def table(self) -> str:
        width = max(map(len, self.figures))
        head = f"{'milliseconds':{width}}      n      min   median      p90      p99      max"
        rows = [
            f"{name:{width}} {f.n:6d} {f.min:8.2f} {f.median:8.2f} {f.p90:8.2f} {f.p99:8.2f} {f.max:8.2f}"
            for name, f in self.figures.items()
        ]
        facts = [f"{name}: {value}" for name, value in (self.settings | self.machine).items()]
        return "\n".join((self.benchmark, *facts, "", head, *rows, "", *self.remarks, *self._verdicts()))

    def _verdicts(self) -> list[str]:
        return [
            f"{'met   ' if self.is_met(t) else 'MISSED'}  {t.figure}: {t.quantile} under {t.limit:g} ms"
            for t in self.targets
        ]

    def save(self, path: Path) -> None:
        found = {"format": FORMAT} | asdict(self)
        path.write_text(json.dumps(found, indent=2) + "\n")


def note_load(report: Report) -> None:
    """Others on the machine are the first thing to ask about where two runs differ."""
    report.machine["load average after"] = _load()


def compare(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The medians and 99th percentiles of what both measured."""
    if before["benchmark"] != after["benchmark"] or before["format"] != after["format"]:
        raise SystemExit("These are reports of different benchmarks, or of different formats.")
    both = [name for name in before["figures"] if name in after["figures"]]
    width = max(map(len, both))
    lines = [f"{'milliseconds':{width}}     median                    p99"]
    for name in both:
        old, new = before["figures"][name], after["figures"][name]
        lines.append(f"{name:{width}} {_change(old, new, 'median')}   {_change(old, new, 'p99')}")
    return "\n".join(lines)


def _change(old: dict[str, float], new: dict[str, float], quantile: str) -> str:
    times = new[quantile] / old[quantile] if old[quantile] else 0
    return f"{old[quantile]:8.2f} → {new[quantile]:8.2f} ({times:4.2f} times)"


if __name__ == "__main__":
    print(compare(*(json.loads(Path(name).read_text()) for name in sys.argv[1:3])))
