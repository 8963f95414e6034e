"""The benchmark of mail that comes in: killed in the middle, it still ends with every message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.test_decision_to_resume import benchmark

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_every_message_is_read_although_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    few = ("--messages", "40", "--connections", "4", "--kill", "--directory", str(tmp_path))
    printed = benchmark("benchmarks.inbound", *few, "--json", str(path))
    report = json.loads(path.read_text())
    assert report["figures"]["accepted: MAIL to 250"]["n"] == 40
    assert "40 accepted in" in printed
    assert "All read" in printed
