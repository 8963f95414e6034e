"""`manage.py up` as its user meets it: a process with an address, stopped by a signal."""

from __future__ import annotations

import signal
import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.processes import Up, manage

# one process serves all tests that don't stop it
pytestmark = pytest.mark.xdist_group("up")

MESSAGE = (
    "From: c@far.test\r\nTo: support@acme.test\r\nSubject: hello\r\nMessage-ID: <1@far.test>\r\n\r\nHi\r\n"
)
MAILBOX = '{"mailboxes": [{"address": "support@acme.test"}]}'


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    data = tmp_path_factory.mktemp("up") / "data"
    assert manage(data, "migrate", "-v0").returncode == 0
    made = manage(data, "provision", "-", stdin=MAILBOX)
    assert made.returncode == 0, made.stderr
    up = Up.started(data, MAX_MESSAGE_BYTES="1000")
    yield up
    up.close()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_stops_cleanly(tmp_path: Path, sig: signal.Signals) -> None:
    up = Up.started(tmp_path / "data")
    with closing(up), httpx.Client(base_url=up.url, timeout=30) as kept_open:
        assert kept_open.get("/health").status_code == 200
        assert up.stop(sig) == 0
    assert "Traceback" not in up.log
    assert "ERROR" not in up.log
    assert {path.name for path in up.data.iterdir()} == {"counterseal.sqlite3", "secret_key", "up.lock"}


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    up = Up.started(tmp_path / "data")
    with closing(up):
        up.process.send_signal(signal.SIGTERM)
        up.process.send_signal(signal.SIGINT)
        # 0 when the first one had already ended it
        assert up.process.wait(20) in (0, 1)


def test_mail_for_a_known_mailbox_is_stored_and_for_an_unknown_one_refused(up: Up) -> None:
    with smtplib.SMTP(*up.smtp, local_hostname="far.test") as client:
        refused = client.sendmail("c@far.test", ["Support@acme.test", "nobody@acme.test"], MESSAGE)
        assert refused["nobody@acme.test"][0] == 550
        assert list(refused) == ["nobody@acme.test"]
    with closing(sqlite3.connect(up.data / "counterseal.sqlite3")) as database:
        stored = database.execute("SELECT data FROM mailboxes_rawmessage").fetchall()
    assert stored == [(MESSAGE.encode(),)]


def test_too_large_a_message_is_refused(up: Up) -> None:
    with smtplib.SMTP(*up.smtp, local_hostname="far.test") as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "1000"
        assert client.docmd("MAIL", "FROM:<c@far.test> SIZE=1001")[0] == 552
        client.mail("c@far.test")
        client.rcpt("support@acme.test")
        assert client.data("x" * 1001)[0] == 552


def test_a_web_port_in_use_is_a_sentence(up: Up, tmp_path: Path) -> None:
    ended = manage(tmp_path / "other", "up", "--port", str(httpx.URL(up.url).port))
    assert ended.returncode == 1
    assert "Address already in use. Use another --port." in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_mail_port_in_use_is_a_sentence(up: Up, tmp_path: Path) -> None:
    ended = manage(tmp_path / "other", "up", "--port", "0", "--smtp-port", str(up.smtp[1]))
    assert ended.returncode == 1
    assert "Address already in use. Use another --smtp-port." in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_mail_server_that_cannot_be_understood_is_a_sentence(tmp_path: Path) -> None:
    """At the start, not when the first approved mail is to leave."""
    ended = manage(tmp_path / "data", "up", "--port", "0", "--smtp-port", "0", EMAIL_URL="mail.acme.test:25")
    assert ended.returncode == 1
    assert "EMAIL_URL must look like smtp://" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_one_data_directory_has_one_process(up: Up) -> None:
    ended = manage(up.data, "up", "--port", "0", "--smtp-port", "0")
    assert ended.returncode == 1
    assert f"Another `up` is running on {up.data}." in ended.stderr


def test_nobody_else_may_look_into_its_data_directory(up: Up) -> None:
    assert up.data.stat().st_mode & 0o077 == 0


def test_static_files_are_served_above_django(up: Up) -> None:
    found = httpx.get(f"{up.url}/static/css/base.css")
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/css")
    assert "set-cookie" not in found.headers
    again = httpx.get(f"{up.url}/static/css/base.css", headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(f"{up.url}/static/../config/settings.py").status_code == 404
