"""A document makes an install what it says, and saying it again changes nothing."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals.models import KeyMailbox, MailboxAssistant, User
from approvals.provisioning import Refused, provision
from approvals.states import Status
from assistants.keys import find_key
from assistants.models import ApiKey, Assistant, Connection, Integration
from audit.models import Event, Payload
from audit.verify import verify
from mailboxes.models import Account, Mailbox
from tests import factories
from tests.approvals import living
from tests.approvals.provisioning.documents import GOOD, SECRETS, changed

pytestmark = pytest.mark.django_db


def only(section: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {section: list(items)}


def test_everything_that_is_named_is_made() -> None:
    provision(GOOD)
    assert Account.objects.get().oversight_email == "boss@acme.test"
    support = Mailbox.objects.get(address="support@acme.test")
    assert (support.oversight_mode, support.display_name, support.on_inbound) == (
        "gated_send",
        "Acme Support",
        "run",
    )
    assert set(support.allowlist.values_list("pattern", flat=True)) == {"*@partner.test", "ann@customer.test"}
    assert Mailbox.objects.get(address="board@acme.test").approvals_needed == 2
    agent = Assistant.objects.get(name="Support Agent")
    assert (agent.scopes, agent.instructions) == (["read", "send"], "Be kind.\nBe brief.")
    assert agent.connection == Connection.objects.get(name="demo")
    answering = MailboxAssistant.objects.get(answers_inbound=True)
    assert (answering.mailbox, answering.assistant) == (support, agent)
    model = Connection.objects.get(name="model")
    assert (model.base_url, model.model, model.models_served) == (
        "http://127.0.0.1:9000/v1",
        "small",
        {"gpt-4o": "small"},
    )
    assert (model.timeout, model.retries, model.hold_policy, model.polls_per_minute) == (45.5, 2, "", 60)
    far = Connection.objects.get(name="far")
    assert (far.api_version, far.timeout, far.retries, far.hold_policy, far.polls_per_minute) == (
        "2026-05-01-preview",
        None,
        None,
        "pending_now",
        6,
    )


def test_people_get_their_roles_mailboxes_and_a_password_that_works(rf: Any) -> None:
    provision(GOOD)
    rita, ada = User.objects.get(email="rita@acme.test"), User.objects.get(email="ada@acme.test")
    assert (rita.roles, ada.roles) == (["reviewer", "auditor"], ["administrator"])
    assert [box.address for box in Mailbox.objects.visible_to(rita)] == ["support@acme.test"]
    assert Mailbox.objects.visible_to(ada).count() == 3
    request = rf.post("/")
    assert authenticate(request, username="rita@acme.test", password="correct horse battery") == rita


def test_a_person_without_a_password_cannot_sign_in_with_one() -> None:
    provision(only("people", {"email": "li@acme.test", "roles": ["reviewer"]}))
    assert not User.objects.get().has_usable_password()


def test_each_new_assistant_and_integration_gets_one_key_of_its_rights() -> None:
    made = provision(GOOD)
    key = find_key(made["assistants"][0]["api_key"])
    assert key is not None
    assert (key.assistant, key.name, key.scopes) == (
        Assistant.objects.get(name="Support Agent"),
        "provisioned",
        ["read", "send"],
    )
    assert Mailbox.objects.visible_to(key).count() == 2
    desk = find_key(made["integrations"][0]["api_key"])
    assert desk is not None
    assert desk.integration == Integration.objects.get(name="Review desk")
    assert (desk.scopes, desk.all_mailboxes) == (["read", "oversight"], True)


def test_the_answer_has_the_shape_of_the_document_with_ids() -> None:
    made = provision(GOOD)
    assert list(made) == list(GOOD)
    for section in ("connections", "mailboxes", "assistants", "integrations", "people"):
        for given, told in zip(GOOD[section], made[section], strict=True):
            assert told["id"]
            for name in given.keys() - {"password", "api_key", "webhook_secret", "delivery"}:
                same = told[name] == given[name]
                assert same or sorted(told[name]) == sorted(given[name]), f"{section} {name}"


def test_no_password_and_no_connections_key_is_told_or_logged_or_stored_in_the_clear() -> None:
    made = json.dumps(provision(GOOD))
    logged = json.dumps(list(Payload.objects.values_list("body", flat=True)))
    keys = [json.loads(made)[s][n]["api_key"] for s in ("assistants", "integrations") for n in (0, 1)]
    for secret in SECRETS:
        assert secret not in made
        assert secret not in logged
    assert not any(key in logged for key in keys)
    model = Connection.objects.get(name="model")
    assert model.api_key == "sk-secret-of-the-model"
    assert "sk-secret" not in model.api_key_encrypted
    far = Connection.objects.get(name="far")
    assert far.webhook_secret == "whsec_c2VjcmV0IG9mIHRoZSBob29r"
    assert "c2VjcmV0" not in far.webhook_secret_encrypted


@pytest.mark.database
def test_a_second_run_changes_nothing_and_tells_the_same_ids_and_no_keys() -> None:
    first = provision(GOOD)
    events = Event.objects.count()
    second = provision(GOOD)
    assert Event.objects.count() == events
    for section in ("assistants", "integrations"):
        for item in first[section]:
            del item["api_key"]
    assert second == first
    assert ApiKey.objects.count() == 4


def test_everything_made_is_in_the_log_in_one_whole_chain() -> None:
    provision(GOOD)
    counts = {action: Event.objects.filter(action=action).count() for action in Event.Action.values}
    assert {action: n for action, n in counts.items() if n} == {
        "account.changed": 1,
        "connection.created": 3,
        "mailbox.created": 3,
        "mailbox.changed": 1,
        "assistant.created": 2,
        "integration.created": 2,
        "key.created": 4,
        "person.created": 2,
    }
    assert set(Event.objects.values_list("actor", flat=True)) == {"system:provision"}
    assert verify().ok


CHANGES: list[tuple[str, Any, str]] = [
    ("account.oversight_email", "chair@acme.test", "account.changed"),
    ("connections[0].script", [{"say": "Other"}], "connection.changed"),
    ("connections[1].api_key", "sk-another", "connection.changed"),
    ("connections[1].models", {}, "connection.changed"),
    ("connections[1].timeout", None, "connection.changed"),
    ("connections[1].timeout", 600, "connection.changed"),
    ("connections[1].retries", 0, "connection.changed"),
    ("connections[1].hold_policy", "hold_with_deadline", "connection.changed"),
    ("connections[2].hold_policy", None, "connection.changed"),
    ("connections[2].polls_per_minute", 1, "connection.changed"),
    ("connections[2].api_version", "", "connection.changed"),
    ("connections[2].webhook_secret", "another secret", "connection.changed"),
    ("connections[2].webhook_secret", "", "connection.changed"),
    ("connections[2].protocol", "agents", "connection.changed"),
    ("mailboxes[0].display_name", "Help", "mailbox.changed"),
    ("mailboxes[0].on_inbound", "notify", "mailbox.changed"),
    ("mailboxes[0].allowlist", ["*@partner.test"], "mailbox.changed"),
    ("mailboxes[0].oversight_mode", "autonomous", "mailbox.mode_changed"),
    ("mailboxes[1].assistant", "Support Agent", "mailbox.changed"),
    ("mailboxes[2].approvals_needed", 3, "mailbox.changed"),
    ("assistants[0].instructions", "Be brief.", "assistant.changed"),
    ("assistants[0].connection", "model", "assistant.changed"),
    ("assistants[0].scopes", ["read"], "assistant.changed"),
    ("assistants[0].mailboxes", ["support@acme.test"], "assistant.changed"),
    ("integrations[1].scopes", ["read"], "key.changed"),
    ("integrations[1].mailboxes", ["*"], "key.changed"),
    ("integrations[0].mailboxes", ["support@acme.test"], "key.changed"),
    ("people[0].roles", ["auditor"], "person.changed"),
    ("people[0].mailboxes", [], "person.changed"),
    ("people[0].mailboxes", ["*"], "person.changed"),
    ("people[1].password", "another good long one", "person.changed"),
]


@pytest.mark.database
@pytest.mark.parametrize(("path", "value", "action"), CHANGES)
def test_a_changed_value_is_updated_and_logged_once(path: str, value: Any, action: str) -> None:
    first = provision(GOOD)
    seq = Event.objects.count()
    document = changed({path: value})
    second = provision(document)
    assert Event.objects.get(seq=seq + 1).action == action
    assert {section: [item["id"] for item in second[section]] for section in ("mailboxes", "people")} == {
        section: [item["id"] for item in first[section]] for section in ("mailboxes", "people")
    }
    after = Event.objects.count()
    assert provision(document) == second
    assert Event.objects.count() == after


def test_what_is_not_mentioned_is_left_alone() -> None:
    provision(GOOD)
    events = Event.objects.count()
    provision(
        {
            "mailboxes": [{"address": "support@acme.test"}],
            "assistants": [{"name": "Support Agent"}],
            "integrations": [{"name": "Shop"}],
            "people": [{"email": "rita@acme.test"}],
            "connections": [{"name": "model"}],
        }
    )
    provision({})
    assert Event.objects.count() == events


def test_a_connection_that_moves_to_another_server_needs_its_key_said_again() -> None:
    provision(GOOD)
    moved = {"name": "far", "base_url": "https://other.example/v1"}
    provision(only("connections", moved | {"api_key": "sk-secret-of-the-far-side"}))
    assert Connection.objects.get(name="far").api_key == "sk-secret-of-the-far-side"
    provision(only("connections", moved | {"base_url": "https://third.example/v1"}))
    assert Connection.objects.get(name="far").api_key == ""
    told = Payload.objects.get(event=Event.objects.latest("seq")).body or {}
    assert told["api_key_cleared"] == "The API key was for another server: enter it again."


def test_null_takes_the_assistant_from_a_mailbox_and_the_connection_from_an_assistant() -> None:
    provision(GOOD)
    support = {"address": "support@acme.test", "assistant": None, "on_inbound": "notify"}
    made = provision({"mailboxes": [support], "assistants": [{"name": "Support Agent", "connection": None}]})
    assert made["mailboxes"][0]["assistant"] is None
    assert made["assistants"][0]["connection"] is None
    assert not MailboxAssistant.objects.filter(answers_inbound=True).exists()


def test_a_mailbox_that_changes_its_assistant_starts_the_new_one_only() -> None:
    provision(GOOD)
    provision(
        {
            "mailboxes": [{"address": "support@acme.test", "assistant": "Board Agent"}],
            "assistants": [{"name": "Board Agent", "mailboxes": ["support@acme.test"], "connection": "demo"}],
        }
    )
    answering = MailboxAssistant.objects.get(answers_inbound=True)
    assert (answering.mailbox.address, answering.assistant.name) == ("support@acme.test", "Board Agent")


def test_one_address_has_one_spelling() -> None:
    provision(only("mailboxes", {"address": "Support@ACME.test"}))
    made = provision(
        {
            "mailboxes": [{"address": "support@acme.test", "display_name": "Acme"}],
            "people": [
                {"email": "Rita@Acme.test", "roles": ["reviewer"], "mailboxes": ["SUPPORT@acme.test"]}
            ],
        }
    )
    assert Mailbox.objects.get().display_name == "Acme"
    assert made["people"][0]["mailboxes"] == ["support@acme.test"]


def test_things_that_are_stored_may_be_referred_to() -> None:
    mailbox = factories.a_mailbox("stored@acme.test")
    factories.a_connection(name="stored", script=[{"say": "hi"}])
    provision(
        only(
            "assistants",
            {"name": "New", "mailboxes": [mailbox.address], "scopes": ["read"], "connection": "stored"},
        )
    )
    assert Assistant.objects.get().connection == Connection.objects.get()


def test_an_assistant_that_moves_to_another_connection_is_made_anew_there() -> None:
    provision(GOOD)
    Assistant.objects.update(remote_id="asst_1")
    provision(changed({"assistants[0].connection": "model"}))
    assert Assistant.objects.get(name="Support Agent").remote_id == ""
    assert Assistant.objects.get(name="Board Agent").remote_id == "asst_1"


def test_the_key_of_an_assistant_follows_its_document() -> None:
    key = find_key(provision(GOOD)["assistants"][0]["api_key"])
    assert key is not None
    provision(changed({"assistants[0].scopes": ["read"], "assistants[0].mailboxes": ["support@acme.test"]}))
    key.refresh_from_db()
    assert key.scopes == ["read"]
    assert KeyMailbox.objects.get(key=key).mailbox.address == "support@acme.test"


def test_a_revoked_key_stays_revoked_and_is_not_replaced() -> None:
    made = provision(GOOD)
    ApiKey.objects.update(revoked_at=timezone.now())
    again = provision(changed({"integrations[1].scopes": ["read"]}))
    assert find_key(made["integrations"][1]["api_key"]) is None
    assert "api_key" not in again["integrations"][1]
    assert ApiKey.objects.count() == 4


def test_an_integration_made_by_hand_gets_its_first_key_from_the_document() -> None:
    factories.an_integration("Shop")
    made = provision(only("integrations", {"name": "Shop", "scopes": ["read"], "mailboxes": ["*"]}))
    assert find_key(made["integrations"][0]["api_key"]) is not None


def test_a_connections_key_is_replaced_when_it_can_no_longer_be_read(settings: Any) -> None:
    provision(GOOD)
    settings.SECRET_KEY = "another"
    provision(GOOD)
    assert Connection.objects.get(name="model").api_key == "sk-secret-of-the-model"


def test_a_secret_that_a_document_leaves_out_is_kept_and_an_empty_one_is_cleared() -> None:
    provision(GOOD)
    provision(only("connections", {"name": "far", "model": "larger"}))
    far = Connection.objects.get(name="far")
    assert (far.api_key, far.model) == ("sk-secret-of-the-far-side", "larger")
    assert far.webhook_secret == "whsec_c2VjcmV0IG9mIHRoZSBob29r"
    provision(only("connections", {"name": "far", "webhook_secret": ""}))
    far.refresh_from_db()
    assert (far.api_key, far.webhook_secret) == ("sk-secret-of-the-far-side", "")


def test_a_replaced_secret_is_logged_as_replaced_and_never_told() -> None:
    provision(GOOD)
    provision(changed({"connections[2].webhook_secret": "whsec_bmV3"}))
    told = Event.objects.get(action="connection.changed").payload.body or {}
    assert told["webhook_secret_changed"] is True
    assert "bmV3" not in json.dumps(told)


def test_a_document_leaves_what_polling_counts_alone() -> None:
    provision(GOOD)
    Connection.objects.update(polls_whole_at=7.5)
    provision(changed({"connections[2].polls_per_minute": 9}))
    assert Connection.objects.get(name="far").polls_whole_at == 7.5


def test_tightening_a_mailbox_takes_back_what_the_policy_released() -> None:
    provision(GOOD | only("mailboxes", *changed({"mailboxes[0].oversight_mode": "autonomous"})["mailboxes"]))
    agent = Assistant.objects.get(name="Support Agent")
    support = Mailbox.objects.get(address="support@acme.test")
    message = living.a_held_message(agent, support)
    assert message.status == Status.APPROVED
    provision(only("mailboxes", {"address": "support@acme.test", "oversight_mode": "gated_all"}))
    message.refresh_from_db()
    assert message.status == Status.PENDING
    assert Event.objects.filter(action="message.returned_to_pending").count() == 1
    assert verify().ok


@pytest.mark.database
def test_the_lock_on_the_log_is_taken_last() -> None:
    with CaptureQueriesContext(connection) as queries:
        provision(GOOD)
    log = [n for n, query in enumerate(queries) if "audit_" in query["sql"]]
    assert log == list(range(log[0], log[0] + 4))
    assert all(query["sql"].startswith("RELEASE") for query in queries.captured_queries[log[-1] + 1 :])


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one_of_each() -> None:
    outcomes: list[Any] = []
    together = threading.Barrier(2)

    def run() -> None:
        try:
            together.wait()
            outcomes.append(provision(GOOD))
        except Refused as refusal:
            outcomes.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2
    assert (Mailbox.objects.count(), Assistant.objects.count(), ApiKey.objects.count()) == (3, 2, 4)
    assert all(list(o.problems) == ["document"] for o in outcomes if isinstance(o, Refused))
    assert verify().ok


def test_the_command_reads_a_file_and_prints_one_json_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "acme.json"
    file.write_text(json.dumps(GOOD))
    call_command("provision", str(file))
    made = json.loads(capsys.readouterr().out)
    assert made["mailboxes"][0]["id"] == Mailbox.objects.get(address="support@acme.test").pk


def test_the_command_reads_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\ufeff{}".encode())))
    call_command("provision", "-")
    assert json.loads(capsys.readouterr().out) == {}


def test_the_command_refuses_with_every_error_and_exit_status_1(tmp_path: Path) -> None:
    file = tmp_path / "acme.json"
    file.write_text(json.dumps(changed({"mailboxes[1].oversight_mode": "gate", "people[0].roles": []})))
    with pytest.raises(CommandError) as refusal:
        call_command("provision", str(file))
    assert refusal.value.returncode == 1
    assert str(refusal.value).splitlines() == [
        "The document was refused, and nothing was written.",
        'mailboxes[1].oversight_mode: "gate" is not one of '
        "read_only, gated_all, gated_send, monitored, autonomous",
        "people[0].roles: must not be empty",
    ]


def test_the_command_says_that_a_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nothing\.json cannot be read: No such file"):
        call_command("provision", str(tmp_path / "nothing.json"))
