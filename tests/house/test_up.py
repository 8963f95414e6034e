"""`manage.py up` as its user meets it: a process with an address, stopped by a signal."""

from __future__ import annotations

import signal
import smtplib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import Up, manage

MESSAGE = (
    "From: c@far.test\r\nTo: support@acme.test\r\nSubject: hello\r\nMessage-ID: <1@far.test>\r\n\r\nHi\r\n"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def up(data: Path) -> Iterator[Up]:
    up = Up.started(data)
    yield up
    up.close()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_stops_cleanly(up: Up, sig: signal.Signals) -> None:
    assert httpx.get(f"{up.url}/health").status_code == 200
    assert up.stop(sig) == 0
    assert "Traceback" not in up.log
    assert "ERROR" not in up.log


def test_it_stops_although_somebody_keeps_a_connection_open(up: Up) -> None:
    with httpx.Client(base_url=up.url) as client:
        client.get("/health")
        assert up.stop(signal.SIGTERM) == 0


def test_a_second_signal_ends_it_at_once(up: Up) -> None:
    host, port = up.smtp
    with smtplib.SMTP(host, port):
        up.process.send_signal(signal.SIGTERM)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(20) in (0, 1)


def test_mail_for_a_known_mailbox_is_stored_and_for_an_unknown_one_refused(data: Path) -> None:
    manage(data, "migrate", "-v0")
    made = manage(data, "provision", "-", stdin='{"mailboxes": [{"address": "support@acme.test"}]}')
    assert made.returncode == 0, made.stderr
    up = Up.started(data)
    try:
        with smtplib.SMTP(*up.smtp) as client:
            refused = client.sendmail("c@far.test", ["Support@acme.test", "nobody@acme.test"], MESSAGE)
            assert refused["nobody@acme.test"][0] == 550
            assert list(refused) == ["nobody@acme.test"]
    finally:
        up.stop(signal.SIGTERM)
    with sqlite3.connect(data / "counterseal.sqlite3") as database:
        assert database.execute("SELECT data FROM mailboxes_rawmessage").fetchall() == [(MESSAGE.encode(),)]


def test_too_large_a_message_is_refused(data: Path) -> None:
    up = Up.started(data, MAX_MESSAGE_BYTES="1000")
    try:
        with smtplib.SMTP(*up.smtp) as client:
            client.ehlo()
            assert client.esmtp_features["size"] == "1000"
            assert client.docmd("MAIL", "FROM:<c@far.test> SIZE=1001")[0] == 552
    finally:
        up.stop(signal.SIGTERM)


def test_a_port_in_use_is_a_sentence(up: Up, tmp_path: Path) -> None:
    port = httpx.URL(up.url).port
    for arguments in (("--port", str(port)), ("--port", "0", "--smtp-port", str(up.smtp[1]))):
        ended = manage(tmp_path / "other", "up", *arguments)
        assert ended.returncode == 1
        assert "Address already in use. Use another --" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_one_data_directory_has_one_process(up: Up) -> None:
    ended = manage(up.data, "up", "--port", "0", "--smtp-port", "0")
    assert ended.returncode == 1
    assert f"Another `up` is running on {up.data}." in ended.stderr


def test_what_it_writes_stays_under_its_data_directory(up: Up) -> None:
    up.stop(signal.SIGTERM)
    assert {path.name for path in up.data.iterdir()} == {"counterseal.sqlite3", "secret_key", "up.lock"}


def test_nobody_else_may_look_into_its_data_directory(up: Up) -> None:
    assert up.data.stat().st_mode & 0o077 == 0
