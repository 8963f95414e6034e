"""Attachments by key: handed in, frozen, delivered, downloaded, and linked to."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.core import signing
from django.test import Client
from pytest_django import Settings

from approvals import tasks
from approvals.api import attachments as api
from approvals.models import OutboundMessage, User
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests.approvals import living
from tests.approvals.api.caller import Caller, arrived, held
from tests.servers import RecordingServer

DATA = b"%PDF-1.7 offer"
FILE = {
    "name": "Offer für März.pdf",
    "content_base64": base64.b64encode(DATA).decode(),
    "content_type": "application/pdf",
}


@pytest.fixture
def sent(agent: Caller, mailbox: Mailbox) -> OutboundMessage:
    wanted = {"to": "anna@example.com", "subject": "Offer", "body": "See it.", "attachments": [FILE]}
    answer = agent.post(f"/v1/mailboxes/{mailbox.pk}/send", wanted)
    assert answer.status_code == 202
    return OutboundMessage.objects.get(pk=answer.json()["id"])


def path_of(message: Any, name: str = FILE["name"]) -> str:
    return f"/v1/mailboxes/{message.mailbox_id}/emails/{message.pk}/attachments/{quote(name)}"


def test_a_file_is_shown_with_its_message_and_read_back(agent: Caller, sent: OutboundMessage) -> None:
    shown = agent.get(f"/v1/mailboxes/{sent.email.mailbox_id}/emails/{sent.pk}").json()
    assert shown["has_attachments"] is True
    assert shown["attachments"] == [
        {"name": FILE["name"], "size": len(DATA), "content_type": "application/pdf"}
    ]
    answer = agent.get(path_of(sent.email))
    assert (answer.content, answer.headers["Content-Type"]) == (DATA, "application/pdf")
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_arrives_holds_the_file(
    sent: OutboundMessage, reviewer: User, smtp_server: RecordingServer
) -> None:
    from email import message_from_bytes, policy

    living.approved(sent, reviewer)
    tasks.deliver()
    message = message_from_bytes(smtp_server.messages[0][2], policy=policy.default)
    (file,) = message.iter_attachments()
    assert (file.get_filename(), file.get_content()) == (FILE["name"], DATA)


def test_the_same_text_with_another_file_is_another_message(agent: Caller, sent: OutboundMessage) -> None:
    other = FILE | {"content_base64": base64.b64encode(b"%PDF-1.7 other").decode()}
    wanted = {"to": "anna@example.com", "subject": "Offer", "body": "See it."}
    path = f"/v1/mailboxes/{sent.email.mailbox_id}/send"
    assert agent.post(path, wanted | {"attachments": [FILE]}).status_code == 409
    assert agent.post(path, wanted | {"attachments": [other]}).status_code == 202


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"content_base64": "not base64!"}, "attachments[0].content_base64"),
        ({"name": "a/b"}, "attachments[0].name"),
        ({"name": "run.exe"}, "attachments[0].name"),
        ({"content_type": "pdf"}, "attachments[0].content_type"),
        ({"name": None}, "attachments[0].name"),
    ],
)
def test_what_is_wrong_is_400_and_says_where(
    agent: Caller, mailbox: Mailbox, wrong: dict[str, Any], field: str
) -> None:
    wanted = {"to": "a@b.test", "subject": "x", "body": "x", "attachments": [FILE | wrong]}
    answer = agent.post(f"/v1/mailboxes/{mailbox.pk}/send", wanted)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_files_of_ten_megabytes_go_through_and_more_does_not(agent: Caller, mailbox: Mailbox) -> None:
    path = f"/v1/mailboxes/{mailbox.pk}/send"
    big = FILE | {"content_base64": base64.b64encode(b"%PDF-" + bytes(9_900_000)).decode()}
    wanted = {"to": "a@b.test", "subject": "x", "body": "x"}
    assert agent.post(path, wanted | {"attachments": [big]}).status_code == 202
    two = [big, big | {"name": "2.pdf"}]
    assert agent.post(path, wanted | {"attachments": two}).status_code in (400, 413)


def mail_with_a_file() -> str:
    return (
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nsee it\r\n--b\r\n'
        'Content-Type: text/html; name="a b.html"\r\nContent-Disposition: attachment; filename="a b.html"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(b"<script>alert(1)</script>").decode()
        + "\r\n--b--\r\n"
    )


def test_a_file_that_came_in_is_read_back_and_never_shown_as_a_page(agent: Caller, mailbox: Mailbox) -> None:
    email = arrived(mailbox, headers=mail_with_a_file())
    answer = agent.get(path_of(email, "a b.html"))
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_what_is_not_there_or_out_of_reach_is_404(
    agent: Caller, stranger: Caller, sent: OutboundMessage
) -> None:
    assert agent.get(path_of(sent.email, "other.pdf")).status_code == 404
    assert stranger.get(path_of(sent.email)).status_code == 404
    assert stranger.get(path_of(sent.email) + "/url").status_code == 404


class TestSignedLinks:
    def test_a_link_needs_no_key_and_ends_within_an_hour(
        self, agent: Caller, sent: OutboundMessage, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = agent.get(path_of(sent.email) + "/url").json()
        assert (link["filename"], link["size_bytes"], link["expires_in"]) == (FILE["name"], len(DATA), 3600)
        path = urlsplit(link["url"]).path
        assert client.get(path).content == DATA
        assert Client().post(path).status_code == 405
        monkeypatch.setattr(api, "EXPIRES_IN", -1)
        assert client.get(path).status_code == 404

    def test_a_link_for_one_file_is_none_for_another(
        self, agent: Caller, sent: OutboundMessage, client: Client, settings: Settings
    ) -> None:
        forged = signing.dumps([sent.pk, FILE["name"]], salt="another purpose")
        assert client.get(f"/attachments/{forged}").status_code == 404
        gone = signing.dumps([sent.pk, "gone.pdf"], salt=api.SALT)
        assert client.get(f"/attachments/{gone}").status_code == 404


def test_a_reviewer_downloads_it_from_the_page(
    client: Client, reviewer: User, outsider: User, sent: OutboundMessage
) -> None:
    client.force_login(reviewer)
    assert FILE["name"] in client.get(f"/messages/{sent.pk}").content.decode()
    assert client.get(f"/messages/{sent.pk}/attachments/0").content == DATA
    assert client.get(f"/messages/{sent.pk}/attachments/1").status_code == 404
    client.force_login(outsider)
    assert client.get(f"/messages/{sent.pk}/attachments/0").status_code == 404


def test_a_message_without_files_lists_none(agent: Caller, api_key: ApiKey, mailbox: Mailbox) -> None:
    held(mailbox, api_key)
    found = agent.get(f"/v1/mailboxes/{mailbox.pk}/emails?has_attachments=true").json()
    assert found["emails"] == []
