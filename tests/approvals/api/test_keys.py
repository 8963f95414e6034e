"""/v1/api-keys: made, widened and ended with a person's word, by keys over all mailboxes only."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.models import OperatorRequest
from approvals.operator_requests import open_code
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import Caller

WANTED = {"name": "Reader", "scopes": ["read"]}


@pytest.fixture
def owner(mailbox: Mailbox) -> Caller:
    """An integration's program that administers all mailboxes."""
    return Caller(factories.a_key(factories.an_integration("Admin"), scopes=["admin"]))


def with_code(call: Any, path: str, wanted: dict[str, Any]) -> Any:
    assert call(path, wanted).status_code == 202
    code = open_code(OperatorRequest.objects.order_by("-pk")[0])
    return call(path, {**wanted, "approval_code": code})


def test_a_key_is_made_with_a_persons_word_and_its_secret_shown_once(owner: Caller) -> None:
    made = with_code(owner.post, "/v1/api-keys", WANTED)
    assert made.status_code == 201
    secret = made.json()["api_key"]
    assert secret.startswith("mm_live_")
    assert Caller(**{"X-API-Key": secret}).get("/v1/mailboxes").status_code == 200
    assert secret not in owner.get("/v1/api-keys").content.decode()
    assert Event.objects.filter(action="key.created").count() == 1


def test_without_scopes_a_key_reads(owner: Caller) -> None:
    assert with_code(owner.post, "/v1/api-keys", {"name": "Plain"}).json()["scopes"] == ["read"]


def test_a_key_of_an_assistant_may_touch_what_its_assistant_may(owner: Caller, mailbox: Mailbox) -> None:
    assistant = factories.an_assistant(mailboxes=[mailbox])
    other = factories.a_mailbox()
    made = with_code(owner.post, "/v1/api-keys", WANTED | {"assistant_id": assistant.pk})
    assert made.json()["mailbox_ids"] == [mailbox.pk]
    narrow = WANTED | {"name": "Narrow", "mailbox_ids": [other.pk]}
    assert with_code(owner.post, "/v1/api-keys", narrow).json()["mailbox_ids"] == [other.pk]


@pytest.mark.parametrize("scopes", [["oversight", "send"], ["oversight", "admin"], ["fly"]])
def test_no_key_both_sends_and_decides(owner: Caller, scopes: list[str]) -> None:
    assert owner.post("/v1/api-keys", {"name": "Both", "scopes": scopes}).status_code == 400
    assert not OperatorRequest.objects.exists()


def test_less_at_once_and_more_with_a_persons_word(owner: Caller, api_key: ApiKey) -> None:
    path = f"/v1/api-keys/{api_key.pk}"
    assert owner.patch(path, {"name": "Renamed", "scopes": ["read"]}).json()["scopes"] == ["read"]
    widened = with_code(owner.patch, path, {"scopes": ["read", "send"]})
    assert (widened.status_code, widened.json()["scopes"]) == (200, ["read", "send"])


def test_an_assistants_key_never_gets_more_than_its_assistant_has(owner: Caller, api_key: ApiKey) -> None:
    assert owner.patch(f"/v1/api-keys/{api_key.pk}", {"scopes": ["admin"]}).status_code == 400


def test_a_key_is_ended_with_a_persons_word(owner: Caller, agent: Caller, api_key: ApiKey) -> None:
    path = f"/v1/api-keys/{api_key.pk}"
    assert with_code(owner.delete, path, {}).json() == {"status": "revoked"}
    assert agent.get("/v1/mailboxes").status_code == 401
    listed = owner.get("/v1/api-keys").json()["api_keys"]
    assert [one["is_active"] for one in listed if one["id"] == api_key.pk] == [False]


def test_keys_are_for_whoever_administers_all_mailboxes(agent: Caller, manager: Caller) -> None:
    assert agent.get("/v1/api-keys").status_code == 403
    refused = manager.get("/v1/api-keys")
    assert (refused.status_code, refused.json()["code"]) == (403, "needs_all_mailboxes")
    assert manager.post("/v1/api-keys", WANTED).status_code == 403


@pytest.mark.parametrize("how_many", [1, 4])
def test_the_number_of_queries_does_not_grow(
    django_assert_num_queries: Any, owner: Caller, how_many: int
) -> None:
    for _ in range(how_many):
        factories.a_key(factories.an_integration())
    owner.get("/v1/api-keys")
    with django_assert_num_queries(3):  # the caller's key, keys, their mailboxes
        assert len(owner.get("/v1/api-keys").json()["items"]) == how_many + 1
