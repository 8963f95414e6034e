"""The benchmark runs from its start to its report, and what it reports can be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from benchmarks.decision_to_resume import FROM_ANSWER, POLLING, RESUMED
from benchmarks.report import Figure, Report, Target, compare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def benchmark(*arguments: str) -> str:
    told = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What was printed, and what was kept."""
    path = tmp_path_factory.mktemp("kept") / "report.json"
    few = ("--rounds", "3", "--warm-up", "1", "--callers", "2", "--directory", str(path.parent))
    printed = benchmark("benchmarks.decision_to_resume", *few, "--json", str(path))
    return printed, json.loads(path.read_text())


def test_being_woken_the_disk_and_polling_stand_side_by_side(kept: tuple[str, dict[str, Any]]) -> None:
    printed, report = kept
    counts = {name: figure["n"] for name, figure in report["figures"].items()}
    assert counts[RESUMED] == counts[FROM_ANSWER] == 3
    assert counts[POLLING] == 2
    assert counts["fsync before"] == counts["fsync after"] > 0
    for name in report["figures"]:
        assert name in printed


def test_one_thing_happens_after_the_other(kept: tuple[str, dict[str, Any]]) -> None:
    _, report = kept
    order = [
        "  the decision is on record",
        "  the mail server has the mail",
        "  the delivery is on record",
        RESUMED,
    ]
    medians = [report["figures"][name]["median"] for name in order]
    assert medians == sorted(medians)
    assert medians[0] > 0


def test_a_report_is_compared_with_another(kept: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "same.json"
    path.write_text(json.dumps(kept[1]))
    printed = benchmark("benchmarks.report", str(path), str(path))
    assert all(name in printed for name in kept[1]["figures"])
    assert "1.00 times" in printed


def test_reports_of_different_things_are_not_compared() -> None:
    with pytest.raises(SystemExit, match="different"):
        compare({"benchmark": "a", "format": 1}, {"benchmark": "b", "format": 1})


def test_a_figure_is_in_milliseconds_and_its_quantiles_were_measured() -> None:
    figure = Figure.of([n / 1000 for n in range(1, 101)])
    assert figure == Figure(n=100, min=1, median=50.5, p90=90, p99=99, max=100)


def test_a_target_that_is_missed_is_said_to_be_missed() -> None:
    report = Report("b", {}, [Target("slow", "median", 15), Target("fast", "p99", 15)])
    report.add("slow", [0.016, 0.017])
    report.add("fast", [0.001, 0.002])
    assert "MISSED  slow: median under 15 ms" in report.table()
    assert "met     fast: p99 under 15 ms" in report.table()
