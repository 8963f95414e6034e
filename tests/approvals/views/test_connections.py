"""Connections, as administrators of everything see and change them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from approvals.models import MailboxAssistant
from assistants.models import Assistant, Connection
from audit.models import Event
from mailboxes.models import Mailbox
from tests.approvals.views.conftest import at_browser
from tests.approvals.views.test_set_up import press, shown
from tests.factories import a_connection, a_mailbox, a_person, an_assistant

KEY, SIGNING = "sk-secret-key", "whsec_c2VjcmV0"
CHAT = {
    "name": "Model",
    "base_url": "https://models.example/v1",
    "model": "small",
    "api_key": KEY,
    "timeout": "",
    "retries": "",
    "hold_policy": "",
    "asked": ["", ""],
    "served": ["", ""],
}


@pytest.fixture
def far(db: None) -> Connection:
    far = a_connection(
        name="Far",
        protocol="responses",
        base_url="https://far.example/v1",
        model="large",
        polls_per_minute=12,
        models_served={"large": "huge"},
        timeout=7.5,
        hold_policy="pending_now",
    )
    far.api_key, far.webhook_secret = KEY, SIGNING
    far.save()
    return far


def path(row: Connection) -> str:
    return f"/connections/{row.pk}"


def settings_of(row: Connection, **more: Any) -> dict[str, Any]:
    """What the page's form carries when nothing was touched."""
    return {
        "name": row.name,
        "base_url": row.base_url,
        "api_version": row.api_version,
        "model": row.model,
        "timeout": row.timeout or "",
        "polls_per_minute": row.polls_per_minute,
        "hold_policy": row.hold_policy,
        "asked": [*row.models_served, "", ""],
        "served": [*row.models_served.values(), "", ""],
    } | more


def test_before_there_is_one_the_page_says_what_it_will_be_for(ada: Client) -> None:
    page = shown(ada, "/connections")
    assert "No connection yet" in page
    assert "then choose it on the assistant" in page


def test_the_list_says_where_which_model_and_who_uses_it(ada: Client, far: Connection) -> None:
    an_assistant("Support Agent", connection=far)
    page = shown(ada, "/connections")
    for words in ("Far", "Responses and Conversations", "https://far.example/v1", "large", "Support Agent"):
        assert words in page


@pytest.mark.parametrize("rows", [1, 3])
def test_the_list_costs_the_same_however_long(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries, rows: int
) -> None:
    for _ in range(rows):
        an_assistant(connection=a_connection())
    with django_assert_num_queries(10):
        ada.get("/connections")


@pytest.mark.parametrize("who", ["reviewer", "auditor", "administrator"])
def test_they_are_for_administrators_of_everything_only(who: str, far: Connection, mailbox: Mailbox) -> None:
    """An administrator of some mailboxes is none of everything."""
    client = at_browser(a_person("x@acme.test", who, mailboxes=[mailbox] if who == "administrator" else None))
    for url in ("/connections", "/connections/new", "/connections/new/scripted", path(far)):
        assert client.get(url).status_code == 403, url
    secret = f"{path(far)}/secrets/api_key"
    for url in ("/connections/new/scripted", path(far), f"{path(far)}/delete", secret, f"{secret}/clear"):
        assert client.post(url, settings_of(far, value="x")).status_code == 403, url
    assert "Connections" not in shown(client, "/mailboxes")
    far.refresh_from_db()
    assert far.api_key == KEY


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_what_changes_something_is_a_post(ada: Client, far: Connection, method: str) -> None:
    secret = f"{path(far)}/secrets/api_key"
    for url in (f"{path(far)}/delete", secret, f"{secret}/clear"):
        assert getattr(ada, method)(url).status_code == 405


@pytest.mark.parametrize("url", ["/connections/con_nope", "/connections/new/telepathy"])
def test_what_there_is_not_is_not_found(ada: Client, url: str) -> None:
    assert ada.get(url).status_code == 404
    assert ada.post(url, CHAT).status_code == 404


def test_no_page_shows_a_secret(ada: Client, far: Connection) -> None:
    for url in ("/connections", path(far)):
        page = shown(ada, url)
        assert KEY not in page
        assert SIGNING not in page
        assert far.api_key_encrypted not in page
    # nor what was just typed, when it comes back with an error
    assert KEY not in press(ada, "/connections/new/chat_completions", **CHAT | {"base_url": "nowhere"})


@pytest.mark.parametrize("wrong", [{"base_url": "nowhere"}, {"name": "Far"}])
def test_a_key_that_was_typed_is_asked_for_again_when_something_else_is_wrong(
    ada: Client, far: Connection, wrong: dict[str, str]
) -> None:
    wrong = {"name": far.name} if "name" in wrong else wrong
    assert "Type it again" in press(ada, "/connections/new/chat_completions", **(CHAT | wrong))
    assert "Type it again" not in press(
        ada, "/connections/new/chat_completions", **(CHAT | wrong | {"api_key": ""})
    )


def test_whole_seconds_are_shown_as_such(ada: Client, far: Connection) -> None:
    Connection.objects.update(timeout=30.0)
    assert 'name="timeout" value="30"' in shown(ada, path(far))


class TestMakingOne:
    def test_the_protocols_are_told_apart_in_words(self, ada: Client) -> None:
        page = shown(ada, "/connections/new")
        for protocol in Connection.Protocol:
            assert f"/connections/new/{protocol.value}" in page
        assert "Azure Foundry classic" in page

    def test_it_is_made_as_it_was_typed(self, ada: Client) -> None:
        typed = CHAT | {"timeout": "45.5", "retries": "0", "hold_policy": "hold"}
        typed |= {"asked": ["gpt-4o", "", " o3 "], "served": ["small", "", "large"]}
        assert "Model is ready" in press(ada, "/connections/new/chat_completions", **typed)
        made = Connection.objects.get()
        assert (made.protocol, made.base_url, made.model, made.api_key) == (
            "chat_completions",
            "https://models.example/v1",
            "small",
            KEY,
        )
        assert (made.timeout, made.retries, made.hold_policy) == (45.5, 0, "hold")
        assert made.models_served == {"gpt-4o": "small", "o3": "large"}

    def test_what_is_left_empty_has_its_default(self, ada: Client) -> None:
        press(ada, "/connections/new/chat_completions", **CHAT | {"api_key": ""})
        made = Connection.objects.get()
        assert (made.timeout, made.retries, made.hold_policy, made.polls_per_minute) == (None, None, "", 60)
        assert made.api_key_encrypted == ""
        assert made.models_served == {}

    def test_a_script_is_json_that_the_scripted_model_can_play(self, ada: Client) -> None:
        script = [{"when": {"contains": "order"}, "say": "On its way."}]
        typed = {"name": "Demo", "script": json.dumps(script), "hold_policy": ""}
        press(ada, "/connections/new/scripted", **typed)
        assert Connection.objects.get().script == script
        assert "On its way." in shown(ada, path(Connection.objects.get()))

    @pytest.mark.parametrize(
        ("field", "value", "sentence"),
        [
            ("name", "", "This field is required."),
            ("name", "x" * 201, "Name is longer than 200 characters."),
            ("base_url", "", "This field is required."),
            ("base_url", "models.example", "Base URL is not a URL such as"),
            ("base_url", "https://me:key@models.example", "a key belongs into api_key."),
            ("model", "", "This field is required."),
            ("api_key", "sk-ß", "API key must hold no letters beyond ASCII"),
            ("timeout", "0", "Timeout must be from 1 to 600 seconds."),
            ("timeout", "soon", "Enter a number."),
            ("retries", "11", "Retries must be from 0 to 10."),
            ("hold_policy", "wait", "is not one of hold, hold_with_deadline, pending_now."),
            ("served", ["small", ""], "what is served, and not what is asked for"),
            ("asked", ["gpt-4o", ""], "models.gpt-4o must not be empty."),
            ("name", "Far", "There is a connection called Far already."),
        ],
    )
    def test_what_cannot_be_is_said_at_its_field(
        self, ada: Client, far: Connection, field: str, value: Any, sentence: str
    ) -> None:
        page = press(ada, "/connections/new/chat_completions", **CHAT | {field: value})
        assert sentence in page.replace("&quot;", '"')
        assert list(Connection.objects.all()) == [far]

    def test_one_model_is_asked_for_in_one_row(self, ada: Client) -> None:
        rows = {"asked": ["gpt-4o", "gpt-4o"], "served": ["small", "large"]}
        page = press(ada, "/connections/new/chat_completions", **CHAT | rows)
        assert "One name is asked for in two rows." in page
        assert 'value="large"' in page

    @pytest.mark.parametrize(
        ("script", "sentence"),
        [
            ("[", "line 1, column 2: this is not JSON"),
            ("[]", "script is required for scripted."),
            ('[{"say": "a", "say": "b"}]', "[0].say: is given twice"),
            ('[{"when": {"turn": "1"}, "say": "a"}]', "script[0].when.turn must be a whole number"),
            ("", "This field is required."),
        ],
    )
    def test_a_bad_script_is_told_by_its_place(self, ada: Client, script: str, sentence: str) -> None:
        page = press(ada, "/connections/new/scripted", name="Demo", script=script, hold_policy="")
        assert sentence in page.replace("&#x27;", "'")
        assert not Connection.objects.exists()


class TestThePageOfOne:
    def test_it_says_what_the_far_side_can_do(self, ada: Client, far: Connection) -> None:
        page = shown(ada, path(far))
        assert "Tells by webhook when a run changes." in page
        assert "asked for news at most 12 times a minute" in page
        assert "waits for a person as long as it takes" in page

    def test_each_protocol_has_its_own_words(self, ada: Client) -> None:
        said = {
            "assistants": "A run expires while it waits, and says when.",
            "agents": "Takes the answer to each call as it comes.",
            "scripted": "Tells by itself when a run changes; nobody polls.",
            "responses": "Would tell by webhook when a run changes, once one is set up.",
            "chat_completions": "Takes the answers to a turn&#x27;s calls together.",
        }
        for protocol, sentence in said.items():
            assert sentence in shown(ada, path(a_connection(protocol=protocol))), protocol

    def test_it_shows_the_address_to_register_and_whether_secrets_are_set(
        self, ada: Client, far: Connection
    ) -> None:
        page = shown(ada, path(far))
        assert f"/hooks/models/{far.pk}</code>" in page
        assert page.count("Replace</button>") == 2
        bare = shown(ada, path(a_connection(protocol="responses")))
        assert bare.count("Set</button>") == 2

    def test_secrets_that_no_key_opens_any_more_are_said_to_be_lost(
        self, ada: Client, far: Connection, settings: Any
    ) -> None:
        # the session was signed with the old key, and stays
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another"
        assert "nobody can read it any more" in shown(ada, path(far))

    def test_saving_what_it_shows_changes_nothing(self, ada: Client, far: Connection) -> None:
        assert "Saved." in press(ada, path(far), **settings_of(far))
        assert not Event.objects.filter(action="connection.changed").exists()

    def test_a_key_for_another_server_is_asked_for_again(self, ada: Client, far: Connection) -> None:
        page = press(ada, path(far), **settings_of(far, base_url="https://other.example/v1"))
        assert "The API key was for another server: enter it again." in page
        assert page.count("Set</button>") == 1
        far.refresh_from_db()
        assert (far.api_key, far.webhook_secret) == ("", SIGNING)
        page = press(ada, path(far), **settings_of(far, base_url="https://third.example/v1"))
        assert "enter it again" not in page

    def test_what_is_changed_there_is_changed(self, ada: Client, far: Connection) -> None:
        rows = {"asked": ["large", "tiny", ""], "served": ["", "small", ""]}
        page = press(ada, path(far), **settings_of(far, **rows))
        assert "models.large must not be empty." in page
        rows = {"asked": ["", "tiny", ""], "served": ["", "small", ""]}
        press(ada, path(far), **settings_of(far, name="Near", hold_policy="", timeout="", **rows))
        far.refresh_from_db()
        assert (far.name, far.hold_policy, far.timeout, far.models_served) == (
            "Near",
            "",
            None,
            {"tiny": "small"},
        )
        assert far.api_key == KEY

    def test_a_name_that_is_taken_is_refused_and_the_page_keeps_its_own(
        self, ada: Client, far: Connection
    ) -> None:
        a_connection(name="Taken")
        page = press(ada, path(far), **settings_of(far, name="Taken"))
        assert "There is a connection called Taken already." in page
        assert "<h1>Far</h1>" in page

    def test_a_secret_is_replaced_or_cleared_by_itself(self, ada: Client, far: Connection) -> None:
        page = press(ada, f"{path(far)}/secrets/api_key", value="sk-new")
        assert "API key replaced." in page
        assert "sk-new" not in page
        assert "cleared" in press(ada, f"{path(far)}/secrets/webhook_secret/clear")
        far.refresh_from_db()
        assert (far.api_key, far.webhook_secret) == ("sk-new", "")

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("api_key", "", "Nothing was typed, so nothing was changed."),
            ("api_key", "sk-ü", "New value must hold no letters beyond ASCII"),
            ("webhook_secret", "whsec_x", "what follows is not whole"),
        ],
    )
    def test_a_bad_secret_is_refused_and_the_old_one_kept(
        self, ada: Client, far: Connection, name: str, value: str, sentence: str
    ) -> None:
        assert sentence in press(ada, f"{path(far)}/secrets/{name}", value=value)
        far.refresh_from_db()
        assert (far.api_key, far.webhook_secret) == (KEY, SIGNING)

    @pytest.mark.parametrize("also", ["", "/clear"])
    def test_other_fields_are_no_secrets(self, ada: Client, far: Connection, also: str) -> None:
        assert ada.post(f"{path(far)}/secrets/base_url{also}", {"value": "x"}).status_code == 404

    def test_an_unused_one_is_deleted(self, ada: Client, far: Connection) -> None:
        assert "Far is deleted." in press(ada, f"{path(far)}/delete")
        assert not Connection.objects.exists()

    def test_a_used_one_says_why_it_stays(self, ada: Client, far: Connection) -> None:
        an_assistant("Support Agent", connection=far)
        sentence = "It is used by Support Agent: choose another connection there first."
        assert sentence in shown(ada, path(far))
        assert sentence in press(ada, f"{path(far)}/delete")
        assert Connection.objects.exists()


class TestTheAssistantsPage:
    def test_its_connection_is_chosen_there(self, ada: Client, far: Connection, assistant: Assistant) -> None:
        url = f"/assistants/{assistant.pk}"
        assert f'value="{far.pk}">Far' in shown(ada, url)
        assert "goes over Far." in press(ada, f"{url}/connection", connection=far.pk)
        assistant.refresh_from_db()
        assert assistant.connection == far
        assert "goes over nothing of ours." in press(ada, f"{url}/connection", connection="")
        assistant.refresh_from_db()
        assert assistant.connection is None

    def test_one_that_is_gone_cannot_be_chosen(self, ada: Client, assistant: Assistant) -> None:
        page = press(ada, f"/assistants/{assistant.pk}/connection", connection="con_gone")
        assert "There is no such connection any more." in page

    def test_by_nobody_else(self, rita: Client, eve: Client, far: Connection, assistant: Assistant) -> None:
        url = f"/assistants/{assistant.pk}"
        assert f'value="{far.pk}"' not in shown(rita, url)
        assert rita.post(f"{url}/connection", {"connection": far.pk}).status_code == 403
        assert eve.post(f"{url}/connection", {"connection": far.pk}).status_code == 404


class TestWhatNewMailDoes:
    @pytest.fixture
    def agent(self, mailbox: Mailbox) -> Assistant:
        return an_assistant("Agent", mailboxes=[mailbox], connection=a_connection())

    def test_it_is_chosen_on_the_mailboxs_page(self, ada: Client, mailbox: Mailbox, agent: Assistant) -> None:
        url = f"/mailboxes/{mailbox.pk}"
        assert "while the thread is busy, mail waits its turn" in shown(ada, url)
        page = press(ada, f"{url}/inbound", on_inbound="run", assistant=agent.pk)
        assert "New mail starts runs of Agent." in page
        assert MailboxAssistant.objects.get(answers_inbound=True).assistant == agent
        page = press(ada, f"{url}/inbound", on_inbound="notify", assistant=agent.pk)
        assert "New mail waits until somebody reads it." in page

    def test_what_cannot_work_is_said(self, ada: Client, mailbox: Mailbox, assistant: Assistant) -> None:
        url = f"/mailboxes/{mailbox.pk}/inbound"
        assert "choose one." in press(ada, url, on_inbound="run", assistant="")
        assert "has no connection" in press(ada, url, on_inbound="run", assistant=assistant.pk)
        stranger = an_assistant(mailboxes=[a_mailbox()])
        for form in ({"on_inbound": "run", "assistant": stranger.pk}, {"on_inbound": "sing"}, {}):
            assert "Choose what new mail does" in press(ada, url, **form)

    def test_by_its_administrators_only(
        self, rita: Client, eve: Client, mailbox: Mailbox, agent: Assistant
    ) -> None:
        url, form = f"/mailboxes/{mailbox.pk}/inbound", {"on_inbound": "run", "assistant": agent.pk}
        assert rita.post(url, form).status_code == 403
        assert eve.post(url, form).status_code == 404
        here = at_browser(a_person("here@acme.test", "administrator", mailboxes=[mailbox]))
        assert "starts runs of Agent" in press(here, url, **form)
