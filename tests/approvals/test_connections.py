"""Connections are made, changed and deleted by administrators of everything, and keep their secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from approvals import actions
from approvals.actions.connections import secret_of, why_kept
from approvals.errors import Conflict, Invalid, NotFound, NotPermitted
from approvals.models import ConversationThread, User
from assistants.models import Connection, Run
from audit.models import Event, Payload
from mailboxes.models import Conversation, Mailbox
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.database]

CHAT = {
    "name": "Model",
    "protocol": "chat_completions",
    "base_url": "https://models.example/v1",
    "model": "small",
    "api_key": "sk-first",
}


@pytest.fixture
def model(administrator: User) -> Connection:
    return actions.create_connection(CHAT, by=administrator)


@pytest.fixture
def far(db: None) -> Connection:
    return factories.a_connection(protocol="assistants", base_url="https://far.example/v1", name="Far")


def events(action: str) -> list[dict[str, Any]]:
    return [event.payload.body or {} for event in Event.objects.filter(action=action).order_by("seq")]


def a_run_over(connection: Connection, status: str = "requires_action") -> Run:
    assistant = factories.an_assistant(connection=connection)
    return Run.objects.create(
        assistant=assistant, connection=connection, driver="counterseal", status=status, run_id="run_1"
    )


def test_one_is_made_with_its_secret_encrypted_and_out_of_the_log(model: Connection) -> None:
    model.refresh_from_db()
    assert (model.api_key, model.base_url, model.polls_per_minute) == ("sk-first", CHAT["base_url"], 60)
    assert "sk-first" not in model.api_key_encrypted
    (told,) = events("connection.created")
    assert told == {
        "connection": model.pk,
        "name": "Model",
        "protocol": "chat_completions",
        "base_url": "https://models.example/v1",
        "model": "small",
        "api_key_changed": True,
    }


def test_what_changed_is_logged_and_the_rest_left_alone(model: Connection, administrator: User) -> None:
    Connection.objects.update(polls_whole_at=7.5)
    changed = actions.change_connection(
        model, {"model": "large", "name": "Model", "timeout": 5.0}, by=administrator
    )
    changed.refresh_from_db()
    assert (changed.model, changed.timeout, changed.api_key, changed.polls_whole_at) == (
        "large",
        5.0,
        "sk-first",
        7.5,
    )
    told = {"connection": model.pk, "name": "Model", "model": "large", "timeout": 5}
    assert events("connection.changed") == [told]


def test_the_same_once_more_is_no_change(model: Connection, administrator: User) -> None:
    actions.change_connection(model, CHAT, by=administrator)
    assert events("connection.changed") == []


def test_a_secret_is_replaced_and_cleared_and_never_logged(model: Connection, administrator: User) -> None:
    for value in ("sk-second", ""):
        assert actions.change_connection(model, {"api_key": value}, by=administrator).api_key == value
    assert [told["api_key_changed"] for told in events("connection.changed")] == [True, True]
    assert "sk-" not in json.dumps(list(Payload.objects.values_list("body", flat=True)))


ELSEWHERE = ["https://evil.example/v1", "http://models.example/v1", "https://models.example:8443/v1"]


class TestAnotherServer:
    """Else whoever changes an address could have the key sent to a server of their own."""

    @pytest.mark.parametrize("base_url", ELSEWHERE)
    def test_the_key_is_not_taken_along(self, model: Connection, administrator: User, base_url: str) -> None:
        changed = actions.change_connection(model, {"base_url": base_url}, by=administrator)
        changed.refresh_from_db()
        assert (changed.base_url, changed.api_key_encrypted) == (base_url, "")
        (told,) = events("connection.changed")
        assert told["api_key_changed"] is True
        assert told["api_key_cleared"] == "The API key was for another server: enter it again."

    @pytest.mark.parametrize("key", ["sk-first", "sk-second", ""])
    def test_one_that_is_given_with_the_address_counts(
        self, model: Connection, administrator: User, key: str
    ) -> None:
        wanted = {"base_url": ELSEWHERE[0], "api_key": key}
        assert actions.change_connection(model, wanted, by=administrator).api_key == key
        assert "api_key_cleared" not in events("connection.changed")[0]

    @pytest.mark.parametrize("path", ["https://models.example/v2", "https://MODELS.example:443/v1"])
    def test_another_address_on_the_same_server_keeps_it(
        self, model: Connection, administrator: User, path: str
    ) -> None:
        assert actions.change_connection(model, {"base_url": path}, by=administrator).api_key == "sk-first"

    def test_nor_by_way_of_no_address_at_all(self, model: Connection, administrator: User) -> None:
        script = {"protocol": "scripted", "script": [{"say": "hi"}], "base_url": ""}
        assert actions.change_connection(model, script, by=administrator).api_key == ""

    def test_also_one_that_nobody_can_read_goes(
        self, model: Connection, administrator: User, settings: Any
    ) -> None:
        settings.SECRET_KEY = "another"
        changed = actions.change_connection(model, {"base_url": ELSEWHERE[0]}, by=administrator)
        assert secret_of(changed, "api_key") == ""

    def test_without_a_key_nothing_is_said_of_it(self, far: Connection, administrator: User) -> None:
        actions.change_connection(far, {"base_url": ELSEWHERE[0]}, by=administrator)
        assert not events("connection.changed")[0].keys() & {"api_key_changed", "api_key_cleared"}


def test_a_secret_that_nobody_can_read_any_more_can_be_replaced(
    model: Connection, administrator: User, settings: Any
) -> None:
    settings.SECRET_KEY = "another"
    assert secret_of(model, "api_key") is None
    changed = actions.change_connection(model, {"api_key": "sk-first"}, by=administrator)
    assert secret_of(changed, "api_key") == "sk-first"


@pytest.mark.parametrize(
    ("protocol", "lacking"),
    [
        ("chat_completions", "model"),
        ("chat_completions", "base_url"),
        ("scripted", "script"),
        ("assistants", "base_url"),
        ("responses", "base_url"),
        ("agents", "base_url"),
    ],
)
def test_what_a_protocol_needs_is_asked_for(protocol: str, lacking: str, administrator: User) -> None:
    wanted = {**CHAT, "script": [{"say": "hi"}], "protocol": protocol}
    del wanted[lacking]
    with pytest.raises(Invalid, match=f"^{lacking} is required for {protocol}.$"):
        actions.create_connection(wanted, by=administrator)
    assert not Connection.objects.exists()


def test_what_is_needed_cannot_be_emptied(model: Connection, administrator: User) -> None:
    with pytest.raises(Invalid, match="base_url is required"):
        actions.change_connection(model, {"base_url": ""}, by=administrator)


def test_a_name_is_given_once(model: Connection, far: Connection, administrator: User) -> None:
    with pytest.raises(Conflict, match="There is a connection called Model already"):
        actions.create_connection(CHAT, by=administrator)
    with pytest.raises(Conflict, match="There is a connection called Model already"):
        actions.change_connection(far, {"name": "Model"}, by=administrator)
    assert far.name == "Far"


def test_who_changes_what_somebody_deleted_is_told(model: Connection, administrator: User) -> None:
    Connection.objects.all().delete()
    with pytest.raises(NotFound, match="Somebody deleted the connection Model"):
        actions.change_connection(model, {"model": "large"}, by=administrator)


def test_only_administrators_of_everything_may(
    model: Connection, mailbox: Mailbox, reviewer: User, auditor: User
) -> None:
    some = factories.a_person("some@acme.test", "administrator", mailboxes=[mailbox])
    for actor in (reviewer, auditor, some):
        with pytest.raises(NotPermitted):
            actions.create_connection({**CHAT, "name": "Other"}, by=actor)
        with pytest.raises(NotPermitted):
            actions.change_connection(model, {"model": "large"}, by=actor)
        with pytest.raises(NotPermitted):
            actions.delete_connection(model, by=actor)


class TestAnotherProtocol:
    def test_what_was_made_at_the_former_far_side_is_forgotten(
        self, far: Connection, mailbox: Mailbox, administrator: User
    ) -> None:
        agent = factories.an_assistant(connection=far, remote_id="asst_1")
        conversation = Conversation.objects.create(mailbox=mailbox)
        ConversationThread.objects.create(
            conversation=conversation, assistant=agent, connection=far, thread_id="thread_1"
        )
        actions.change_connection(far, {"base_url": "https://same.example/v1"}, by=administrator)
        agent.refresh_from_db()
        assert agent.remote_id == "asst_1"
        actions.change_connection(far, {"protocol": "responses"}, by=administrator)
        agent.refresh_from_db()
        assert agent.remote_id == ""
        assert not ConversationThread.objects.exists()

    def test_it_waits_until_the_runs_have_ended(self, far: Connection, administrator: User) -> None:
        run = a_run_over(far)
        with pytest.raises(Invalid, match="stays assistants while runs over it have not ended"):
            actions.change_connection(far, {"protocol": "responses"}, by=administrator)
        Run.objects.filter(pk=run.pk).update(status="completed")
        assert actions.change_connection(far, {"protocol": "responses"}, by=administrator)

    def test_a_script_makes_way_for_a_model_at_any_time(self, administrator: User) -> None:
        scripted = factories.a_connection([{"say": "hi"}])
        run = a_run_over(scripted)
        actions.change_connection(scripted, {**CHAT, "name": "Model"}, by=administrator)
        run.assistant.refresh_from_db()
        assert run.assistant.connection == Connection.objects.get(protocol="chat_completions")


class TestDeleting:
    def test_an_unused_one_goes_and_the_log_says_so(self, model: Connection, administrator: User) -> None:
        assert why_kept(model) == ""
        actions.delete_connection(model, by=administrator)
        assert not Connection.objects.exists()
        assert events("connection.changed") == [{"connection": model.pk, "name": "Model", "deleted": True}]

    def test_twice_is_once(self, model: Connection, administrator: User) -> None:
        actions.delete_connection(model, by=administrator)
        actions.delete_connection(model, by=administrator)
        assert len(events("connection.changed")) == 1

    def test_one_that_an_assistant_uses_stays(self, model: Connection, administrator: User) -> None:
        factories.an_assistant("Support Agent", connection=model)
        with pytest.raises(Conflict, match="It is used by Support Agent"):
            actions.delete_connection(model, by=administrator)
        assert Connection.objects.exists()

    def test_one_over_which_a_run_was_served_stays(self, model: Connection, administrator: User) -> None:
        run = a_run_over(model, "completed")
        actions.choose_connection(run.assistant, None, by=administrator)
        with pytest.raises(Conflict, match="their record names it"):
            actions.delete_connection(model, by=administrator)
        assert Connection.objects.exists()
