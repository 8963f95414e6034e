"""Drawings of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.charts import HEIGHT, bars, nice


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 2), (1, 2), (2, 2), (3, 4), (7, 8), (10, 10), (11, 20), (21, 40), (101, 200)],
)
def test_the_upper_edge_is_a_round_number_with_a_whole_half(value: int, top: int) -> None:
    assert nice(value) == top


@given(st.lists(st.integers(0, 10**9), max_size=40))
def test_every_bar_stands_on_the_ground_and_reaches_as_high_as_its_value(values: list[int]) -> None:
    chart = bars([(str(at), value) for at, value in enumerate(values)])
    assert chart.total == sum(values)
    for bar, value in zip(chart.bars, values, strict=True):
        assert bar.y + bar.height == pytest.approx(HEIGHT)
        assert 0 <= bar.height <= HEIGHT
        assert (bar.height > 0) == (value > 0)
        assert bar.x + 8 <= chart.width
    assert chart.top >= max(values, default=0)
    assert chart.middle * 2 == chart.top
