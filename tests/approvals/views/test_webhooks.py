"""The pages of webhooks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from approvals import actions, tasks
from approvals.models import User, WebhookDelivery, WebhookEndpoint
from mailboxes.models import Mailbox
from tests.approvals.api.caller import arrived
from tests.approvals.views.test_set_up import press, shown
from tests.factories import a_mailbox, a_person
from tests.receiver import Receiver


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    with Receiver.running() as running:
        yield running


def test_an_administrator_makes_one_and_sees_its_secret_once(
    ada: Client, receiver: Receiver, mailbox: Mailbox
) -> None:
    assert "No webhook yet" in shown(ada, "/webhooks")
    page = press(ada, "/webhooks", url=receiver.url, events=["message.received"], mailbox=mailbox.pk)
    assert re.search(r"whsec_\S+", page)
    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.mailbox == mailbox
    assert "whsec_" not in shown(ada, f"/webhooks/{endpoint.pk}")
    assert receiver.url in shown(ada, "/webhooks")


@pytest.mark.parametrize(
    ("url", "events", "sentence"),
    [
        ("ftp://a.test/", ["message.sent"], "not a web address"),
        ("https://a.test/", [], "required"),
        ("", ["message.sent"], "required"),
    ],
)
def test_what_is_wrong_is_said_on_the_page(
    ada: Client, mailbox: Mailbox, url: str, events: list[str], sentence: str
) -> None:
    assert sentence in press(ada, "/webhooks", url=url, events=events)
    assert not WebhookEndpoint.objects.exists()


def test_a_webhook_is_tested_changed_turned_off_and_deleted(
    ada: Client, administrator: User, receiver: Receiver, mailbox: Mailbox
) -> None:
    endpoint, _ = actions.create_endpoint(receiver.url, ["message.received"], None, by=administrator)
    path = f"/webhooks/{endpoint.pk}"
    assert "Nothing was posted yet" in shown(ada, path)
    press(ada, f"{path}/test")
    arrived(mailbox)
    tasks.post()
    page = shown(ada, path)
    assert page.count("delivered") >= 2
    assert "Where is it?" in page
    press(ada, f"{path}/deliveries/{WebhookDelivery.objects.first().pk}")  # type: ignore[union-attr]
    tasks.post()
    assert len(receiver.posts) == 3
    press(ada, f"{path}/events", events=["message.sent", "run.failed"])
    assert WebhookEndpoint.objects.get().events == ["message.sent", "run.failed"]
    assert "Choose at least one event" in press(ada, f"{path}/events")
    assert "whsec_" in press(ada, f"{path}/secret")
    press(ada, f"{path}/turn/off")
    assert "Turned off by hand" in shown(ada, path)
    assert "turned off; turn it on first" in press(ada, f"{path}/test")
    press(ada, f"{path}/turn/on")
    assert "is deleted" in press(ada, f"{path}/delete")
    assert not WebhookEndpoint.objects.exists()


def test_only_administrators_see_them_and_only_those_of_their_mailboxes(
    rita: Client, otto: Client, client: Client, administrator: User, mailbox: Mailbox
) -> None:
    endpoint, _ = actions.create_endpoint("https://far.example/", ["message.sent"], mailbox, by=administrator)
    for other in (rita, otto):
        assert other.get("/webhooks").status_code == 403
        assert other.get(f"/webhooks/{endpoint.pk}").status_code == 403
    elsewhere = a_person("else@acme.test", "administrator", mailboxes=[a_mailbox()])
    client.force_login(elsewhere)
    assert "No webhook yet" in shown(client, "/webhooks")
    assert client.get(f"/webhooks/{endpoint.pk}").status_code == 404
    assert client.post(f"/webhooks/{endpoint.pk}/delete").status_code == 404


@pytest.mark.parametrize("how_many", [1, 4])
def test_the_number_of_queries_does_not_grow(
    ada: Client,
    administrator: User,
    mailbox: Mailbox,
    how_many: int,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(how_many):
        actions.create_endpoint(f"https://far.example/{number}", ["message.received"], None, by=administrator)
        arrived(mailbox, str(number))
    endpoint = WebhookEndpoint.objects.order_by("pk")[0]
    shown(ada, "/webhooks")
    for path, most in (("/webhooks", 12), (f"/webhooks/{endpoint.pk}", 13)):
        with django_assert_max_num_queries(most):
            shown(ada, path)
