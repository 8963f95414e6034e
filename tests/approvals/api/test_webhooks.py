"""/v1/webhooks and their deliveries, by key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from approvals import tasks
from approvals.models import OperatorRequest, WebhookEndpoint
from approvals.operator_requests import open_code
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, arrived
from tests.receiver import Receiver

WANTED = {"url": "https://far.example/hook", "events": ["email.received", "message.sent"]}


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    with Receiver.running() as running:
        yield running


def made(caller: Caller, wanted: dict[str, Any], path: str = "/v1/webhooks") -> Any:
    assert caller.post(path, wanted).status_code == 202
    code = open_code(OperatorRequest.objects.order_by("-pk")[0])
    return caller.post(path, {**wanted, "approval_code": code})


def test_a_webhook_is_made_with_a_persons_word_and_its_secret_shown_once(
    manager: Caller, mailbox: Mailbox
) -> None:
    answer = made(manager, {**WANTED, "mailbox_id": mailbox.pk})
    assert answer.status_code == 201
    assert answer.json()["signing_secret"].startswith("whsec_")
    assert answer.json()["events"] == ["message.received", "message.sent"]
    listed = manager.get("/v1/webhooks").json()
    assert listed["webhooks"] == listed["subscriptions"] == listed["items"]
    assert "signing_secret" not in listed["webhooks"][0]
    assert manager.get(f"/v1/mailboxes/{mailbox.pk}/webhooks").json()["items"] == listed["items"]


def test_the_first_webhook_of_a_keys_first_mailbox_needs_no_code(manager: Caller) -> None:
    box = manager.post("/v1/mailboxes", {"address": "new@acme.test"}).json()["id"]
    first = manager.post(f"/v1/mailboxes/{box}/webhooks", WANTED)
    assert first.status_code == 201
    assert manager.post(f"/v1/mailboxes/{box}/webhooks", WANTED).status_code == 202


def test_a_later_mailboxes_first_webhook_takes_a_code(manager: Caller, mailbox: Mailbox) -> None:
    manager.post("/v1/mailboxes", {"address": "new@acme.test"})
    assert manager.post(f"/v1/mailboxes/{mailbox.pk}/webhooks", WANTED).status_code == 202


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "https://u:p@far.example/"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["weather"]}, "events"),
        ({"url": None}, "url"),
    ],
)
def test_what_is_wrong_is_400_before_anybody_is_asked(
    manager: Caller, wrong: dict[str, Any], field: str
) -> None:
    answer = manager.post("/v1/webhooks", WANTED | wrong)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert not OperatorRequest.objects.exists()


def test_it_is_changed_tested_rotated_and_deleted(
    manager: Caller, receiver: Receiver, mailbox: Mailbox
) -> None:
    answer = made(manager, {"url": receiver.url, "events": ["message.sent"], "mailbox_id": mailbox.pk}).json()
    path = f"/v1/webhooks/{answer['id']}"
    assert manager.patch(path, {"events": ["email.received"]}).json()["events"] == ["message.received"]
    rotated = manager.post(f"{path}/rotate-secret", {})
    assert rotated.json()["signing_secret"] != answer["signing_secret"]
    assert manager.post(f"{path}/test", {}).status_code == 202
    arrived(mailbox)
    tasks.post()
    assert len(receiver.posts) == 2
    page = manager.get("/v1/webhook-deliveries").json()
    assert [one["event_type"] for one in page["deliveries"]] == ["message.received", "webhook.test"]
    assert {one["status"] for one in page["deliveries"]} == {"delivered"}
    again = manager.post(f"/v1/webhook-deliveries/{page['deliveries'][0]['id']}/redeliver", {})
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    assert manager.patch(path, {"is_active": False}).json()["status"] == "disabled"
    assert manager.post(f"{path}/test", {}).status_code == 409
    assert manager.delete(path).json() == {"status": "deleted"}
    assert manager.get(path).status_code == 404


def test_webhooks_are_of_the_keys_mailboxes_only(manager: Caller, mailbox: Mailbox) -> None:
    made(manager, {**WANTED, "mailbox_id": mailbox.pk})
    endpoint = WebhookEndpoint.objects.get()
    elsewhere = factories.a_mailbox()
    other = Caller(factories.a_key(factories.an_integration(), scopes=["admin"], mailboxes=[elsewhere]))
    assert other.get("/v1/webhooks").json()["items"] == []
    for method in ("get", "patch", "delete"):
        assert getattr(other, method)(f"/v1/webhooks/{endpoint.pk}", {}).status_code == 404
    assert other.post("/v1/webhooks", {**WANTED, "mailbox_id": mailbox.pk}).status_code == 404


@pytest.mark.parametrize("how_many", [1, 4])
def test_the_number_of_queries_does_not_grow(
    django_assert_num_queries: Any, mailbox: Mailbox, how_many: int
) -> None:
    owner = Caller(factories.a_key(factories.an_integration(), scopes=["admin"]))
    for number in range(how_many):
        made(owner, {**WANTED, "url": f"https://far.example/{number}"})
    arrived(mailbox)
    for path in ("/v1/webhooks", "/v1/webhook-deliveries"):
        with django_assert_num_queries(2):  # key, rows
            assert len(owner.get(path).json()["items"]) == how_many
