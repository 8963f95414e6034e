"""What a model wrote, in one short line."""

from __future__ import annotations

import pytest

from approvals.views.turns import summary


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (
            '{"to": "a@b.test", "cc": ["c@d.test", "e@f.test"], "bcc": []}',
            "to: a@b.test, cc: c@d.test, e@f.test",
        ),
        ('{"a\\ud800": "b\\udfff"}', "a\ufffd: b\ufffd"),
        ('["\\ud800", 1]', '["\ufffd", 1]'),
        ("{no json", "{no json"),
    ],
)
def test_arguments_in_one_line(arguments: str, shown: str) -> None:
    assert summary(arguments) == shown


def test_arguments_too_deep_to_read_are_shown_as_they_are() -> None:
    assert summary("[" * 100_000).startswith("[[[")
