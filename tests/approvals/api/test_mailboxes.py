"""GET and POST /v1/mailboxes, GET /v1/mailboxes/{id}."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from approvals import operator_requests
from approvals.models import OperatorRequest
from approvals.models.requests import MAX_ATTEMPTS
from assistants.models import ApiKey, Assistant
from audit.models import Event
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import Caller


def test_a_key_lists_its_own_mailboxes_under_both_names(
    agent: Caller, stranger: Caller, mailbox: Mailbox
) -> None:
    answer = agent.get("/v1/mailboxes").json()
    assert [m["id"] for m in answer["mailboxes"]] == [mailbox.pk]
    assert answer["items"] == answer["mailboxes"]
    assert answer["mailboxes"][0]["created_at"] == int(mailbox.created_at.timestamp() * 1000)


@pytest.mark.parametrize("how_many", [1, 3])
def test_the_number_of_queries_does_not_grow(
    django_assert_num_queries: Any, api_key: ApiKey, agent: Caller, mailbox: Mailbox, how_many: int
) -> None:
    key = factories.a_key(factories.an_integration(), scopes=["read"])
    for _ in range(how_many - 1):
        factories.a_mailbox()
    caller = Caller(key)
    caller.get("/v1/mailboxes")
    with django_assert_num_queries(3):  # key, mailboxes, their webhooks
        assert len(caller.get("/v1/mailboxes").json()["mailboxes"]) == how_many


def test_one_mailbox(agent: Caller, stranger: Caller, mailbox: Mailbox) -> None:
    assert agent.get(f"/v1/mailboxes/{mailbox.pk}").json()["address"] == "support@acme.test"
    assert stranger.get(f"/v1/mailboxes/{mailbox.pk}").status_code == 404
    assert agent.get("/v1/mailboxes/mbx_none").status_code == 404


def test_a_keys_first_mailbox_is_made_at_once_and_joins_it(mailbox: Mailbox) -> None:
    assistant = factories.an_assistant(mailboxes=[mailbox], scopes=["admin"])
    caller = Caller(factories.a_key(assistant, scopes=["admin"], mailboxes=[mailbox]))
    response = caller.post("/v1/mailboxes", {"address_local": "billing", "display_name": "Billing"})
    assert response.status_code == 201
    made = Mailbox.objects.get(pk=response.json()["id"])
    assert (made.address, made.display_name) == ("billing@acme.test", "Billing")
    assert caller.get(f"/v1/mailboxes/{made.pk}").status_code == 200
    assert Assistant.objects.get(mailbox_links__mailbox=made) == assistant
    assert Event.objects.filter(action="mailbox.created", mailbox_id=made.pk).exists()


@pytest.mark.parametrize("asked", ["monitored", "autonomous", "gated_send"])
def test_a_key_never_gets_a_looser_mode_than_gated_send(manager: Caller, asked: str) -> None:
    response = manager.post("/v1/mailboxes", {"address": "new@acme.test", "oversight_mode": asked})
    assert (response.status_code, response.json()["oversight_mode"]) == (201, "gated_send")


def test_a_key_may_ask_for_a_stricter_mode(manager: Caller) -> None:
    response = manager.post("/v1/mailboxes", {"address": "new@acme.test", "oversight_mode": "read_only"})
    assert response.json()["oversight_mode"] == "read_only"


@pytest.fixture
def waiting(manager: Caller) -> OperatorRequest:
    """A second mailbox that waits for its code."""
    assert manager.post("/v1/mailboxes", {"address": "first@acme.test"}).status_code == 201
    response = manager.post("/v1/mailboxes", {"address": "second@acme.test"})
    assert (response.status_code, response.json()["status"]) == (202, "pending_approval")
    return OperatorRequest.objects.get()


def test_a_later_mailbox_is_made_with_the_code_that_a_person_relays(
    manager: Caller, waiting: OperatorRequest
) -> None:
    code = operator_requests.open_code(waiting)
    assert code not in waiting.code_encrypted
    again = manager.post("/v1/mailboxes", {"address": "second@acme.test"})
    assert again.status_code == 202
    assert OperatorRequest.objects.count() == 1
    made = manager.post("/v1/mailboxes", {"address": "second@acme.test", "approval_code": code.lower()})
    assert (made.status_code, made.json()["address"]) == (201, "second@acme.test")
    reused = manager.post("/v1/mailboxes", {"address": "third@acme.test", "approval_code": code})
    assert reused.status_code == 403


def test_a_code_is_for_what_was_asked_and_nothing_else(manager: Caller, waiting: OperatorRequest) -> None:
    code = operator_requests.open_code(waiting)
    for other in ({"address": "other@acme.test"}, {"address": "second@acme.test", "display_name": "CEO"}):
        response = manager.post("/v1/mailboxes", {**other, "approval_code": code})
        assert (response.status_code, response.json()["code"]) == (403, "no_open_request")


def test_five_wrong_codes_close_the_request(manager: Caller, waiting: OperatorRequest) -> None:
    code = operator_requests.open_code(waiting)
    for _ in range(MAX_ATTEMPTS):
        response = manager.post("/v1/mailboxes", {"address": "second@acme.test", "approval_code": "AAA-AAA"})
        assert (response.status_code, response.json()["code"]) == (403, "wrong_approval_code")
    late = manager.post("/v1/mailboxes", {"address": "second@acme.test", "approval_code": code})
    assert late.status_code == 403
    waiting.refresh_from_db()
    assert operator_requests.open_code(waiting) == ""


def test_a_code_lasts_a_day(manager: Caller, waiting: OperatorRequest) -> None:
    code = operator_requests.open_code(waiting)
    OperatorRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    response = manager.post("/v1/mailboxes", {"address": "second@acme.test", "approval_code": code})
    assert response.status_code == 403


def test_another_keys_code_is_no_good(waiting: OperatorRequest, mailbox: Mailbox) -> None:
    other = factories.a_key(
        factories.an_integration(), scopes=["admin"], mailboxes=[mailbox], made_mailbox=True
    )
    code = operator_requests.open_code(waiting)
    response = Caller(other).post("/v1/mailboxes", {"address": "second@acme.test", "approval_code": code})
    assert response.status_code == 403


@pytest.mark.database
def test_of_two_first_mailboxes_at_once_one_needs_a_code(transactional_db: None, mailbox: Mailbox) -> None:
    key = factories.a_key(factories.an_integration(), scopes=["admin"], mailboxes=[mailbox])
    codes = at_once(lambda n: Caller(key).post("/v1/mailboxes", {"address": f"new{n}@acme.test"}).status_code)
    assert sorted(codes) == [201, 202, 202, 202]


@pytest.mark.database
def test_a_code_makes_one_mailbox_however_often_it_comes_at_once(
    transactional_db: None, mailbox: Mailbox
) -> None:
    key = factories.a_key(
        factories.an_integration(), scopes=["admin"], mailboxes=[mailbox], made_mailbox=True
    )
    assert Caller(key).post("/v1/mailboxes", {"address": "new@acme.test"}).status_code == 202
    code = operator_requests.open_code(OperatorRequest.objects.get())
    body = {"address": "new@acme.test", "approval_code": code}
    codes = at_once(lambda _: Caller(key).post("/v1/mailboxes", body).status_code)
    assert codes.count(201) == 1
    assert set(codes) <= {201, 403, 409}


def at_once(call: Callable[[int], int], how_many: int = 4) -> list[int]:
    together = threading.Barrier(how_many)

    def run(number: int) -> int:
        try:
            together.wait()
            return call(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(how_many) as pool:
        return list(pool.map(run, range(how_many)))


def test_an_address_that_is_taken_is_409_and_tells_no_more(manager: Caller) -> None:
    hidden = factories.a_mailbox("hidden@acme.test")
    response = manager.post("/v1/mailboxes", {"address": "Hidden@ACME.test"})
    assert (response.status_code, response.json()["code"]) == (409, "address_taken")
    assert hidden.pk not in response.content.decode()
    # and it has not cost the key its first mailbox
    assert manager.post("/v1/mailboxes", {"address": "new@acme.test"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "address"),
        ({"address": "a@acme.test", "address_local": "b"}, "address"),
        ({"address": "no address"}, "address"),
        ({"address": "a@acme.test, b@acme.test"}, "address"),
        ({"address": "a@acme.test", "oversight_mode": "whatever"}, "oversight_mode"),
        ({"address": "a@acme.test", "display_name": "A\r\nBcc: eve@evil.test"}, "display_name"),
        ({"address": "a@acme.test", "display_name": "=?utf-8?q?A=0ABcc:_eve@evil.test?="}, "display_name"),
        ({"address": "a@acme.test", "webhook_url": "ftp://example.com"}, "webhook_url"),
    ],
)
def test_what_cannot_be_a_mailbox_is_400(manager: Caller, body: dict[str, Any], field: str) -> None:
    response = manager.post("/v1/mailboxes", body)
    assert (response.status_code, response.json()["field"]) == (400, field)


def test_a_local_part_needs_a_domain(db: None) -> None:
    caller = Caller(factories.a_key(factories.an_integration(), scopes=["admin"], mailboxes=[]))
    response = caller.post("/v1/mailboxes", {"address_local_part": "billing"})
    assert (response.status_code, response.json()["field"]) == (400, "address")
