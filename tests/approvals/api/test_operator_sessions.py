"""/v1/operator: half an hour without a code for each thing, after one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals.models import OperatorRequest, OperatorSession
from approvals.operator_requests import open_code
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Account, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller

START, VERIFY, END, SESSION = (
    f"/v1/operator/{name}" for name in ("start-session", "verify-session", "end-session", "session")
)


@pytest.fixture
def owner_key(mailbox: Mailbox) -> ApiKey:
    return factories.a_key(factories.an_integration("Admin"), scopes=["admin"])


@pytest.fixture
def owner(owner_key: ApiKey) -> Caller:
    """An integration's program that administers all mailboxes, and keeps cookies."""
    return Caller(owner_key)


def newest_code() -> str:
    return open_code(OperatorRequest.objects.order_by("-pk")[0])


@pytest.fixture
def in_session(owner: Caller) -> Caller:
    owner.post(START)
    assert owner.post(VERIFY, {"code": newest_code()}).status_code == 200
    return owner


def test_one_code_is_worth_half_an_hour_without_any(in_session: Caller, mailbox: Mailbox) -> None:
    assert in_session.get(SESSION).json()["active"] is True
    made = in_session.post("/v1/api-keys", {"name": "Reader"})
    assert (made.status_code, made.json()["name"]) == (201, "Reader")
    entry = in_session.post(f"/v1/mailboxes/{mailbox.pk}/allowlist", {"pattern": "*@northwind.example"})
    assert entry.status_code == 201
    for number in range(2):
        created = in_session.post("/v1/mailboxes", {"address": f"box{number}@acme.test"})
        assert created.status_code == 201


def test_the_cookie_is_for_the_api_alone_and_out_of_reach_of_scripts(owner: Caller) -> None:
    owner.post(START)
    cookie = owner.post(VERIFY, {"code": newest_code()}).cookies["operator_session"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/v1/", True, "Strict")
    assert cookie["max-age"] == 1800
    assert not OperatorSession.objects.filter(hash=cookie.value).exists()


def test_before_and_after_it_each_thing_takes_a_code(in_session: Caller) -> None:
    assert in_session.post(END).json() == {"status": "ended"}
    assert in_session.get(SESSION).json() == {"active": False, "expires_at": None}
    assert in_session.post("/v1/api-keys", {"name": "Reader"}).status_code == 202


def test_it_ends_by_the_clock(in_session: Caller) -> None:
    OperatorSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert in_session.get(SESSION).json()["active"] is False
    assert in_session.post("/v1/api-keys", {"name": "Reader"}).status_code == 202


def test_a_cookie_that_outlives_the_end_is_worth_nothing(in_session: Caller) -> None:
    token = in_session.cookies["operator_session"].value
    in_session.post(END)
    in_session.cookies["operator_session"] = token
    assert in_session.post("/v1/api-keys", {"name": "Reader"}).status_code == 202


def test_it_is_of_its_own_key_alone(in_session: Caller) -> None:
    other = Caller(factories.a_key(factories.an_integration(), scopes=["admin"]))
    other.cookies["operator_session"] = in_session.cookies["operator_session"].value
    assert other.get(SESSION).json()["active"] is False
    assert other.post("/v1/api-keys", {"name": "Reader"}).status_code == 202


def test_the_cookie_without_the_key_lets_nobody_in(in_session: Caller) -> None:
    stranger = Caller()
    stranger.cookies["operator_session"] = in_session.cookies["operator_session"].value
    assert stranger.get(SESSION).status_code == 401


def test_who_gets_the_codes_and_the_end_of_the_account_take_a_code_of_their_own(in_session: Caller) -> None:
    changed = in_session.patch("/v1/account", {"oversight_email": "eve@evil.test"})
    assert (changed.status_code, in_session.delete("/v1/account", {}).status_code) == (202, 202)
    assert not Account.objects.filter(oversight_email="eve@evil.test").exists()


def test_a_mailbox_is_made_looser_with_a_code_only(in_session: Caller, mailbox: Mailbox) -> None:
    refused = in_session.patch(f"/v1/mailboxes/{mailbox.pk}", {"oversight_mode": "autonomous"})
    assert (refused.status_code, refused.json()["code"]) == (403, "looser_needs_a_person")


def test_a_wrong_code_begins_nothing_and_five_end_the_asking(owner: Caller) -> None:
    assert owner.post(VERIFY, {"code": "AAA-AAA"}).json()["code"] == "no_open_request"
    asked = owner.post(START).json()
    assert asked["status"] == "code_sent"
    code = newest_code()
    for _ in range(5):
        assert owner.post(VERIFY, {"code": "AAA-AAA"}).json()["code"] == "wrong_approval_code"
    assert owner.post(VERIFY, {"code": code}).status_code == 403
    assert not OperatorSession.objects.exists()


def test_a_code_begins_one_session(in_session: Caller) -> None:
    code = OperatorRequest.objects.get()
    assert open_code(code) == ""
    assert in_session.post(VERIFY, {"code": "AAA-AAA"}).json()["code"] == "no_open_request"


def test_beginning_and_end_are_on_record(in_session: Caller, owner_key: ApiKey) -> None:
    in_session.post(END)
    told = Event.objects.filter(action__startswith="operator_session.").order_by("seq")
    assert [event.action for event in told] == ["operator_session.started", "operator_session.ended"]
    assert {event.actor for event in told} == {f"key:{owner_key.pk}"}


def test_only_a_key_that_administers_asks(agent: Caller, overseer: Caller) -> None:
    for caller in (agent, overseer):
        assert caller.post(START).status_code == 403
