"""The page on which an administrator says where a mailbox's mail comes from."""

from __future__ import annotations

import pytest
from django.test import Client

from mailboxes.models import ImapSource, Mailbox
from tests.approvals.views.test_set_up import press, shown


def test_the_page_sets_it_and_shows_how_it_goes(ada: Client, mailbox: Mailbox) -> None:
    path = f"/mailboxes/{mailbox.pk}/arriving"
    assert "No IMAP folder" in shown(ada, path)
    given = {"security": "none", "host": "127.0.0.1", "port": "1143", "folder": "Support"}
    page = press(ada, path, **given, user="support@acme.test", password="p@ss w/rd")
    assert "Support of support@acme.test at 127.0.0.1" in page
    assert "p@ss" not in page
    assert (
        ImapSource.objects.get().url
        == "imap://support%40acme.test:p%40ss%20w%2Frd@127.0.0.1:1143/Support?tls=none"
    )
    assert "Support of support@acme.test" in shown(ada, f"/mailboxes/{mailbox.pk}")
    ImapSource.objects.update(last_error="The IMAP server refused: no.")
    assert "The IMAP server refused: no." in shown(ada, path)
    press(ada, f"{path}/stop")
    assert not ImapSource.objects.exists()


def test_others_may_not_open_it(rita: Client, otto: Client, mailbox: Mailbox) -> None:
    for client in (rita, otto):
        assert client.get(f"/mailboxes/{mailbox.pk}/arriving").status_code == 403
        assert client.post(f"/mailboxes/{mailbox.pk}/arriving/stop").status_code == 403


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"security": "tls", "host": "", "user": "a"}, "This field is required"),
        ({"security": "pigeon", "host": "a.test", "user": "a"}, "not one of the available choices"),
        ({"security": "tls", "host": "a/b@c", "user": "a"}, "Enter a valid value"),
        ({"security": "none", "host": "mail.far.test", "user": "a"}, "only to a server on this machine"),
    ],
)
def test_what_is_wrong_is_said_on_the_page(
    ada: Client, mailbox: Mailbox, given: dict[str, str], sentence: str
) -> None:
    page = press(ada, f"/mailboxes/{mailbox.pk}/arriving", **({"folder": "INBOX", "password": "x"} | given))
    assert sentence in page
    assert not ImapSource.objects.exists()


def test_a_password_that_nobody_can_read_any_more_is_said(ada: Client, mailbox: Mailbox) -> None:
    ImapSource.objects.create(mailbox=mailbox, url_encrypted="encrypted under another key")
    assert "enter it anew" in shown(ada, f"/mailboxes/{mailbox.pk}/arriving")
    assert "enter it anew" in shown(ada, f"/mailboxes/{mailbox.pk}")
