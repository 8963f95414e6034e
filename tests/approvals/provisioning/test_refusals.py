"""A bad document is refused whole, and every error is named by its path."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.provisioning import Refused, parse_json, provision
from assistants.models import Connection, Run
from mailboxes.models import Account, Mailbox
from tests import factories
from tests.approvals.provisioning.documents import GONE, GOOD, SECRETS, changed

pytestmark = pytest.mark.django_db

TABLES = [
    apps.get_model(name) for name in ("mailboxes.Mailbox", "mailboxes.AllowlistEntry", "assistants.Assistant")
]
TABLES += [apps.get_model(f"assistants.{name}") for name in ("Connection", "Integration", "ApiKey")]
TABLES += [
    apps.get_model(f"approvals.{name}") for name in ("User", "Membership", "KeyMailbox", "MailboxAssistant")
]
TABLES += [apps.get_model("audit.Event")]


def rows() -> int:
    return sum(model._default_manager.count() for model in TABLES)


def problems(document: Any) -> dict[str, str]:
    before = rows()
    with pytest.raises(Refused) as refusal:
        provision(document)
    assert rows() == before
    return refusal.value.problems


SCRIPT = "connections[0].script"
BAD: list[tuple[str, Any, str, str]] = [
    # (path, what stands there, path of the error, what it says)
    ("account", [], "account", "must be an object, not a list"),
    ("account.oversight_email", "boss", "account.oversight_email", "not one bare address"),
    ("account.oversight_email", "", "mailboxes[1].oversight_mode", "needs an oversight address"),
    ("account.oversight", "x@acme.test", "account.oversight", "did you mean “oversight_email”?"),
    ("mailboxes[1]", {"address": "sales@acme.test", "": 1}, 'mailboxes[1].""', "is unknown"),
    ("mailbox", [], "mailbox", "is unknown; did you mean “mailboxes”?"),
    ("mailboxes", {}, "mailboxes", "must be a list, not an object"),
    ("mailboxes[1]", "sales@acme.test", "mailboxes[1]", "must be an object, not text"),
    ("mailboxes[1].mode", "monitored", "mailboxes[1].mode", "is unknown"),
    ("mailboxes[1].address", GONE, "mailboxes[1].address", "is required"),
    ("mailboxes[1].address", 7, "mailboxes[1].address", "must be an address, not a number"),
    ("mailboxes[1].address", "Sales <sales@acme.test>", "mailboxes[1].address", "not one bare address"),
    ("mailboxes[1].address", "sales@acme.test, x@y.test", "mailboxes[1].address", "not one bare address"),
    ("mailboxes[1].address", "Support@ACME.test", "mailboxes[1].address", "is mailboxes[0] already"),
    (
        "mailboxes[1].oversight_mode",
        "gate",
        "mailboxes[1].oversight_mode",
        '"gate" is not one of read_only, ',
    ),
    ("mailboxes[1].oversight_mode", True, "mailboxes[1].oversight_mode", "not true or false"),
    ("mailboxes[1].oversight_mode", None, "mailboxes[1].oversight_mode", "not null"),
    ("mailboxes[0].display_name", "a\nb", "mailboxes[0].display_name", "one line"),
    ("mailboxes[0].display_name", "x" * 201, "mailboxes[0].display_name", "longer than 200"),
    ("mailboxes[0].on_inbound", "start", "mailboxes[0].on_inbound", "not one of run, notify"),
    ("mailboxes[0].assistant", "Suport Agent", "mailboxes[0].assistant", "did you mean “Support Agent”?"),
    ("mailboxes[0].assistant", "Board Agent", "mailboxes[0].assistant", "must be among its own"),
    ("mailboxes[0].assistant", GONE, "mailboxes[0].on_inbound", "run needs an assistant"),
    ("mailboxes[0].assistant", None, "mailboxes[0].on_inbound", "run needs an assistant"),
    ("mailboxes[2].approvals_needed", 0, "mailboxes[2].approvals_needed", "from 1 to 10"),
    (
        "mailboxes[2].approvals_needed",
        True,
        "mailboxes[2].approvals_needed",
        "a whole number, not true or false",
    ),
    ("mailboxes[2].approvals_needed", 1.5, "mailboxes[2].approvals_needed", "not a fraction"),
    ("mailboxes[2].approvals_needed", "2", "mailboxes[2].approvals_needed", "not text"),
    ("mailboxes[0].allowlist[1]", "*", "mailboxes[0].allowlist[1]", "not one bare address"),
    ("mailboxes[0].allowlist[1]", 3, "mailboxes[0].allowlist[1]", "must be an address or *@domain"),
    ("mailboxes[0].allowlist[1]", "*@PARTNER.test", "mailboxes[0].allowlist[1]", "is listed twice"),
    ("assistants[0].mailboxes[1]", "sale@acme.test", "assistants[0].mailboxes[1]", "no mailbox"),
    ("assistants[0].mailboxes[1]", "support@acme.test", "assistants[0].mailboxes[1]", "is listed twice"),
    ("assistants[0].mailboxes", "support@acme.test", "assistants[0].mailboxes", "must be a list, not text"),
    ("assistants[0].mailboxes", ["*"], "assistants[0].mailboxes[0]", "not one bare address"),
    ("assistants[0].connection", "dmo", "assistants[0].connection", "did you mean “demo”?"),
    ("assistants[0].connection", GONE, "mailboxes[0].on_inbound", "Support Agent has no connection"),
    ("assistants[0].connection", None, "mailboxes[0].on_inbound", "Support Agent has no connection"),
    ("assistants[0].scopes", GONE, "assistants[0].scopes", "is required"),
    ("assistants[0].scopes", [], "assistants[0].scopes", "must not be empty"),
    ("assistants[0].scopes[1]", "write", "assistants[0].scopes[1]", '"write" is not one of'),
    ("assistants[0].scopes[1]", "oversight", "assistants[0].scopes", "an assistant never decides"),
    ("assistants[0].name", " ", "assistants[0].name", "must not be empty"),
    ("assistants[1].name", "Support Agent", "assistants[1].name", "is assistants[0] already"),
    ("assistants[0].instructions", "a\0b", "assistants[0].instructions", "control characters"),
    (
        "integrations[0].scopes",
        ["oversight", "send"],
        "integrations[0].scopes",
        "no key both sends and decides",
    ),
    (
        "integrations[0].scopes",
        ["oversight", "admin"],
        "integrations[0].scopes",
        "no key both sends and decides",
    ),
    ("integrations[0].mailboxes", ["*", "sales@acme.test"], "integrations[0].mailboxes", "stands alone"),
    ("people[0].email", "rita", "people[0].email", "not one bare address"),
    ("people[1].email", "Rita@acme.test", "people[1].email", "is people[0] already"),
    ("people[0].roles", GONE, "people[0].roles", "is required"),
    ("people[0].roles", [], "people[0].roles", "must not be empty"),
    ("people[0].roles[1]", "admin", "people[0].roles[1]", "not one of reviewer, administrator, auditor"),
    ("people[0].password", "password123", "people[0].password", "too common"),
    ("people[0].password", "short", "people[0].password", "too short"),
    ("people[0].password", 1234567890, "people[0].password", "must be text, not a number"),
    ("people[0].mailboxes[0]", "x@nowhere.test", "people[0].mailboxes[0]", "no mailbox"),
    ("connections[0].protocol", GONE, "connections[0].protocol", "is required"),
    ("connections[0].protocol", "openai", "connections[0].protocol", "not one of chat_completions"),
    ("connections[0].script", GONE, SCRIPT, "is required for scripted"),
    ("connections[0].script", [], SCRIPT, "is required for scripted"),
    ("connections[0].script", "say hi", SCRIPT, "must be a list"),
    ("connections[0].script[1]", "hi", f"{SCRIPT}[1]", "must be an object"),
    ("connections[0].script[0].when.turn", "1", f"{SCRIPT}[0].when.turn", "whole number"),
    ("connections[0].script[0].when.contain", "x", f"{SCRIPT}[0].when.contain", "not known"),
    ("connections[0].script[0].calls", [{"name": "x"}], f"{SCRIPT}[0]", "either calls or say"),
    ("connections[1].base_url", GONE, "connections[1].base_url", "is required for chat_completions"),
    ("connections[1].model", "", "connections[1].model", "is required for chat_completions"),
    ("connections[1].base_url", "127.0.0.1:9000", "connections[1].base_url", "is not a URL"),
    ("connections[1].base_url", "ftp://models.test/v1", "connections[1].base_url", "is not a URL"),
    ("connections[1].base_url", "http://[::1/v1", "connections[1].base_url", "is not a URL"),
    ("connections[1].base_url", "http://models.test:99999", "connections[1].base_url", "is not a URL"),
    (
        "connections[1].base_url",
        "https://me:key@models.test",
        "connections[1].base_url",
        "belongs into api_key",
    ),
    ("connections[1].base_url", "https://models.test/?key=1", "connections[1].base_url", "no user, query"),
    ("connections[1].models", ["small"], "connections[1].models", "must be an object, not a list"),
    ("connections[1].models.other", 4, "connections[1].models.other", "must be text"),
    ("connections[1].name", "demo", "connections[1].name", "is connections[0] already"),
    ("connections[1].timeout", 0.5, "connections[1].timeout", "from 1 to 600 seconds"),
    ("connections[1].timeout", 601, "connections[1].timeout", "from 1 to 600 seconds"),
    ("connections[1].timeout", "30s", "connections[1].timeout", "a number of seconds, not text"),
    ("connections[1].timeout", True, "connections[1].timeout", "a number of seconds, not true or false"),
    ("connections[1].retries", 11, "connections[1].retries", "from 0 to 10"),
    ("connections[1].retries", 1.5, "connections[1].retries", "a whole number, not a fraction"),
    ("connections[1].hold_policy", "wait", "connections[1].hold_policy", "not one of hold, hold_with_"),
    ("connections[1].hold_policy", False, "connections[1].hold_policy", "not true or false"),
    ("connections[2].polls_per_minute", 0, "connections[2].polls_per_minute", "from 1 to 6000"),
    ("connections[2].polls_per_minute", None, "connections[2].polls_per_minute", "not null"),
    ("connections[2].api_version", "v 1", "connections[2].api_version", "one word in ASCII"),
    ("connections[2].api_version", "v1&x=ü", "connections[2].api_version", "one word in ASCII"),
    ("connections[2].api_key", "sk-sëcret", "connections[2].api_key", "no letters beyond ASCII"),
    ("connections[2].api_key", None, "connections[2].api_key", "must be text, not null"),
    ("connections[2].webhook_secret", "whsec_c2Vjc", "connections[2].webhook_secret", "is not whole"),
    ("connections[2].webhook_secret", 7, "connections[2].webhook_secret", "must be text, not a number"),
    ("connections[2].base_url", "", "connections[2].base_url", "is required for responses"),
    ("connections[2].webhook", "x", "connections[2].webhook", "did you mean “webhook_secret”?"),
]


@pytest.mark.parametrize(("path", "value", "where", "what"), BAD)
def test_each_error_is_named_by_its_path(path: str, value: Any, where: str, what: str) -> None:
    found = problems(changed({path: value}))
    assert where in found, found
    assert what in found[where]
    assert not any(secret in sentence for sentence in found.values() for secret in SECRETS)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("assistants[0].mailboxes", "support@acme.test"),
        ("assistants[0].mailboxes", ["suport at acme.test"]),
        ("assistants[0].connection", 7),
        ("mailboxes[0].assistant", 7),
        ("account.oversight_email", 7),
        ("connections[0].script", 7),
        ("connections[1].protocol", 7),
    ],
)
def test_a_bad_value_is_one_error_and_not_two(path: str, value: Any) -> None:
    assert len(problems(changed({path: value}))) == 1


def test_a_protocol_stays_while_runs_over_it_have_not_ended() -> None:
    provision(GOOD)
    far = Connection.objects.get(name="far")
    agent = factories.an_assistant(connection=far)
    run = Run.objects.create(assistant=agent, connection=far, driver="counterseal", status="queued")
    found = problems(changed({"connections[2].protocol": "agents"}))
    assert "stays responses while runs over it have not ended" in found["connections[2].protocol"]
    Run.objects.filter(pk=run.pk).update(status="failed")
    provision(changed({"connections[2].protocol": "agents"}))


def test_every_error_is_named_at_once() -> None:
    found = problems(
        changed(
            {
                "mailboxes[0].oversight_mode": "gate",
                "assistants[1].mailboxes[0]": "nobody@acme.test",
                "people[1].roles": [],
                "connections[1].base_url": "nowhere",
                "integrations[0].colour": "red",
            }
        )
    )
    assert list(found) == [
        "connections[1].base_url",
        "mailboxes[0].oversight_mode",
        "integrations[0].colour",
        "people[1].roles",
        "assistants[1].mailboxes[0]",
    ]


@pytest.mark.parametrize("document", [None, [], "text", 7, True])
def test_a_document_is_an_object(document: Any) -> None:
    assert "must be an object" in problems(document)["document"]


def test_a_monitored_mailbox_that_is_stored_keeps_its_oversight_address() -> None:
    Account.objects.update_or_create(pk=1, defaults={"oversight_email": "boss@acme.test"})
    factories.a_mailbox("stored@acme.test", "monitored")
    found = problems({"account": {"oversight_email": ""}})
    assert found == {
        "account.oversight_email": "stored@acme.test is monitored, which needs an oversight address"
    }


def test_a_stored_oversight_address_is_enough_for_a_monitored_mailbox() -> None:
    Account.objects.update_or_create(pk=1, defaults={"oversight_email": "boss@acme.test"})
    provision({"mailboxes": [{"address": "new@acme.test", "oversight_mode": "monitored"}]})
    assert Mailbox.objects.get().oversight_mode == "monitored"


def test_an_assistant_cannot_lose_a_mailbox_that_starts_it() -> None:
    provision(GOOD)
    found = problems({"assistants": [{"name": "Support Agent", "mailboxes": ["sales@acme.test"]}]})
    assert list(found) == ["assistants[0].mailboxes"]
    assert "must be among its own" in found["assistants[0].mailboxes"]


def test_an_assistant_cannot_lose_the_connection_that_inbound_mail_needs() -> None:
    provision(GOOD)
    found = problems({"assistants": [{"name": "Support Agent", "connection": None}]})
    assert list(found) == ["assistants[0].connection"]


def test_a_mailbox_cannot_lose_the_assistant_that_it_starts() -> None:
    provision(GOOD)
    found = problems({"mailboxes": [{"address": "support@acme.test", "assistant": None}]})
    assert list(found) == ["mailboxes[0].on_inbound"]


def test_a_stored_connection_cannot_lose_what_its_protocol_needs() -> None:
    provision(GOOD)
    found = problems({"connections": [{"name": "demo", "protocol": "chat_completions"}]})
    assert list(found) == ["connections[0].base_url", "connections[0].model"]
    assert Connection.objects.get(name="demo").protocol == "scripted"


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        (b'{"mailboxes": [}', "line 1, column 16", "this is not JSON"),
        (b'{\n  "people": [],\n}', "line 3, column 1", "this is not JSON"),
        (b"", "line 1, column 1", "this is not JSON"),
        (b'{"a": "\xff"}', "byte 7", "not UTF-8"),
        (
            b'{"mailboxes": [{"address": "a@b.test", "address": "c@d.test"}]}',
            "mailboxes[0].address",
            "given twice",
        ),
        (b'{"account": {"oversight_email": "a\\u0000b"}}', "account.oversight_email", "NUL"),
        (b'{"account": {"oversight_email": "a\\ud800b"}}', "account.oversight_email", "half a character"),
        (b'{"a\\u0000": 1}', "(a name)", "NUL"),
        (b'{"account": NaN}', "account", "finite"),
        (b'{"account": 1e999}', "account", "finite"),
        (b"[" * 50 + b"]" * 50, "[0]" * 41, "nested too deeply"),
        (b"[" * 100_000, "document", "nested too deeply"),
        (b"1" * 5000, "document", "number too long"),
    ],
)
def test_text_that_is_no_plain_json_is_refused_with_its_place(data: bytes, where: str, what: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_json(data)
    assert what in refusal.value.problems[where]


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for step, item in inner for place in places(item, (*way, step)))]


def pieces(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(piece for item in inner for piece in pieces(item))]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """GOOD with up to three of its places replaced, removed, or given another part of GOOD."""
    document = deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(document)[1:] or [("account",)]))
        place = document
        for step in way:
            place = place[step]
        kind = draw(st.sampled_from(["replace", "move", "remove", "add"]))
        if kind == "remove":
            del place[last]
        elif kind == "add" and isinstance(place, dict):
            place[draw(st.text(max_size=8))] = draw(json_values)
        else:
            place[last] = draw(json_values if kind == "replace" else st.sampled_from(pieces(deepcopy(GOOD))))
    return document


def outcome(document: Any) -> dict[str, str]:
    """What was wrong with it, if anything."""
    try:
        provision(parse_json(json.dumps(document).encode()))
    except Refused as refusal:
        return refusal.problems
    return {}


@pytest.mark.database
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=mutated(), fresh=st.booleans())
def test_whatever_happens_to_a_document_it_is_done_or_refused_whole(document: Any, fresh: bool) -> None:
    with transaction.atomic():
        if not fresh:
            provision(GOOD)
        before = rows()
        if wrong := outcome(document):
            assert all(path and sentence for path, sentence in wrong.items())
            assert rows() == before
        else:
            after = rows()
            assert outcome(document) == {}
            assert rows() == after
        transaction.set_rollback(True)
