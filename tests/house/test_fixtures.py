"""The shared fixtures do what their names say."""

from __future__ import annotations

import smtplib

import httpx
import pytest
from django.conf import settings
from django.db import connection

from assistants.models import ApiKey
from audit.models import ChainHead
from audit.secrets import hash_secret
from mailboxes.models import Mailbox
from tests.servers import AsgiServer, RecordingServer


def test_no_test_touches_the_data_of_the_checkout() -> None:
    assert settings.BASE_DIR not in settings.DATA_DIR.parents


def test_a_key_carries_its_bearer_text(api_key: ApiKey, mailbox: Mailbox) -> None:
    assert api_key.hash == hash_secret(api_key.secret)  # type: ignore[attr-defined]
    assert list(Mailbox.objects.visible_to(api_key)) == [mailbox]


@pytest.mark.parametrize("again", [1, 2])
def test_the_chain_has_its_head_after_a_flush(transactional_db: None, again: int) -> None:
    ChainHead.objects.get(pk=1)


def test_the_mail_server_records_what_it_gets(smtp_server: RecordingServer) -> None:
    smtp_server.refuse["gone@far.test"] = "550 no such user"
    with smtplib.SMTP("127.0.0.1", smtp_server.port) as client:
        client.sendmail("a@acme.test", ["b@far.test", "gone@far.test"], b"Subject: x\r\n\r\nbody\r\n")
    assert smtp_server.messages == [("a@acme.test", ["b@far.test"], b"Subject: x\r\n\r\nbody\r\n")]


def test_the_site_is_served_on_loopback(live_server_asgi: AsgiServer) -> None:
    assert httpx.get(f"{live_server_asgi.url}/no-such-page", timeout=30).status_code in (302, 401, 404)


def test_tests_run_on_a_database_that_threads_share(db: None) -> None:
    assert connection.vendor == "postgresql" or "counterseal-test-" in str(connection.settings_dict["NAME"])
