"""The policy is a table that can be read; these are its lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import Oversight, Verdict, matches, rule, rule_inbound

MODES = ("read_only", "gated_all", "gated_send", "monitored", "autonomous")
BOX = "support@acme.test"
addresses = st.emails()


def in_force(mode: str, **more: object) -> Oversight:
    return Oversight(mailbox=BOX, mode=mode, oversight_address="boss@acme.test", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [
        ("read_only", Verdict.REFUSE),
        ("gated_all", Verdict.HOLD),
        ("gated_send", Verdict.HOLD),
        ("monitored", Verdict.RELEASE),
        ("autonomous", Verdict.RELEASE),
    ],
)
def test_each_mode_rules_on_outgoing_mail(mode: str, verdict: Verdict) -> None:
    ruling = rule(("a@b.test",), in_force(mode))
    assert ruling.verdict == verdict
    assert ruling.reasons


@given(st.text(), st.tuples(addresses))
def test_an_unknown_mode_is_held(mode: str, to: tuple[str]) -> None:
    if mode not in MODES:
        assert rule(to, in_force(mode, allowlist=to)).verdict == Verdict.HOLD
        assert rule_inbound(in_force(mode)).verdict == Verdict.HOLD


@given(st.sampled_from(MODES), st.lists(addresses, min_size=1).map(tuple))
def test_nothing_is_released_while_everything_is_held(mode: str, to: tuple[str, ...]) -> None:
    ruling = rule(to, in_force(mode, held_reason="incident 7", allowlist=to))
    assert ruling.verdict != Verdict.RELEASE


def test_monitored_without_an_oversight_address_is_held() -> None:
    assert rule(("a@b.test",), Oversight(mailbox=BOX, mode="monitored")).verdict == Verdict.HOLD


def test_the_allowlist_releases_only_when_every_recipient_matches() -> None:
    listed = in_force("gated_send", allowlist=("*@friends.test", "one@other.test"))
    assert rule(("a@friends.test", "one@other.test"), listed).verdict == Verdict.RELEASE
    ruling = rule(("a@friends.test", "eve@evil.test"), listed)
    assert ruling.verdict == Verdict.HOLD
    assert "eve@evil.test is not on the allowlist." in ruling.reasons


def test_the_allowlist_releases_nothing_to_nobody() -> None:
    assert rule((), in_force("gated_send", allowlist=("*@friends.test",))).verdict == Verdict.HOLD


@pytest.mark.parametrize("mode", ["read_only", "gated_all"])
def test_the_allowlist_counts_in_gated_send_only(mode: str) -> None:
    assert rule(("a@b.test",), in_force(mode, allowlist=("a@b.test",))).verdict != Verdict.RELEASE


@pytest.mark.parametrize(
    ("pattern", "address", "fits"),
    [
        ("*@acme.test", "a@acme.test", True),
        ("*@ACME.test", "a@acme.TEST", True),
        ("*@acme.test", "a@sub.acme.test", False),
        ("*@acme.test", "a@notacme.test", False),
        ("*@acme.test", "a@acme.test.evil.test", False),
        ("a@acme.test", "a@acme.test", True),
        ("a@acme.test", "aa@acme.test", False),
        ("*", "a@acme.test", False),
    ],
)
def test_a_pattern_is_an_address_or_a_whole_domain(pattern: str, address: str, fits: bool) -> None:
    assert matches(pattern, address) is fits


@pytest.mark.parametrize("mode", MODES)
def test_incoming_mail_waits_in_gated_all_only(mode: str) -> None:
    held = rule_inbound(in_force(mode)).verdict == Verdict.HOLD
    assert held is (mode == "gated_all")


def test_the_policy_imports_no_framework() -> None:
    import ast
    from pathlib import Path

    import approvals.policy

    tree = ast.parse(Path(approvals.policy.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "dataclasses", "enum"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
