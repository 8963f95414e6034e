"""GET /v1/export: all that there is, once an hour."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from django.db import connections
from django.utils import timezone

from approvals import actions
from approvals.actions.account import EXPORT_EVERY
from approvals.errors import TooMany
from approvals.models import User
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Account, Email, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, arrived, held
from tests.servers import AsgiServer


@pytest.fixture
def owner_key(mailbox: Mailbox) -> ApiKey:
    return factories.a_key(factories.an_integration("Admin"), scopes=["admin"])


@pytest.fixture
def owner(owner_key: ApiKey) -> Caller:
    return Caller(owner_key)


def test_everything_is_in_it_and_mail_with_its_bytes(
    owner: Caller, api_key: ApiKey, mailbox: Mailbox, reviewer: User
) -> None:
    message, email = held(mailbox, api_key), arrived(mailbox)
    actions.approve(message, by=reviewer)
    response = owner.get("/v1/export")
    assert response["Content-Type"] == "application/json"
    told = json.loads(response.getvalue())
    assert {one["id"] for one in told["emails"]} == {message.pk, email.pk}
    assert told["account"]["plan"] == "self-hosted"
    assert [one["address"] for one in told["mailboxes"]] == [mailbox.address]
    assert [one["email"] for one in told["people"]] == [reviewer.email]
    assert [one["by"] for one in told["decisions"]] == [reviewer.email]
    # the export itself is the newest event
    assert len(told["audit_log"]) == Event.objects.count()
    sources = {one["id"]: one["sources_base64"] for one in told["emails"]}
    assert base64.b64decode(sources[message.pk][0]) == bytes(message.email.revisions.get().frozen)
    assert email.raw
    assert base64.b64decode(sources[email.pk][0]) == bytes(email.raw.data)


def test_no_secret_is_in_it(owner: Caller, owner_key: ApiKey, api_key: ApiKey) -> None:
    text = owner.get("/v1/export").getvalue().decode()
    for key in (owner_key, api_key):
        assert key.prefix in text
        assert key.secret not in text  # type: ignore[attr-defined]
        assert key.hash not in text


def test_held_inbound_mail_is_for_who_oversees(owner: Caller) -> None:
    strict = factories.a_mailbox(mode="gated_all")
    assert arrived(strict).inbound_status == Email.InboundStatus.PENDING
    assert json.loads(owner.get("/v1/export").getvalue())["emails"] == []


def test_an_hour_lies_between_two(owner: Caller) -> None:
    assert owner.get("/v1/export").status_code == 200
    refused = owner.get("/v1/export")
    assert (refused.status_code, refused.json()["code"]) == (429, "exported_lately")
    assert 3590 <= int(refused["Retry-After"]) <= 3600
    Account.objects.update(exported_at=timezone.now() - EXPORT_EVERY - timedelta(seconds=1))
    assert owner.get("/v1/export").status_code == 200
    assert Event.objects.filter(action="account.exported").count() == 2


def test_it_takes_an_administrators_key_over_all_mailboxes(
    agent: Caller, manager: Caller, overseer: Caller
) -> None:
    for caller in (agent, manager, overseer):
        assert caller.get("/v1/export").status_code == 403
    assert Account.objects.get().exported_at is None


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_of_eight_who_ask_at_once_one_gets_it() -> None:
    key = factories.a_key(factories.an_integration("Admin"), scopes=["admin"])
    together = threading.Barrier(8)

    def ask(_: int) -> bool:
        together.wait()
        try:
            actions.begin_export(by=key)
        except TooMany:
            return False
        else:
            return True
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) == 1


def test_it_comes_in_pieces_from_the_server_that_runs_it(
    live_server_asgi: AsgiServer, owner_key: ApiKey, api_key: ApiKey, mailbox: Mailbox
) -> None:
    for number in range(3):
        held(mailbox, api_key, f"Order {number}")

    async def read() -> list[bytes]:
        headers = {"Authorization": f"Bearer {owner_key.secret}"}  # type: ignore[attr-defined]
        url = f"{live_server_asgi.url}/v1/export"
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", url, headers=headers) as told,
        ):
            assert "content-length" not in told.headers
            return [piece async for piece in told.aiter_raw()]

    pieces = asyncio.run(read())
    assert len(json.loads(b"".join(pieces))["emails"]) == 3
