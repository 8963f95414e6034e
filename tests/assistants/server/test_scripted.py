"""What a script makes the scripted model do, and which scripts are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.server.bodies import written
from assistants.server.scripted import NOTHING_FITS, answer, validate
from assistants.server.turn import Called, Piece, Reply, Said, Turn


def user(text: str) -> Said:
    return Said("user", [written(text)])


def answered(*outputs: str, this_run: bool = True) -> Called:
    calls = [
        {"id": f"c{n}", "name": "check_inbox", "arguments": "{}", "output": o} for n, o in enumerate(outputs)
    ]
    return Called(calls, this_run)


def turn(*conversation: Said | Called, number: int = 1, **known: str) -> Turn:
    return Turn(number, "m", "", conversation, [], {}, known)


def reply(script: Any, asked: Turn) -> Reply:
    whole = Reply()
    for part in answer(script, asked):
        whole.take(part)
    return whole


def say(when: dict[str, Any] | None, text: str) -> dict[str, Any]:
    return {"say": text} | ({} if when is None else {"when": when})


def arguments(script: list[dict[str, Any]], asked: Turn) -> list[dict[str, Any]]:
    return [json.loads(call.arguments) for call in reply(script, asked).calls]


def test_the_first_turn_that_fits_wins() -> None:
    script = [say({"contains": "refund"}, "one"), say({"contains": "REFUND now"}, "two"), say(None, "three")]
    assert reply(script, turn(user("A Refund NOW please"))).text == "one"
    assert reply(script[1:], turn(user("A Refund NOW please"))).text == "two"
    assert reply(script, turn(user("Hello"))).text == "three"


def test_contains_asks_the_newest_message_of_the_user() -> None:
    script = [say({"contains": "old"}, "one"), say(None, "two")]
    assert reply(script, turn(user("old"), Said("assistant", [written("old")]), user("new"))).text == "two"
    assert reply(script, turn(user("new"), user("old"), Said("assistant", [written("x")]))).text == "one"


def test_a_tool_result_is_looked_for_in_all_outputs_of_the_newest_turn_of_this_run() -> None:
    script = [say({"tool_result_contains": "sent"}, "thanks"), say(None, "waiting")]
    assert reply(script, turn(user("x"), answered("rejected", '{"status":"SENT"}'))).text == "thanks"
    assert reply(script, turn(user("x"), answered("sent"), answered("rejected"))).text == "waiting"
    assert reply(script, turn(answered("sent", this_run=False), user("x"))).text == "waiting"
    assert reply(script, turn(user("x"))).text == "waiting"


def test_all_given_conditions_must_hold() -> None:
    script = [say({"contains": "hello", "turn": 2}, "both"), say(None, "other")]
    assert reply(script, turn(user("hello"), number=2)).text == "both"
    assert reply(script, turn(user("hello"), number=1)).text == "other"
    assert reply(script, turn(user("bye"), number=2)).text == "other"


def test_where_nothing_fits_the_run_says_so() -> None:
    assert reply([say({"turn": 5}, "x")], turn(user("hello"))).text == NOTHING_FITS


def test_to_a_reader_it_speaks_word_by_word() -> None:
    asked = replace(turn(user("x")), streamed=True)
    pieces = list(answer([{"say": " One moment,\nplease. "}], asked))
    assert pieces == [Piece(" One "), Piece("moment,\n"), Piece("please. ")]
    name, *arguments = answer(CALL, asked)
    assert name == Piece(call=0, name="f")
    assert len(arguments) > 1
    assert reply(CALL, asked).calls == reply(CALL, turn(user("x"))).calls


CALL = [
    {"calls": [{"name": "f", "arguments": {"a": ["{email_id} in {mailbox_id}"], "b": 1, "c": "{other} {x"}}]}
]


def test_placeholders_are_filled_from_what_the_run_names() -> None:
    [given] = arguments(
        CALL, turn(user("x"), answered('{"id": "em_2"}'), mailbox_id="mbx_1", email_id="em_1")
    )
    assert given == {"a": ["em_1 in mbx_1"], "b": 1, "c": "{other} {x"}


@pytest.mark.parametrize(
    "output",
    [
        '{"emails": [{"id": "em_9"}, {"id": "em_8"}]}',
        '{"email_id": "em_9", "id": "x"}',
        '{"id": "em_9"}',
        '[{"id": "em_9"}]',
    ],
)
def test_an_unnamed_email_is_the_newest_that_a_tool_told_of(output: str) -> None:
    [given] = arguments(
        CALL, turn(user("x"), answered('{"id": "em_1"}'), answered(output, "no JSON"), mailbox_id="m")
    )
    assert given["a"] == ["em_9 in m"]


@pytest.mark.parametrize("output", ["", "[", "[]", "7", '{"emails": []}', '{"id": 7}', "[" * 100_000])
def test_what_nobody_named_stays_as_it_is(output: str) -> None:
    [given] = arguments(CALL, turn(user("x"), answered(output)))
    assert given["a"] == ["{email_id} in {mailbox_id}"]


def test_a_good_script_has_no_problems() -> None:
    when = {"contains": "a", "tool_result_contains": "b", "turn": 1}
    calls = [{"name": "send_email", "arguments": {"to": "x"}}, {"name": "check_inbox"}]
    assert (
        validate(
            [
                {"when": when, "calls": calls},
                {"say": "Done", "delay_ms": 10, "word_ms": 5},
                {"when": {}, "say": ""},
            ]
        )
        == []
    )


@pytest.mark.parametrize(
    ("script", "paths"),
    [
        ({}, [""]),
        (["x"], ["[0]"]),
        ([{}], ["[0]"]),
        ([{"say": "a", "calls": [{"name": "f"}]}], ["[0]"]),
        ([{"say": 7}], ["[0].say"]),
        ([{"say": "a", "sya": "b"}], ["[0].sya"]),
        ([{"say": "a", "delay_ms": 1.5}, {"say": "a", "delay_ms": 60_001}], ["[0].delay_ms", "[1].delay_ms"]),
        ([{"say": "a", "word_ms": -1}], ["[0].word_ms"]),
        ([{"say": "a", "when": "x"}], ["[0].when"]),
        (
            [{"say": "a", "when": {"turn": 0, "contains": 1, "if": 2}}],
            ["[0].when.if", "[0].when.contains", "[0].when.turn"],
        ),
        ([{"calls": []}], ["[0].calls"]),
        (
            [{"calls": [7, {"name": ""}, {"name": "f", "arguments": []}]}],
            ["[0].calls[0]", "[0].calls[1].name", "[0].calls[2].arguments"],
        ),
    ],
)
def test_every_problem_of_a_script_is_named_by_its_path(script: Any, paths: list[str]) -> None:
    assert [path for path, _ in validate(script)] == paths


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["when", "say", "calls", "name", "arguments", "turn"]), inner, max_size=3
        )
    ),
)


@given(json_like)
def test_a_script_without_problems_always_answers(script: Any) -> None:
    if not validate(script):
        for scene in script:
            scene |= {"delay_ms": 0, "word_ms": 0}
        reply(script, turn(user("x"), answered("y")))
