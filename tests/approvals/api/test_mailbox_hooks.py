"""`webhook_url` and `oversight_webhook_url`, which clients give with a mailbox."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.models import OperatorRequest, WebhookEndpoint
from approvals.operator_requests import open_code
from audit.models import Event
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import Caller

URL = "https://hooks.example.com/mail"
OTHER = "https://hooks.example.com/other"


@pytest.fixture
def path(mailbox: Mailbox) -> str:
    return f"/v1/mailboxes/{mailbox.pk}"


def with_code(manager: Caller, path: str, wanted: dict[str, Any]) -> Any:
    assert manager.patch(path, wanted).status_code == 202
    code = open_code(OperatorRequest.objects.order_by("-pk")[0])
    return manager.patch(path, {**wanted, "approval_code": code})


def test_a_keys_first_mailbox_comes_with_its_webhook_and_needs_nobodys_word(manager: Caller) -> None:
    made = manager.post("/v1/mailboxes", {"address": "new@acme.test", "webhook_url": URL})
    assert made.status_code == 201
    told = made.json()
    assert (told["webhook_url"], told["oversight_webhook_url"]) == (URL, None)
    assert told["webhook_signing_secret"].startswith("whsec_")
    endpoint = WebhookEndpoint.objects.get(mailbox=told["id"])
    assert "message.received" in endpoint.events
    assert "webhook_signing_secret" not in manager.get(f"/v1/mailboxes/{told['id']}").json()


def test_a_later_ones_is_part_of_what_a_person_is_asked(manager: Caller) -> None:
    manager.post("/v1/mailboxes", {"address": "first@acme.test"})
    wanted = {"address": "second@acme.test", "webhook_url": URL}
    assert manager.post("/v1/mailboxes", wanted).status_code == 202
    request = OperatorRequest.objects.get()
    assert URL in request.sentence
    code = open_code(request)
    # a code is for exactly what was asked
    changed = manager.post("/v1/mailboxes", {**wanted, "webhook_url": OTHER, "approval_code": code})
    assert changed.status_code == 403
    assert manager.post("/v1/mailboxes", {**wanted, "approval_code": code}).json()["webhook_url"] == URL


def test_another_address_takes_a_persons_word_and_the_same_one_does_not(manager: Caller, path: str) -> None:
    made = with_code(manager, path, {"oversight_webhook_url": URL})
    assert made.json()["status"] == "updated"
    assert made.json()["oversight_webhook_signing_secret"].startswith("whsec_")
    assert manager.patch(path, {"oversight_webhook_url": URL}).json() == {"status": "updated"}
    assert WebhookEndpoint.objects.get().events[0] == "oversight.pending"


def test_a_new_address_takes_the_place_of_the_old_one(manager: Caller, path: str) -> None:
    with_code(manager, path, {"webhook_url": URL})
    shown = with_code(manager, f"{path}/configure", {"webhook_url": OTHER}).json()
    assert shown["webhook_url"] == OTHER
    assert [one.url for one in WebhookEndpoint.objects.all()] == [OTHER]
    actions = ["webhook.created", "webhook.deleted", "webhook.created"]
    told = Event.objects.filter(action__startswith="webhook.").order_by("seq")
    assert [event.action for event in told] == actions


def test_null_ends_it_at_once_and_leaves_what_was_registered_by_itself(
    manager: Caller, path: str, mailbox: Mailbox
) -> None:
    with_code(manager, path, {"webhook_url": URL})
    kept = WebhookEndpoint.objects.create(
        url=OTHER, events=["message.bounced"], mailbox=mailbox, secret_encrypted="x"
    )
    assert manager.patch(path, {"webhook_url": None}).status_code == 200
    assert list(WebhookEndpoint.objects.all()) == [kept]
    assert manager.get(path).json()["webhook_url"] is None


def test_a_bad_address_is_named_by_its_field(manager: Caller, path: str) -> None:
    refused = manager.patch(path, {"oversight_webhook_url": "ftp://hooks.example.com"})
    assert (refused.status_code, refused.json()["field"]) == (400, "oversight_webhook_url")


def test_the_list_shows_it(manager: Caller, path: str) -> None:
    with_code(manager, path, {"webhook_url": URL})
    factories.a_mailbox()
    assert manager.get("/v1/mailboxes").json()["mailboxes"][0]["webhook_url"] == URL
