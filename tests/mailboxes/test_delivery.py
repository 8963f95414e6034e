"""Mail leaves whole or not at all, and the one case in which nobody knows is called so."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from pytest_django import Settings

from mailboxes import delivery, smtp
from mailboxes.delivery import DeliveryError, Receipt, Server
from mailboxes.models import CaughtMessage
from tests.mailboxes.broken_server import DRIP, DROP, STALL, BrokenServer
from tests.mailboxes.letters import frozen
from tests.servers import RecordingServer

SENDER = "support@acme.test"
TO = ["a@x.test", "b@x.test"]
DATA = b"Subject: x\r\n\r\n.\r\n..two\r\nthree\r\n"


@contextmanager
def broken(settings: Settings, **answers: str | list[str]) -> Iterator[BrokenServer]:
    with BrokenServer.running(**answers) as server:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{server.port}"
        yield server


def send(data: bytes = DATA, timeout: float = 5.0) -> Receipt:
    with delivery.offer(SENDER, TO, timeout=timeout) as handover:
        return handover.data(data)


def failure(data: bytes = DATA, timeout: float = 5.0) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        send(data, timeout)
    return caught.value


@pytest.mark.parametrize(
    "data", [DATA, frozen(markdown="a **b**\n.\n").data, b".\r\n" * 3, b"a\r\n" * 100_000]
)
def test_an_independent_server_gets_exactly_the_bytes(smtp_server: RecordingServer, data: bytes) -> None:
    receipt = send(data)
    assert receipt.reply == "250 2.0.0 queued as 1"
    assert smtp_server.messages == [(SENDER, TO, data)]


def test_the_evidence_names_every_step_and_holds_no_body(smtp_server: RecordingServer) -> None:
    steps = send().steps
    assert [step for step, _ in steps] == [
        f"connect 127.0.0.1:{smtp_server.port}",
        "EHLO",
        f"MAIL FROM:<{SENDER}>",
        "RCPT TO:<a@x.test>",
        "RCPT TO:<b@x.test>",
        "DATA",
        "(message) .",
    ]
    assert all(re.match(r"\d{3} ", reply) for _, reply in steps)
    assert "two" not in json.dumps(steps)


@pytest.mark.parametrize("data", [b"a\n", b"a\rb\r\n", b"x" * 999 + b"\r\n", b"\xe9\r\n", b"no end"])
def test_bytes_that_would_arrive_changed_are_never_offered(smtp_server: RecordingServer, data: bytes) -> None:
    error = failure(data)
    assert (error.permanent, error.unknown) == (True, False)
    assert smtp_server.messages == []


def test_one_refused_recipient_and_nobody_gets_it(settings: Settings) -> None:
    with broken(settings, RCPT=["250 ok", "550 5.1.1 no such user"]) as server:
        error = failure()
    assert error.refused == {"b@x.test": "550 5.1.1 no such user"}
    assert (error.permanent, error.unknown) == (True, False)
    assert "b@x.test: 550 5.1.1 no such user" in str(error)
    assert server.commands[-2:] == ["RSET", "QUIT"]
    assert server.kept == []


def test_a_recipient_refused_for_now_may_be_tried_again(settings: Settings) -> None:
    with broken(settings, RCPT=["450 greylisted", "250 ok"]):
        assert failure().permanent is False


def test_every_refused_recipient_is_named(smtp_server: RecordingServer) -> None:
    smtp_server.refuse = {"a@x.test": "451 later", "b@x.test": "550 never"}
    error = failure()
    assert error.refused == {"a@x.test": "451 later", "b@x.test": "550 never"}
    assert error.permanent


def test_nothing_is_sent_before_data_and_leaving_takes_the_offer_back(settings: Settings) -> None:
    with broken(settings) as server:
        with delivery.offer(SENDER, TO):
            assert "DATA" not in server.commands
        assert server.commands[-1] == "QUIT"
        with pytest.raises(RuntimeError), delivery.offer(SENDER, TO):
            raise RuntimeError
    assert "DATA" not in server.commands


@pytest.mark.parametrize(
    ("step", "reply", "permanent"),
    [
        ("connect", "554 go away", False),
        ("connect", "421 busy", False),
        ("EHLO", "500 what", False),
        ("MAIL", "550 not you", True),
        ("MAIL", "451 later", False),
        ("MAIL", "421 closing", False),
        ("DATA", "554 no", True),
        ("DATA", "451 later", False),
        ("DATA", "250 eh", False),
        ("dot", "554 spam", True),
        ("dot", "550-5.7.1 no\r\n550 never", True),
        ("dot", "452 full", False),
        ("dot", "421 closing", False),
    ],
)
def test_a_refusal_is_known_and_says_whether_to_try_again(
    settings: Settings, step: str, reply: str, permanent: bool
) -> None:
    with broken(settings, **{step: reply}):
        error = failure()
    assert (error.permanent, error.unknown) == (permanent, False)
    assert error.steps


@pytest.mark.parametrize("misdeed", [DROP, STALL, DRIP, "garbage", "25"])
@pytest.mark.parametrize("step", ["connect", "EHLO", "MAIL", "RCPT", "DATA"])
def test_what_goes_wrong_before_the_bytes_is_surely_not_sent(
    settings: Settings, step: str, misdeed: str
) -> None:
    with broken(settings, **{step: misdeed}) as server:
        started = time.monotonic()
        error = failure(timeout=0.4)
    assert (error.permanent, error.unknown) == (False, False)
    assert time.monotonic() - started < 5
    assert server.kept == []


@pytest.mark.parametrize(
    "misdeed", [DROP, STALL, DRIP, "garbage", "25", "100 hm", "354 again", "250-half\r\n", "x" * 9000]
)
def test_a_lost_answer_to_the_final_dot_is_unknown(settings: Settings, misdeed: str) -> None:
    with broken(settings, dot=misdeed) as server:
        error = failure(timeout=0.4)
    assert (error.permanent, error.unknown) == (False, True)
    assert server.kept == [DATA.replace(b"\n.", b"\n..")]
    assert error.steps[-1][0] == "(message) ."


@pytest.mark.parametrize(
    ("misdeed", "permanent"), [(DROP, False), ("451 enough", False), ("552 too large", True)]
)
def test_a_server_that_breaks_off_before_the_dot_has_not_accepted(
    settings: Settings, misdeed: str, permanent: bool
) -> None:
    with broken(settings, body=misdeed) as server:
        # more than the buffers hold, so that the server surely breaks off while we send
        error = failure(b"Subject: x\r\n\r\n" + b"filler\r\n" * 2_000_000)
    assert (error.permanent, error.unknown) == (permanent, False)
    assert server.kept == []


def test_a_server_that_answers_too_early_is_not_believed(settings: Settings) -> None:
    with broken(settings, DATA="354 go\r\n250 already kept\r\n"):
        error = failure()
    assert error.unknown is False


def test_a_server_that_takes_no_more_bytes_is_given_up(settings: Settings) -> None:
    with broken(settings, body=STALL):
        error = failure(b"filler\r\n" * 2_000_000, timeout=0.4)
    assert (error.permanent, error.unknown) == (False, False)


def test_nobody_listening_is_temporary(settings: Settings) -> None:
    with broken(settings) as server:
        port = server.port
    settings.EMAIL_URL = f"smtp://127.0.0.1:{port}"
    error = failure()
    assert (error.permanent, error.unknown) == (False, False)


@pytest.mark.parametrize(
    ("sender", "to"), [("a@x.test\r\nRCPT TO:<e@evil.test>", TO), (SENDER, ["<@a:b@x.test>"]), (SENDER, [])]
)
def test_addresses_are_looked_at_once_more(settings: Settings, sender: str, to: list[str]) -> None:
    with broken(settings) as server, pytest.raises(DeliveryError) as caught, delivery.offer(sender, to):
        pass
    assert caught.value.permanent
    assert server.commands == []


def test_secrets_are_in_no_evidence_and_no_message(settings: Settings) -> None:
    with broken(settings, EHLO="250-mx\r\n250 AUTH PLAIN LOGIN", AUTH="535 wrong: hunter2") as server:
        settings.EMAIL_URL = f"smtp://bob:hunter2@127.0.0.1:{server.port}"
        error = failure()
    assert (error.permanent, error.unknown) == (False, False)
    assert "hunter2" not in str(error) + json.dumps(error.steps)
    assert ["AUTH (redacted)", "535"] in error.steps


def test_a_user_signs_in(settings: Settings) -> None:
    with broken(settings, EHLO="250-mx\r\n250 AUTH PLAIN", AUTH="235 welcome") as server:
        settings.EMAIL_URL = f"smtp://b%40b:p%3Aw@127.0.0.1:{server.port}"
        assert ["AUTH (redacted)", "235"] in send().steps
    assert "AUTH PLAIN AGJAYgBwOnc=" in server.commands


def test_tls_that_is_required_and_not_offered_stops_everything(settings: Settings) -> None:
    with broken(settings) as server:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{server.port}?tls=required"
        error = failure()
    assert "STARTTLS" in str(error)
    assert not any(command.startswith("MAIL") for command in server.commands)


def test_starttls_that_fails_is_not_carried_on_in_the_clear(settings: Settings) -> None:
    with broken(settings, EHLO="250-mx\r\n250 STARTTLS", STARTTLS="454 not now") as server:
        assert failure().unknown is False
        assert not any(command.startswith("MAIL") for command in server.commands)
        settings.EMAIL_URL += "?tls=none"
        assert send().reply == "250 kept"


def test_mail_is_named_in_reports_where_the_server_makes_such(settings: Settings) -> None:
    for ehlo, named in (("250-mx\r\n250 DSN", " RET=HDRS ENVID=em_1"), ("250 mx", "")):
        with broken(settings, EHLO=ehlo) as server:
            # twice: the second time on the same connection
            for _ in range(2):
                with delivery.offer(SENDER, TO, envelope_id="em_1") as handover:
                    handover.data(DATA)
        assert server.commands.count(f"MAIL FROM:<{SENDER}>{named}") == 2


def test_ehlo_says_the_public_name(settings: Settings) -> None:
    for url, name in (
        ("https://mail.acme.test", "mail.acme.test"),
        ("http://127.0.0.1:8000", "[127.0.0.1]"),
        ("http://[::1]:8", "[IPv6:::1]"),
    ):
        settings.PUBLIC_URL = url
        with broken(settings) as server:
            send()
        assert server.commands[0].lower() == f"ehlo {name.lower()}"


@pytest.mark.django_db
def test_without_a_server_the_catcher_keeps_it(settings: Settings) -> None:
    settings.EMAIL_URL = ""
    with delivery.offer(SENDER, TO):
        pass
    assert not CaughtMessage.objects.exists()
    assert send().reply == "250 caught"
    caught = CaughtMessage.objects.get()
    assert (caught.envelope_from, caught.recipients, bytes(caught.data)) == (SENDER, TO, DATA)
    assert failure(b"bare\n").permanent


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mx.test", Server("mx.test", 25)),
        ("smtp://u:p%40@mx.test", Server("mx.test", 587, "u", "p@")),
        ("smtp://u:p@mx.test:2525?tls=none", Server("mx.test", 2525, "u", "p", tls="none")),
        ("smtps://u:p@mx.test", Server("mx.test", 465, "u", "p", is_implicit_tls=True)),
        ("smtp://[::1]:25/", Server("::1", 25)),
    ],
)
def test_email_urls(url: str, server: Server) -> None:
    assert Server.from_url(url) == server
    assert "p@" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "mx.test",
        "http://mx.test",
        "smtp://",
        "smtp://mx.test:x",
        "smtp://mx.test:0",
        "smtp://mx.test:99999",
        "smtp://mx.test/path",
        "smtp://u:secret@mx.test?tls=maybe",
        "smtp://u:secret@mx.test?ssl=1",
        "smtp://[::1",
        "://",
    ],
)
def test_a_wrong_email_url_is_a_clear_sentence_without_its_secrets(settings: Settings, url: str) -> None:
    settings.EMAIL_URL = url
    with pytest.raises(ImproperlyConfigured, match=r"^EMAIL_URL .*\.$") as caught:
        send()
    assert "secret" not in str(caught.value)


def test_a_loopback_server_may_sign_its_own_certificate_and_nobody_else_may() -> None:
    assert smtp._tls(Server("localhost", 25)).verify_mode == ssl.CERT_NONE
    assert smtp._tls(Server("mx.test", 25)).verify_mode == ssl.CERT_REQUIRED
    assert smtp._tls(Server("mx.test", 25)).check_hostname


def a_certificate(folder: Path) -> ssl.SSLContext:
    """Self-signed, for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = timezone.now()
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "both.pem"
    file.write_bytes(private + builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


class TlsServer(RecordingServer):
    context: ssl.SSLContext

    def factory(self) -> SMTP:
        return SMTP(self, tls_context=self.context, require_starttls=True)


def test_the_bytes_go_encrypted_when_the_server_offers_it(settings: Settings, tmp_path: Path) -> None:
    TlsServer.context = a_certificate(tmp_path)
    with TlsServer.running() as server:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{server.port}?tls=required"
        assert ["STARTTLS", "220 Ready to start TLS"] in send().steps
        assert server.messages == [(SENDER, TO, DATA)]


def test_smtps_is_encrypted_from_the_first_byte(settings: Settings, tmp_path: Path) -> None:
    server = RecordingServer()
    server.ssl_context = a_certificate(tmp_path)
    server.start()
    try:
        settings.EMAIL_URL = f"smtps://127.0.0.1:{server.port}"
        send()
        assert server.messages == [(SENDER, TO, DATA)]
    finally:
        server.stop()


def test_a_certificate_that_nobody_vouches_for_is_refused_off_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    TlsServer.context = a_certificate(tmp_path)
    with TlsServer.running() as server:
        session = smtp.Session(Server("127.0.0.1", server.port), 5)
        strict = ssl.create_default_context()
        monkeypatch.setattr(smtp, "_tls", lambda _server: strict)
        with pytest.raises(DeliveryError, match="certificate"):
            session.open()
        session.close()
    assert server.messages == []
