"""Webhooks out: each event once it is true, to whoever may know, until it is taken."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook

from approvals import actions, gate, outbox, tasks, webhooks
from approvals.actions.announcing import announce
from approvals.effects import posting
from approvals.errors import Conflict, Invalid
from approvals.models import OutboxEntry, User, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from approvals.safe_http import Forbidden, check_url
from approvals.safe_http import post as safe_post
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Account, Mailbox
from tests import factories
from tests.approvals import living
from tests.approvals.api.caller import arrived, held
from tests.receiver import DRIP, DROP, STALL, Receiver
from tests.servers import RecordingServer

ALL = list(webhooks.EVENTS)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _loopback(settings: Settings) -> None:
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver.running() as running:
        yield running


def an_endpoint(
    receiver: Receiver, by: User | ApiKey, *events: str, mailbox: Mailbox | None = None
) -> tuple[WebhookEndpoint, str]:
    return actions.create_endpoint(receiver.url, events or ALL, mailbox, by=by)


def told(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(post.body) for post in receiver.posts]


def again() -> None:
    """As if its time had come."""
    WebhookEndpoint.objects.update(paused_until=None)
    OutboxEntry.objects.filter(kind="post_webhook").update(due_at=timezone.now())
    tasks.post()


class TestWhatIsTold:
    def test_a_message_is_told_of_from_hold_to_delivery(
        self,
        receiver: Receiver,
        administrator: User,
        reviewer: User,
        api_key: ApiKey,
        mailbox: Mailbox,
        smtp_server: RecordingServer,
    ) -> None:
        an_endpoint(receiver, administrator)
        message = held(mailbox, api_key)
        living.approved(message, reviewer)
        tasks.deliver()
        tasks.post()
        assert [one["event"] for one in told(receiver)] == [
            "oversight.pending",
            "oversight.approved",
            "message.sent",
        ]
        pending, approved, _ = told(receiver)
        assert (pending["email_id"], pending["subject"], pending["mailbox"]) == (
            message.pk,
            "Your order",
            mailbox.address,
        )
        assert pending["decision"] is None
        assert (approved["decision"]["verdict"], approved["decision"]["by"]) == ("approve", reviewer.email)

    def test_a_rejection_and_an_expiry_are_told_of(
        self, receiver: Receiver, administrator: User, reviewer: User, api_key: ApiKey, mailbox: Mailbox
    ) -> None:
        an_endpoint(receiver, administrator, "oversight.rejected", "oversight.expired")
        actions.reject(held(mailbox, api_key), by=reviewer, reason="No.")
        late = held(mailbox, api_key, subject="Late")
        type(late).objects.filter(pk=late.pk).update(deadline_at=timezone.now())
        actions.expire(late)
        tasks.post()
        assert [one["event"] for one in told(receiver)] == ["oversight.rejected", "oversight.expired"]
        assert told(receiver)[0]["decision"]["reason"] == "No."

    def test_mail_that_came_in_is_told_of_in_the_words_of_the_integration_page(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        an_endpoint(receiver, administrator, "email.received", mailbox=mailbox)
        email = arrived(mailbox)
        tasks.post()
        (one,) = told(receiver)
        assert {name: one[name] for name in ("mailbox_id", "id", "from", "subject")} == {
            "mailbox_id": mailbox.pk,
            "id": email.pk,
            "from": "anna@example.com",
            "subject": "Where is it?",
        }
        assert "Please look." in one["body"]
        assert "tool_call_id" not in one

    def test_held_mail_is_told_to_its_overseers_only_until_it_is_let_in(
        self, receiver: Receiver, administrator: User, reviewer: User, mailbox: Mailbox
    ) -> None:
        key = factories.a_key(factories.an_integration(), scopes=["admin"])
        an_endpoint(receiver, key)
        with Receiver.running() as desk:
            an_endpoint(desk, administrator)
            Mailbox.objects.update(oversight_mode="gated_all")
            email = arrived(Mailbox.objects.get())
            tasks.post()
            assert [one["event"] for one in told(desk)] == ["oversight.pending"]
            assert receiver.posts == []
            actions.approve_inbound(email, by=reviewer)
            tasks.post()
        assert [one["event"] for one in told(receiver)] == ["oversight.approved", "message.received"]

    def test_a_key_hears_of_its_own_mailboxes_only(
        self, receiver: Receiver, api_key: ApiKey, mailbox: Mailbox
    ) -> None:
        other = factories.a_mailbox()
        narrow = factories.a_key(factories.an_integration(), scopes=["admin"], mailboxes=[other])
        an_endpoint(receiver, narrow)
        held(mailbox, api_key)
        arrived(other)
        tasks.post()
        assert [one["mailbox_id"] for one in told(receiver)] == [other.pk]

    def test_nothing_is_told_of_what_was_not_committed(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        an_endpoint(receiver, administrator)
        email = arrived(mailbox)
        WebhookDelivery.objects.all().delete()
        with transaction.atomic():
            announce(webhooks.SENT, email)
            transaction.set_rollback(True)
        assert not WebhookDelivery.objects.exists()


class TestHowItIsSigned:
    def test_both_signatures_verify_and_the_id_stays_the_same(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        import hashlib
        import hmac

        receiver.answers = [500, 200]
        _, secret = an_endpoint(receiver, administrator)
        arrived(mailbox)
        tasks.post()
        again()
        first, second = receiver.posts
        for post in receiver.posts:
            Webhook(secret).verify(post.body, {k.lower(): v for k, v in post.headers.items()})
            expected = hmac.new(secret.encode(), post.body, hashlib.sha256).hexdigest()
            assert post.headers["X-MultiMail-Signature"] == expected
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body

    def test_while_a_secret_is_changed_both_verify(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        endpoint, old = an_endpoint(receiver, administrator)
        new = actions.rotate_secret(endpoint, by=administrator)
        arrived(mailbox)
        tasks.post()
        lower = {k.lower(): v for k, v in receiver.posts[0].headers.items()}
        for secret in (old, new):
            Webhook(secret).verify(receiver.posts[0].body, lower)
        WebhookEndpoint.objects.update(old_secret_until=timezone.now())
        arrived(mailbox, "Again")
        tasks.post()
        assert len(receiver.posts[1].headers["webhook-signature"].split()) == 1

    def test_a_secret_of_ones_own_is_taken(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        _, secret = actions.create_endpoint(
            receiver.url, ALL, mailbox, secret="my own long secret", by=administrator
        )
        assert secret == "my own long secret"
        with pytest.raises(Invalid):
            actions.create_endpoint(receiver.url, ALL, mailbox, secret="short", by=administrator)

    def test_no_secret_is_at_rest_in_the_clear(self, receiver: Receiver, administrator: User) -> None:
        endpoint, secret = an_endpoint(receiver, administrator)
        assert secret not in WebhookEndpoint.objects.get(pk=endpoint.pk).secret_encrypted


class TestReceiversThatMisbehave:
    @pytest.mark.parametrize(
        ("misdeed", "error"),
        [
            (500, "It answered 500"),
            (404, "It answered 404"),
            (DROP, "RemoteProtocolError"),
            ("http://10.0.0.1/", "redirects are not followed"),
        ],
    )
    def test_what_went_wrong_is_kept_and_it_is_tried_again(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox, misdeed: int | str, error: str
    ) -> None:
        receiver.answers = [misdeed, 200]
        an_endpoint(receiver, administrator)
        arrived(mailbox)
        tasks.post()
        assert error in WebhookAttempt.objects.get().error
        assert WebhookDelivery.objects.get().status == "pending"
        entry = OutboxEntry.objects.get(kind="post_webhook")
        assert timedelta(seconds=4) < entry.due_at - timezone.now() < timedelta(seconds=7)
        again()
        assert WebhookDelivery.objects.get().status == "delivered"
        assert WebhookDelivery.objects.get().attempts == 2
        assert len(receiver.posts) == 2

    @pytest.mark.parametrize("misdeed", [STALL, DRIP])
    def test_one_that_does_not_end_its_answer_is_given_up(
        self,
        receiver: Receiver,
        administrator: User,
        mailbox: Mailbox,
        monkeypatch: pytest.MonkeyPatch,
        misdeed: str,
    ) -> None:
        monkeypatch.setattr(posting, "TIMEOUT", 0.2)
        receiver.answers = [misdeed]
        an_endpoint(receiver, administrator)
        arrived(mailbox)
        tasks.post()
        assert WebhookAttempt.objects.get().response_status is None
        assert WebhookDelivery.objects.get().status == "pending"

    def test_nobody_listening_is_tried_again(self, administrator: User, mailbox: Mailbox) -> None:
        with Receiver.running() as gone:
            an_endpoint(gone, administrator)
        arrived(mailbox)
        tasks.post()
        assert "ConnectError" in WebhookAttempt.objects.get().error

    def test_after_a_day_it_is_failed_and_what_is_dead_is_turned_off_with_notice(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox, smtp_server: RecordingServer
    ) -> None:
        receiver.answers = [500]
        Account.objects.update_or_create(pk=1, defaults={"oversight_email": "boss@acme.test"})
        an_endpoint(receiver, administrator)
        arrived(mailbox)
        tasks.post()
        long_ago = timezone.now() - timedelta(hours=25)
        WebhookDelivery.objects.update(asked_at=long_ago)
        WebhookEndpoint.objects.update(failing_since=long_ago)
        again()
        assert WebhookDelivery.objects.get().status == "failed"
        endpoint = WebhookEndpoint.objects.get()
        assert not endpoint.is_active
        assert "It answered 500" in endpoint.disabled_reason
        assert Event.objects.filter(action="webhook.stopped").count() == 1
        tasks.deliver()
        assert receiver.url.encode() in smtp_server.messages[0][2].replace(b"=\r\n", b"")
        arrived(mailbox, "Another")
        assert WebhookDelivery.objects.count() == 1

    def test_an_endpoint_that_is_down_is_asked_less_and_freed_by_the_first_success(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        receiver.answers = [500, 500, 200]
        an_endpoint(receiver, administrator)
        arrived(mailbox)
        tasks.post()
        WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(minutes=8))
        again()
        paused = WebhookEndpoint.objects.get().paused_until
        assert paused
        assert timedelta(minutes=1) < paused - timezone.now() < timedelta(minutes=3)
        arrived(mailbox, "Another")
        tasks.post()
        assert len(receiver.posts) == 2
        again()
        assert WebhookEndpoint.objects.get().paused_until is None
        assert {one.status for one in WebhookDelivery.objects.all()} == {"delivered"}

    def test_what_waits_for_an_endpoint_that_was_turned_off_ends(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        endpoint, _ = an_endpoint(receiver, administrator)
        arrived(mailbox)
        actions.change_endpoint(endpoint, is_active=False, by=administrator)
        tasks.post()
        assert WebhookDelivery.objects.get().status == "failed"
        assert receiver.posts == []


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_hangs_leaves_threads_to_the_others(
    receiver: Receiver, administrator: User, mailbox: Mailbox
) -> None:
    with Receiver.running(STALL) as hanging:
        an_endpoint(hanging, administrator)
        for number in range(4):
            arrived(mailbox, str(number))
        an_endpoint(receiver, administrator)
        arrived(mailbox, "for both")
        threads = [threading.Thread(target=_work) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert receiver.arrived.wait(10)
        assert len(hanging.posts) <= posting.AT_ONCE
        hanging.over.set()
        for thread in threads:
            thread.join()
    assert "for both" in [one["subject"] for one in told(receiver)]


def _work() -> None:
    tasks.post()
    connection.close()


class TestAskingAgain:
    def test_a_delivery_is_posted_once_more_with_the_same_bytes(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        an_endpoint(receiver, administrator)
        arrived(mailbox)
        tasks.post()
        actions.redeliver(WebhookDelivery.objects.get(), by=administrator)
        tasks.post()
        first, second = receiver.posts
        assert first.body == second.body
        assert WebhookAttempt.objects.count() == 2

    def test_a_test_event_goes_to_one_endpoint(self, receiver: Receiver, administrator: User) -> None:
        endpoint, _ = an_endpoint(receiver, administrator, "message.sent")
        an_endpoint(receiver, administrator)
        actions.test_endpoint(endpoint, by=administrator)
        tasks.post()
        assert [one["event"] for one in told(receiver)] == ["webhook.test"]

    def test_what_is_turned_off_is_neither_tested_nor_redelivered(
        self, receiver: Receiver, administrator: User, mailbox: Mailbox
    ) -> None:
        endpoint, _ = an_endpoint(receiver, administrator)
        arrived(mailbox)
        actions.change_endpoint(endpoint, is_active=False, by=administrator)
        delivery = WebhookDelivery.objects.select_related("endpoint").get()
        for ask in (
            lambda: actions.test_endpoint(endpoint, by=administrator),
            lambda: actions.redeliver(delivery, by=administrator),
        ):
            with pytest.raises(Conflict):
                ask()


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.1:{port}/",
            "http://0x7f000001:{port}/",
            "http://localhost:{port}/",
            "http://[::1]:{port}/",
            "http://[::ffff:127.0.0.1]:{port}/",
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://100.64.0.1/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://224.0.0.1/",
            "http://0.0.0.0:{port}/",
            "http://255.255.255.255/",
        ],
    )
    def test_what_is_not_public_is_refused_after_it_was_looked_up(
        self, receiver: Receiver, settings: Settings, url: str
    ) -> None:
        settings.WEBHOOK_NETWORKS = []
        with pytest.raises(Forbidden):
            safe_post(url.format(port=receiver.port), b"{}", {}, timeout=2)
        assert receiver.posts == []

    def test_a_public_address_is_posted_to_by_https_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def public(*_: object, **__: object) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))]

        monkeypatch.setattr(socket, "getaddrinfo", public)
        with pytest.raises(Forbidden, match="https"):
            safe_post("http://far.test/", b"{}", {}, timeout=2)

    def test_a_name_is_looked_up_once_and_the_vetted_address_connected_to(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, looks = socket.getaddrinfo, []

        def rebinding(host: Any, *args: Any, **options: Any) -> Any:
            if host != "rebind.test":
                return real(host, *args, **options)
            looks.append(host)
            return real("127.0.0.1" if len(looks) == 1 else "10.0.0.1", *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        answer = safe_post(f"http://rebind.test:{receiver.port}/x", b"{}", {}, timeout=2)
        assert answer.status == 200
        assert looks == ["rebind.test"]
        assert receiver.posts[0].headers["Host"] == f"rebind.test:{receiver.port}"

    def test_one_forbidden_address_forbids_the_name(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def both(*_: object, **__: object) -> Any:
            return [(2, 1, 6, "", (ip, receiver.port)) for ip in ("127.0.0.1", "10.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        with pytest.raises(Forbidden, match=r"10\.0\.0\.1"):
            safe_post(f"http://both.test:{receiver.port}/", b"{}", {}, timeout=2)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "ftp://a.test/",
            "https://",
            "https://user:pw@a.test/",
            "https://a.test:0/",
            "https://a b/",
            "//a.test",
        ],
    )
    def test_what_is_no_web_address_is_refused_at_once(
        self, administrator: User, mailbox: Mailbox, url: str
    ) -> None:
        with pytest.raises(Forbidden):
            check_url(url)
        with pytest.raises(Invalid):
            actions.create_endpoint(url, ALL, mailbox, by=administrator)

    def test_a_forbidden_address_is_an_attempt_that_says_so(
        self, receiver: Receiver, settings: Settings, administrator: User, mailbox: Mailbox
    ) -> None:
        an_endpoint(receiver, administrator)
        settings.WEBHOOK_NETWORKS = []
        arrived(mailbox)
        tasks.post()
        assert "not a public address" in WebhookAttempt.objects.get().error
        assert receiver.posts == []


def test_aliases_are_kept_under_their_own_names_and_once() -> None:
    assert webhooks.known(["email.received", "message.received", "message.approved"]) == [
        "message.received",
        "oversight.approved",
    ]
    with pytest.raises(ValueError, match="weather"):
        webhooks.known(["weather.changed"])


def test_a_run_that_waits_on_its_inbox_is_named_by_its_call(
    receiver: Receiver, administrator: User, assistant: Any, mailbox: Mailbox
) -> None:
    from assistants.models import Run, ToolCall

    run = Run.objects.create(
        assistant=assistant,
        driver=Run.Driver.CALLER,
        run_id="run_1",
        thread_id="thread_1",
        status="requires_action",
    )
    ToolCall.objects.create(run=run, call_id="call_1", name="check_inbox", arguments="{}")
    an_endpoint(receiver, administrator)
    gate.receive(mailbox, "a@b.test", mailbox.address, b"From: a@b.test\r\nSubject: x\r\n\r\nhi\r\n")
    tasks.receive()
    tasks.post()
    assert told(receiver)[0]["tool_call_id"] == "call_1"


def test_each_event_that_is_posted_has_an_entry_of_its_own(
    receiver: Receiver, administrator: User, mailbox: Mailbox
) -> None:
    an_endpoint(receiver, administrator)
    arrived(mailbox)
    arrived(mailbox, "Second")
    assert "approvals.tasks.post" in outbox.due_tasks(timezone.now())
    assert tasks.post() == 2
