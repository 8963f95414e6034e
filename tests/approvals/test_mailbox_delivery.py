"""Each mailbox's mail leaves by its own way, which is kept secret, tested, and replaced as a whole."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from approvals import actions, effects, tasks
from approvals.actions.transitions import current
from approvals.errors import Invalid, NotPermitted
from approvals.models import OutboundMessage, User
from approvals.states import Status
from assistants.models import ApiKey
from audit.models import Event, Payload
from mailboxes.models import CaughtMessage, Mailbox
from tests import factories
from tests.approvals import living
from tests.certificates import a_certificate
from tests.mailboxes.provider_server import DROP, ProviderServer
from tests.servers import RecordingServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with ProviderServer.running() as running:
        yield running


def deliver(key: ApiKey, mailbox: Mailbox, reviewer: User) -> OutboundMessage:
    message = living.a_held_message(key, mailbox)
    living.approved(message, reviewer)
    tasks.deliver()
    return current(message)


def test_each_mailbox_leaves_by_its_own_server_on_its_own_connection(
    smtp_server: RecordingServer, mailbox: Mailbox, reviewer: User, administrator: User
) -> None:
    other = factories.a_mailbox("sales@acme.test")
    key = factories.a_key(factories.an_assistant(mailboxes=[mailbox, other]), mailboxes=[mailbox, other])
    with RecordingServer.running() as own:
        actions.set_delivery(other, f"smtp://127.0.0.1:{own.port}", by=administrator)
        for box in (mailbox, other, mailbox, other):
            assert deliver(key, box, reviewer).status == Status.SENT
        assert [sender for sender, _, _ in own.messages] == ["sales@acme.test"] * 2
        assert [sender for sender, _, _ in smtp_server.messages] == ["support@acme.test"] * 2
        assert (own.connections, smtp_server.connections) == (1, 1)


def test_a_provider_gets_what_was_approved(
    provider: ProviderServer, api_key: ApiKey, mailbox: Mailbox, reviewer: User, administrator: User
) -> None:
    actions.set_delivery(mailbox, provider.url("mailgun"), by=administrator)
    message = deliver(api_key, mailbox, reviewer)
    assert message.status == Status.SENT
    [(recipients, data)] = provider.messages
    revision = message.email.revisions.get()
    assert recipients == revision.recipients
    assert data == bytes(revision.block or b"") + bytes(revision.frozen)
    assert "k3y" not in str(message.delivery)


def test_a_lost_answer_of_a_provider_leaves_it_to_a_person(
    provider: ProviderServer, api_key: ApiKey, mailbox: Mailbox, reviewer: User, administrator: User
) -> None:
    actions.set_delivery(mailbox, provider.url("postal"), by=administrator)
    provider.answer = DROP
    message = deliver(api_key, mailbox, reviewer)
    assert message.status == Status.NEEDS_ATTENTION
    assert len(provider.paths) == 1
    tasks.deliver()
    assert len(provider.paths) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [((422, {"message": "no"}), Status.FAILED), ((503, "later"), Status.APPROVED)],
)
def test_a_refusal_of_a_provider_is_what_it_is(
    provider: ProviderServer,
    api_key: ApiKey,
    mailbox: Mailbox,
    reviewer: User,
    administrator: User,
    answer: Any,
    status: Status,
) -> None:
    actions.set_delivery(mailbox, provider.url("sparkpost"), by=administrator)
    provider.answer = answer
    assert deliver(api_key, mailbox, reviewer).status == status


def test_it_is_stored_encrypted_and_logged_without_what_signs_in(
    mailbox: Mailbox, administrator: User
) -> None:
    actions.set_delivery(mailbox, "smtp://agent:hunter2@mail.test", by=administrator)
    stored = Mailbox.objects.get()
    assert "hunter2" not in stored.outbound_encrypted
    assert stored.outbound_url == "smtp://agent:hunter2@mail.test"
    event = Event.objects.get(action="mailbox.changed")
    assert event.payload.body == {"delivery": "SMTP, mail.test:587 as agent (STARTTLS when offered)"}
    actions.set_delivery(mailbox, "smtp://agent:hunter2@mail.test", by=administrator)
    assert Event.objects.filter(action="mailbox.changed").count() == 1
    actions.set_delivery(mailbox, "", by=administrator)
    assert Mailbox.objects.get().outbound_encrypted == ""
    assert "hunter2" not in str(list(Payload.objects.values_list("body", flat=True)))


def test_what_is_no_way_out_is_refused(mailbox: Mailbox, administrator: User) -> None:
    with pytest.raises(Invalid) as caught:
        actions.set_delivery(mailbox, "mailgun://:hunter2@api.mailgun.net", by=administrator)
    assert "hunter2" not in caught.value.sentence
    assert not Mailbox.objects.get().outbound_encrypted


def test_it_takes_an_administrator_of_the_mailbox(
    mailbox: Mailbox, reviewer: User, outsider: User, smtp_server: RecordingServer
) -> None:
    for person in (reviewer, outsider):
        with pytest.raises(NotPermitted):
            actions.set_delivery(mailbox, "", by=person)
        with pytest.raises(NotPermitted):
            effects.send_test(mailbox, by=person)
    assert not smtp_server.messages


def test_a_test_mail_goes_to_whoever_asks_by_the_mailboxes_own_way(
    mailbox: Mailbox, administrator: User
) -> None:
    with RecordingServer.running() as own:
        actions.set_delivery(mailbox, f"smtp://127.0.0.1:{own.port}", by=administrator)
        tried = effects.send_test(mailbox, by=administrator)
    assert (tried.error, tried.reply) == ("", "250 2.0.0 queued as 1")
    [(sender, recipients, data)] = own.messages
    assert (sender, recipients) == ("support@acme.test", ["ada@acme.test"])
    assert b"Subject: Test mail from Counterseal\r\n" in data
    told = Event.objects.get(action="mailbox.delivery_tested").payload.body
    assert told == {"to": "ada@acme.test", "error": ""}


def test_a_test_that_fails_says_how_far_it_came(
    mailbox: Mailbox, administrator: User, smtp_server: RecordingServer
) -> None:
    smtp_server.refuse["ada@acme.test"] = "550 not here"
    tried = effects.send_test(mailbox, by=administrator)
    assert "550 not here" in tried.error
    assert ["RCPT TO:<ada@acme.test>", "550 not here"] in tried.steps


def test_without_a_server_the_test_is_caught(mailbox: Mailbox, administrator: User) -> None:
    assert effects.send_test(mailbox, by=administrator).error == ""
    assert CaughtMessage.objects.get().recipients == ["ada@acme.test"]


class SigningInServer(RecordingServer):
    """Takes mail over TLS only, from whoever knows a password, and notes who that was."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.context: ssl.SSLContext | None = None
        super().__init__()

    def factory(self) -> SMTP:
        self.connections += 1
        starts = {} if self.ssl_context else {"tls_context": self.context, "require_starttls": True}
        return SMTP(
            self,
            authenticator=self.knows,
            # aiosmtpd does not see that a connection was encrypted from the start
            auth_required=not self.ssl_context,
            auth_require_tls=not self.ssl_context,
            **starts,  # type: ignore[arg-type]
        )

    def knows(self, _server: SMTP, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        user, password = given.login.decode(), given.password.decode()
        self.users.append(user)
        return AuthResult(success=password == f"{user}'s own p@ss/word")


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_two_mailboxes_sign_in_apart_and_over_tls(
    mailbox: Mailbox, reviewer: User, administrator: User, tmp_path: Path, scheme: str
) -> None:
    other = factories.a_mailbox("sales@acme.test")
    key = factories.a_key(factories.an_assistant(mailboxes=[mailbox, other]), mailboxes=[mailbox, other])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*a_certificate(tmp_path))
    server = SigningInServer()
    server.context, server.ssl_context = context, context if scheme == "smtps" else None
    server.start()
    try:
        server.connections = 0
        for box, user in ((mailbox, "support"), (other, "sales")):
            password = quote(f"{user}'s own p@ss/word", safe="")
            url = f"{scheme}://{user}:{password}@127.0.0.1:{server.port}"
            actions.set_delivery(box, url, by=administrator)
        for box in (mailbox, other, mailbox):
            assert deliver(key, box, reviewer).status == Status.SENT
        # the third took the connection of the first, and nobody took another's
        assert (server.users, server.connections) == (["support", "sales"], 2)
        actions.set_delivery(mailbox, f"{scheme}://support:wr0ng@127.0.0.1:{server.port}", by=administrator)
        message = deliver(key, mailbox, reviewer)
    finally:
        server.stop()
    assert message.status == Status.APPROVED
    assert "wr0ng" not in str(message.delivery)
