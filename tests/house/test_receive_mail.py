"""`manage.py receive_mail`: the receiving server as a process of its own, by SMTP and LMTP."""

from __future__ import annotations

import json
import re
import signal
import smtplib
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings

from tests.processes import environment, manage

pytestmark = pytest.mark.slow


def test_it_stores_what_comes_by_either_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = manage(data, "provision", "-", stdin=json.dumps({"mailboxes": [{"address": "a@acme.test"}]}))
    assert made.returncode == 0, made.stderr
    words = [sys.executable, "manage.py", "receive_mail", "--smtp-port", "0", "--lmtp-port", "0"]
    process = subprocess.Popen(
        words, cwd=settings.BASE_DIR, env=environment(data), stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        ports = [int(re.findall(r":(\d+) ", process.stdout.readline())[0]) for _ in range(2)]
        for kind, port in zip((smtplib.SMTP, smtplib.LMTP), ports, strict=True):
            with kind("127.0.0.1", port, local_hostname="far.test") as client:
                client.sendmail("b@far.test", ["a@acme.test"], b"Subject: x\r\n\r\nhi\r\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with closing(sqlite3.connect(data / "counterseal.sqlite3")) as database:
        rows = database.execute("SELECT source FROM mailboxes_rawmessage ORDER BY id").fetchall()
    assert rows == [("smtp",), ("lmtp",)]
