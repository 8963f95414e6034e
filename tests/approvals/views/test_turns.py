"""What a model wrote, in one short line."""

from __future__ import annotations

import pytest

from approvals.templatetags.words import pretty
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
    assert pretty("[" * 100_000).startswith("[[[")


def test_half_a_character_laid_out_can_be_shown() -> None:
    assert pretty('{"a": "x\\ud800y"}') == '{\n  "a": "x\ufffdy"\n}'
