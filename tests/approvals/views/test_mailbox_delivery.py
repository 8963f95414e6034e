"""The page on which an administrator says how a mailbox's mail leaves."""

from __future__ import annotations

import pytest
from django.test import Client

from mailboxes.models import Mailbox
from tests.approvals.views.test_set_up import press, shown
from tests.servers import RecordingServer

GIVEN = {"via": "smtp", "host": "mail.acme.test", "user": "a@b", "secret": "p@ss:w/rd"}


def test_an_administrator_sets_it_and_never_sees_its_secret(ada: Client, mailbox: Mailbox) -> None:
    path = f"/mailboxes/{mailbox.pk}/delivery"
    assert "mail is caught" in shown(ada, path)
    page = press(ada, path, **GIVEN)
    assert "SMTP, mail.acme.test:587 as a@b" in page
    assert "p@ss" not in page
    assert Mailbox.objects.get().outbound_url == "smtp://a%40b:p%40ss%3Aw%2Frd@mail.acme.test"
    assert "SMTP, mail.acme.test:587" in shown(ada, f"/mailboxes/{mailbox.pk}")
    press(ada, path, via="")
    assert Mailbox.objects.get().outbound_url == ""


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"via": "mailgun", "host": "api.mailgun.net", "secret": "k"}, "It must look like mailgun://"),
        ({"via": "smtp", "host": ""}, "It must look like smtp://"),
        ({"via": "smtp", "host": "a/b@c"}, "Enter a valid value"),
        ({"via": "pigeon"}, "not one of the available choices"),
        ({"via": "smtp", "host": "a.test", "port": "99999"}, "less than or equal to 65535"),
    ],
)
def test_what_is_wrong_is_said_on_the_page(
    ada: Client, mailbox: Mailbox, given: dict[str, str], sentence: str
) -> None:
    assert sentence in press(ada, f"/mailboxes/{mailbox.pk}/delivery", **given)
    assert not Mailbox.objects.get().outbound_encrypted


def test_a_test_mail_shows_each_step(ada: Client, mailbox: Mailbox, smtp_server: RecordingServer) -> None:
    page = press(ada, f"/mailboxes/{mailbox.pk}/delivery/test")
    assert "It was taken." in page
    assert "MAIL FROM:&lt;support@acme.test&gt;" in page
    smtp_server.data_reply = "554 no thanks"
    assert "It was not sent." in press(ada, f"/mailboxes/{mailbox.pk}/delivery/test")


def test_a_secret_that_nobody_can_read_any_more_is_said(ada: Client, mailbox: Mailbox) -> None:
    Mailbox.objects.update(outbound_encrypted="encrypted under another key")
    assert "enter it anew" in shown(ada, f"/mailboxes/{mailbox.pk}/delivery")
    assert "enter it anew" in shown(ada, f"/mailboxes/{mailbox.pk}")


def test_others_may_not_open_it(rita: Client, otto: Client, mailbox: Mailbox) -> None:
    for client in (rita, otto):
        for method in (client.get, client.post):
            assert method(f"/mailboxes/{mailbox.pk}/delivery").status_code == 403
        assert client.post(f"/mailboxes/{mailbox.pk}/delivery/test").status_code == 403
