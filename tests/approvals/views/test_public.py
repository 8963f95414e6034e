"""What everybody may see: keys, the check of a message. No script, nothing from elsewhere, nothing kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client

from approvals import actions, outbox
from approvals.effects import DELIVERY
from approvals.models import User
from approvals.views import public
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Mailbox, SigningKey
from tests.approvals.living import a_held_message
from tests.servers import RecordingServer

KEYS = "/.well-known/multimail-signing-key"


@pytest.fixture
def sent(api_key: ApiKey, mailbox: Mailbox, reviewer: User, smtp_server: RecordingServer) -> bytes:
    """As somebody's mail server took it."""
    actions.approve(a_held_message(api_key, mailbox, subject="Grüße"), by=reviewer)
    outbox.drain(DELIVERY)
    return smtp_server.messages[0][2]


def test_a_message_that_left_here_is_proved_to_anybody(client: Client, sent: bytes) -> None:
    file = SimpleUploadedFile("mail.eml", sent, "message/rfc822")
    for body in (
        {"message": file},
        {"source": sent.decode()},
        {"source": sent.decode().replace("\r\n", "\n")},
    ):
        page = client.post("/check", body).content.decode()
        assert "It is what was signed" in page
        assert "by a person, who saw exactly this text" in page


def test_moved_or_changed_it_proves_nothing(client: Client, sent: bytes) -> None:
    page = client.post("/check", {"source": sent.decode().replace("Hello", "Goodbye")}).content.decode()
    assert "It proves nothing" in page
    assert "It is not the text that was signed" in page


@pytest.mark.parametrize("body", [{}, {"source": "  \n"}, {"message": SimpleUploadedFile("a.eml", b" ")}])
def test_nothing_given_is_said_so(client: Client, db: None, body: dict[str, object]) -> None:
    response = client.post("/check", body)
    assert (response.status_code, "Choose a file" in response.content.decode()) == (400, True)


def test_what_is_too_large_is_refused_before_it_is_read(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.post("/check", {"source": "a" * 3_000_000}).status_code == 413
    monkeypatch.setattr(public, "LARGEST", 1000)
    file = SimpleUploadedFile("mail.eml", b"a" * 1001)
    assert client.post("/check", {"message": file}).status_code == 413


def test_a_hostile_message_is_shown_as_text(client: Client, db: None) -> None:
    page = client.post("/check", {"source": "X-MultiMail-Identity: <script>alert(1)</script>\n\n"})
    assert b"<script" not in page.content


def test_its_pages_run_no_script_and_load_nothing_from_elsewhere(client: Client, db: None) -> None:
    response = client.get("/check")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert not re.search(rb"<script|https?://", response.content)
    template = Path(settings.BASE_DIR / "templates/public.html").read_text()
    assert "<script" not in template


def test_checking_keeps_nothing(client: Client, sent: bytes) -> None:
    before = Event.objects.count()
    client.post("/check", {"source": sent.decode()})
    assert Event.objects.count() == before


def test_the_keys_are_published_for_any_page_and_old_ones_stay(client: Client, db: None) -> None:
    first = client.get(KEYS)
    assert first.headers["Access-Control-Allow-Origin"] == "*"
    old = first.json()
    call_command("rotate_signing_key")
    new = client.get(KEYS).json()
    assert new["public_key"] != old["public_key"]
    assert [key["kid"] for key in new["keys"]] == [new["kid"], old["kid"]]
    assert "PRIVATE" not in str(new)
    assert Event.objects.get(action="signing_key.made").actor == "system:command"


def test_an_administrator_of_everything_makes_a_new_one(
    administrator: User, reviewer: User, client: Client
) -> None:
    client.force_login(reviewer, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/identity").status_code == 403
    assert client.post("/identity/rotate").status_code == 403
    client.force_login(administrator, backend="django.contrib.auth.backends.ModelBackend")
    assert "signs what leaves" in client.get("/identity").content.decode()
    client.post("/identity/rotate")
    assert SigningKey.objects.count() == 2
    assert "verifies older mail" in client.get("/identity").content.decode()
