"""SPF, DKIM and DMARC are believed of the servers that the operator names, and of nobody else."""

from __future__ import annotations

from pytest_django import Settings

from mailboxes.auth_results import read
from mailboxes.inbound import parse

OURS = ["mx.acme.test"]


def test_the_results_of_a_named_server_are_read() -> None:
    field = (
        "MX.acme.test 1; spf=pass (sender (is) fine) smtp.mailfrom=far.test;"
        ' dkim=fail reason="bad sig" header.i=@far.test header.s=k1; dmarc=none header.from=far.test'
    )
    assert read([(0, field)], OURS) == [
        {"method": "spf", "result": "pass", "domain": "far.test", "by": "mx.acme.test"},
        {"method": "dkim", "result": "fail", "domain": "far.test", "by": "mx.acme.test"},
        {"method": "dmarc", "result": "none", "domain": "far.test", "by": "mx.acme.test"},
    ]


def test_another_servers_results_are_no_facts() -> None:
    assert read([(0, "mx.evil.test; spf=pass smtp.mailfrom=bank.test")], OURS) == []
    assert read([(0, "mx.acme.test.evil.test; spf=pass")], OURS) == []
    assert read([(0, "mx.acme.test; spf=pass")], []) == []


def test_a_field_that_its_sender_wrote_below_is_not_taken_for_the_servers_own() -> None:
    """In the header it stands apart from those that the server put on top."""
    real, forged = (
        "mx.acme.test; spf=fail smtp.mailfrom=far.test",
        "mx.acme.test; dmarc=pass header.from=bank.test",
    )
    assert [one["method"] for one in read([(0, real), (5, forged)], OURS)] == ["spf"]


def test_fields_that_stand_together_are_read_together() -> None:
    both = [(1, "mx.acme.test; spf=pass"), (2, "mx.acme.test; dkim=pass header.d=far.test")]
    assert [one["method"] for one in read([(0, "other.test; spf=fail"), *both], OURS)] == ["spf", "dkim"]


def test_what_says_nothing_says_nothing() -> None:
    for field in (
        "mx.acme.test; none",
        "mx.acme.test",
        "",
        ";;;=",
        "mx.acme.test; spf=maybe; x=pass",
        "((((" * 3000,
    ):
        assert read([(0, field)], OURS) == []


def test_a_message_carries_them(settings: Settings) -> None:
    settings.TRUSTED_AUTHSERV_IDS = OURS
    data = (
        b"Authentication-Results: mx.acme.test;\r\n spf=pass smtp.mailfrom=far.test\r\n"
        b"Received: from far.test\r\n"
        b"Authentication-Results: mx.acme.test; dmarc=pass header.from=bank.test\r\n\r\nx"
    )
    assert [(one["method"], one["domain"]) for one in parse(data).auth_results] == [("spf", "far.test")]
