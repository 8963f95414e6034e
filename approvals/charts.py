"""Bars drawn on the server. Pure: numbers in, places in a drawing out; the template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STEP, BAR, HEIGHT = 10, 8, 100


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: int
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    # what the upper edge stands for
    top: int

    @property
    def middle(self) -> int:
        return self.top // 2

    @property
    def width(self) -> int:
        return max(STEP, STEP * len(self.bars))

    @property
    def total(self) -> int:
        return sum(bar.value for bar in self.bars)

    @property
    def highest(self) -> Bar | None:
        return max(self.bars, key=lambda bar: bar.value, default=None)


def nice(value: int) -> int:
    """The least of 2, 4, 6, 8, 10, 20, 40 and so on that is not below `value`: half of it is whole."""
    power = 1
    while value > 10 * power:
        power *= 10
    return next(step * power for step in (2, 4, 6, 8, 10) if step * power >= value)


def bars(values: Sequence[tuple[str, int]]) -> Chart:
    """One bar for each (label, value), from the left."""
    top = nice(max((value for _, value in values), default=0))
    drawn = []
    for at, (label, value) in enumerate(values):
        # whatever is not nothing can be seen
        height = round(max(HEIGHT * value / top, 1.5), 2) if value else 0
        drawn.append(Bar(label, value, at * STEP + (STEP - BAR) // 2, HEIGHT - height, height))
    return Chart(tuple(drawn), top)
