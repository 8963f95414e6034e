from __future__ import annotations

import pytest

from assistants import runtimes
from tests.approvals.far_side import FarSide


@pytest.fixture
def far_side(monkeypatch: pytest.MonkeyPatch) -> FarSide:
    """The server of every run, in memory."""
    far = FarSide()
    monkeypatch.setattr(runtimes, "of", lambda run: far)
    return far
