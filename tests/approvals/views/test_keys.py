"""The pages of keys."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from assistants import keys
from assistants.models import ApiKey, Assistant, Integration
from audit.models import Event
from audit.secrets import hash_secret
from mailboxes.models import Mailbox
from tests.approvals.views.conftest import at_browser
from tests.approvals.views.test_set_up import press, shown
from tests.factories import a_key, a_mailbox, a_person, an_assistant, an_integration


@pytest.fixture
def zoe(mailbox: Mailbox) -> Client:
    """Administers one mailbox."""
    return at_browser(a_person("zoe@acme.test", "administrator", mailboxes=[mailbox]))


def test_without_a_key_the_page_says_what_one_is_for(ada: Client) -> None:
    page = shown(ada, "/keys")
    assert "No key works" in page
    assert "Make the first one" in page


def test_a_new_key_shows_its_secret_once_and_how_to_use_it(
    ada: Client, assistant: Assistant, mailbox: Mailbox
) -> None:
    assert "Support Agent (read, send)" in shown(ada, f"/keys/new?owner={assistant.pk}")
    response = ada.post(
        "/keys/new",
        {"name": "worker", "owner": assistant.pk, "scopes": ["read"], "mailboxes": [mailbox.pk]},
    )
    secret, page = response.context["secret"], response.content.decode()
    key = ApiKey.objects.get(name="worker")
    assert hash_secret(secret) == key.hash
    assert f"Bearer {secret}" in page
    assert "/openai/v1" in page
    assert secret not in shown(ada, f"/keys/{key.pk}") + shown(ada, "/keys")
    assert (key.scopes, key.expires_at) == (["read"], None)


def test_a_program_that_is_new_is_kept_with_its_key(ada: Client) -> None:
    form = {"name": "desk", "owner": "new", "program": "Review desk", "scopes": ["oversight", "read"]}
    assert "Review desk" in press(ada, "/keys/new", all_mailboxes="on", **form)
    key = ApiKey.objects.get(name="desk")
    assert key.integration == Integration.objects.get(name="Review desk")
    assert key.all_mailboxes
    assert list(Event.objects.order_by("-seq").values_list("action", flat=True)[:2]) == [
        "key.created",
        "integration.created",
    ]
    again = press(ada, "/keys/new", all_mailboxes="on", **form)
    assert "already; choose it" in again
    assert "choose it" in press(ada, "/keys/new", all_mailboxes="on", **(form | {"name": "second"}))
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scopes": ["send", "oversight"]}, "may hold only oversight"),
        ({"scopes": ["admin"]}, "itself does not have admin"),
        ({"scopes": []}, "required"),
        ({"mailboxes": []}, "Choose at least one mailbox"),
        ({"all_mailboxes": "on"}, "lists its mailboxes"),
        ({"expires_on": "2020-01-01"}, "This day has passed"),
        ({"owner": "new"}, "Say what the new program is called"),
        ({"owner": "agt_nobody"}, "not one of the available choices"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_the_rest_is_kept(
    ada: Client, assistant: Assistant, mailbox: Mailbox, wrong: dict[str, object], sentence: str
) -> None:
    form: dict[str, object] = {"name": "typed before", "owner": assistant.pk, "scopes": ["read"]}
    page = press(ada, "/keys/new", **(form | {"mailboxes": [mailbox.pk]} | wrong))
    assert sentence in page
    assert "typed before" in page
    assert not ApiKey.objects.exists()


def test_a_key_is_renamed_and_changed(ada: Client, api_key: ApiKey, mailbox: Mailbox) -> None:
    more = a_mailbox("more@acme.test")
    day = (timezone.now() + timedelta(days=3)).date()
    form = {"name": "worker 2", "scopes": ["read"], "mailboxes": [more.pk], "expires_on": day.isoformat()}
    assert "holds from the next call on" in press(ada, f"/keys/{api_key.pk}", **form)
    api_key.refresh_from_db()
    assert (api_key.name, api_key.scopes) == ("worker 2", ["read"])
    assert [link.mailbox for link in api_key.mailbox_links.all()] == [more]
    assert f'value="{day}"' in shown(ada, f"/keys/{api_key.pk}")
    press(ada, f"/keys/{api_key.pk}", **(form | {"expires_on": ""}))
    api_key.refresh_from_db()
    assert api_key.expires_at is None


def test_a_revoked_key_stops_at_once_and_is_listed_as_ended(ada: Client, api_key: ApiKey) -> None:
    secret = api_key.secret  # type: ignore[attr-defined]
    assert keys.find_key(secret)
    assert "revoke-dialog" in shown(ada, f"/keys/{api_key.pk}")
    assert "no longer works" in press(ada, f"/keys/{api_key.pk}/revoke")
    assert keys.find_key(secret) is None
    assert api_key.name not in shown(ada, "/keys")
    assert api_key.name in shown(ada, "/keys?state=ended")


def test_keys_that_nobody_uses_are_found(ada: Client, api_key: ApiKey, assistant: Assistant) -> None:
    idle = a_key(assistant, created_at=timezone.now() - timedelta(days=40))
    page = shown(ada, "/keys?state=unused")
    assert idle.name in page
    assert api_key.name not in page


def test_a_state_that_there_is_not_shows_no_key_and_says_so(ada: Client, api_key: ApiKey) -> None:
    page = shown(ada, "/keys?state=lost")
    assert "“lost” is no state of a key" in page
    assert api_key.prefix not in page


def test_keys_are_for_administrators(rita: Client, otto: Client, api_key: ApiKey) -> None:
    for client in (rita, otto):
        for path in ("/keys", "/keys/new", f"/keys/{api_key.pk}"):
            refused = client.get(path)
            assert refused.status_code == 403
            assert "administrator role" in refused.content.decode()
        assert client.post(f"/keys/{api_key.pk}/revoke").status_code == 403


def test_who_administers_some_mailboxes_manages_the_keys_of_these(
    zoe: Client, assistant: Assistant, api_key: ApiKey, mailbox: Mailbox
) -> None:
    form = {"name": "near", "owner": assistant.pk, "scopes": ["read"], "mailboxes": [mailbox.pk]}
    assert zoe.post("/keys/new", form).context["secret"]
    assert "Saved" in press(zoe, f"/keys/{api_key.pk}", **(form | {"name": "nearer"}))
    assert "no longer works" in press(zoe, f"/keys/{api_key.pk}/revoke")


def test_keys_that_work_beyond_their_mailboxes_are_left_to_others(
    zoe: Client, assistant: Assistant, mailbox: Mailbox
) -> None:
    far = a_mailbox("far@elsewhere.test")
    shared, wide = a_key(assistant, mailboxes=[mailbox, far]), a_key(an_integration())
    page = shown(zoe, f"/keys/{shared.pk}")
    assert "beyond them" in page
    assert "far@" not in page
    assert zoe.post(f"/keys/{shared.pk}/revoke").status_code == 403
    assert zoe.get(f"/keys/{wide.pk}").status_code == 404
    form = {"name": "x", "owner": assistant.pk, "scopes": ["read"], "mailboxes": [far.pk]}
    assert "not one of the available choices" in press(zoe, "/keys/new", **form)
    strong = an_assistant(scopes=["admin"], mailboxes=[mailbox])
    form = {"name": "x", "owner": strong.pk, "scopes": ["admin"], "mailboxes": [mailbox.pk]}
    assert zoe.post("/keys/new", form).status_code == 403
    assert not ApiKey.objects.filter(name="x").exists()


@pytest.mark.parametrize("rows", [1, 3])
def test_the_list_costs_the_same_however_long(
    ada: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
    assistant: Assistant,
    mailbox: Mailbox,
    rows: int,
) -> None:
    for _ in range(rows):
        a_key(assistant, mailboxes=[mailbox])
    with django_assert_num_queries(10):
        ada.get("/keys")
