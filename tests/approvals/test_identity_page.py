"""The programs of docs/identity.md do what they say, on a message that really left."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from approvals import actions, outbox
from approvals.effects import DELIVERY
from approvals.models import User
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests.approvals.living import a_held_message
from tests.servers import AsgiServer, RecordingServer

KEYS = "/.well-known/multimail-signing-key"
FILES = {"python": "verify.py", "javascript": "verify.mjs", "sh": "verify.sh"}
RUN = {"python": [sys.executable], "javascript": ["node"], "sh": ["sh"]}
BY_A_PERSON = "approved by a person"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """As they stand on the page, in a directory of their own."""
    page = (settings.BASE_DIR / "docs/identity.md").read_text()
    for language, text in re.findall(r"```(\w+)\n(.*?)```", page, re.S):
        (tmp_path / FILES[language]).write_text(text)
    return tmp_path


@pytest.fixture
def sent(
    live_server_asgi: AsgiServer,
    api_key: ApiKey,
    mailbox: Mailbox,
    reviewer: User,
    smtp_server: RecordingServer,
) -> bytes:
    """As somebody's mail server took it, and signed before the key was changed."""
    actions.approve(a_held_message(api_key, mailbox, subject="Grüße", markdown="Hällo"), by=reviewer)
    outbox.drain(DELIVERY)
    actions.rotate_signing_key(by=None)
    return smtp_server.messages[0][2]


def run(language: str, programs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*RUN[language], FILES[language], *arguments]
    return subprocess.run(command, cwd=programs, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_few_lines_verify_it_with_the_published_keys(
    language: str, programs: Path, sent: bytes, live_server_asgi: AsgiServer
) -> None:
    assert shutil.which(RUN[language][0])
    url = live_server_asgi.url + KEYS
    tampered = {
        "good": sent,
        "relayed": b"Received: from a by b\r\n\tfor <c@x.test>; today\r\n" + sent,
        "changed": sent.replace(b"Order", b"Odder").replace(b"support@acme.test", b"sipport@acme.test"),
        "on_top": b"Subject: Pay now\r\n" + sent,
        "forged": re.sub(rb"(X-MultiMail-Identity: \S{20})\S", rb"\1_", sent),
    }
    told = {}
    for name, message in tampered.items():
        (programs / "message.eml").write_bytes(message)
        ended = run(language, programs, "message.eml", url)
        told[name] = (ended.returncode == 0 and ended.stdout.startswith(BY_A_PERSON), ended.stderr[-300:])
    assert told["good"][0], told
    assert told["relayed"][0], told
    assert "not the text that was signed" in told["changed"][1]
    assert "headers were added on top" in told["on_top"][1]
    assert not told["forged"][0]


@pytest.mark.slow
def test_openssl_alone_verifies_the_signature(
    programs: Path, sent: bytes, live_server_asgi: AsgiServer
) -> None:
    header = re.search(rb"(?m)^X-MultiMail-Identity: (\S+)\r\n", sent)
    assert header
    (programs / "header").write_bytes(header[1])
    new, old = httpx.get(live_server_asgi.url + KEYS).json()["keys"]
    (programs / "key.pem").write_text(old["public_key"])
    ended = run("sh", programs, "header", "key.pem")
    assert "Verified OK" in ended.stdout, ended.stderr
    (programs / "key.pem").write_text(new["public_key"])
    assert "Verified OK" not in run("sh", programs, "header", "key.pem").stdout
