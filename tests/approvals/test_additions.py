"""What a mailbox puts into its mail before a person sees it: a word about AI, and the way off a list."""

from __future__ import annotations

from email import message_from_bytes
from typing import Any

import pytest
from django.test import Client

from approvals import actions, gate, links, outbox
from approvals.effects import DELIVERY
from approvals.errors import Invalid
from approvals.models import OutboundMessage, User
from approvals.states import Status
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.envelope import Draft
from mailboxes.letterhead import DISCLOSURE
from mailboxes.models import Mailbox, Suppression
from tests import factories
from tests.approvals.api.caller import Caller, arrived
from tests.approvals.living import a_held_message
from tests.servers import RecordingServer

HTML = "<p>Hello</p>"


def frozen(message: OutboundMessage) -> bytes:
    return bytes(message.email.revisions.get(number=message.revision).frozen)


@pytest.fixture
def list_box(mailbox: Mailbox) -> Mailbox:
    Mailbox.objects.filter(pk=mailbox.pk).update(is_bulk=True)
    mailbox.refresh_from_db()
    return mailbox


@pytest.mark.parametrize("body", [{"markdown": "Hello"}, {"markdown": "", "html": HTML}])
def test_the_word_about_ai_is_in_what_the_person_sees(
    api_key: ApiKey, mailbox: Mailbox, body: dict[str, str]
) -> None:
    assert DISCLOSURE.encode() not in frozen(a_held_message(api_key, mailbox, **body))
    mailbox.ai_disclosure, mailbox.signature_block = True, "Acme Ltd"
    text = frozen(a_held_message(api_key, mailbox, **body)).decode().partition("\r\n\r\n")[2]
    # in the plain part and in the HTML, before the signature
    assert text.count(DISCLOSURE) == 2
    assert text.index(DISCLOSURE) < text.index("Acme Ltd")


def test_turning_it_on_changes_later_mail_only(
    api_key: ApiKey, mailbox: Mailbox, administrator: User
) -> None:
    before = a_held_message(api_key, mailbox)
    actions.change_mailbox(mailbox, {"ai_disclosure": True}, by=administrator)
    assert DISCLOSURE.encode() not in frozen(before)
    assert DISCLOSURE.encode() in frozen(a_held_message(api_key, mailbox))


def test_bulk_mail_carries_its_recipients_own_link_in_what_is_approved(
    api_key: ApiKey, list_box: Mailbox
) -> None:
    message = a_held_message(api_key, list_box, to=("anna@example.com",))
    told = message_from_bytes(frozen(message))
    assert told["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = " ".join(told["List-Unsubscribe"].split())
    assert url == f"<{links.unsubscribe_url(list_box.pk, 'anna@example.com')}>"
    facts = message.email.revisions.get().facts
    assert [fact["severity"] for fact in facts if fact["code"] == "bulk"] == ["info"]


def test_its_link_is_one_recipients_so_it_goes_to_one_at_a_time(api_key: ApiKey, list_box: Mailbox) -> None:
    for more in ({"to": ("a@example.com", "b@example.com")}, {"cc": ("b@example.com",)}):
        with pytest.raises(Invalid) as refused:
            a_held_message(api_key, list_box, **more)
        assert refused.value.fields[0]["code"] == "bulk_one_recipient"
    # a copy that the mailbox itself adds is nobody's subscription
    list_box.auto_bcc = "archive@acme.test"
    assert a_held_message(api_key, list_box).email.bcc == ["archive@acme.test"]


def test_an_answer_to_mail_that_came_in_is_no_bulk_mail(api_key: ApiKey, list_box: Mailbox) -> None:
    email = arrived(list_box)
    answer = gate.reply(email, Draft(to=(), markdown="It has shipped."), by=api_key).message
    assert b"List-Unsubscribe" not in frozen(answer)


def test_a_new_recipient_gets_a_link_of_their_own(api_key: ApiKey, list_box: Mailbox) -> None:
    list_box.auto_bcc = "archive@acme.test"
    list_box.save()
    message = a_held_message(api_key, list_box, to=("anna@example.com",))
    message = gate.revise(message, {"to": ["bob@example.com"]}, by=api_key)
    url = links.unsubscribe_url(list_box.pk, "bob@example.com")
    assert url in frozen(message).decode()


def path_of(mailbox: Mailbox, address: str) -> str:
    return links.unsubscribe_url(mailbox.pk, address).removeprefix("http://127.0.0.1:8000")


def test_following_the_link_unsubscribes_nobody(client: Client, list_box: Mailbox) -> None:
    path = path_of(list_box, "anna@example.com")
    for look in (client.get, client.head):
        assert look(path).status_code == 200
    assert "anna@example.com" in client.get(path).content.decode()
    assert not Suppression.objects.exists()


def test_one_click_does_without_a_cookie_and_twice_does_no_harm(list_box: Mailbox) -> None:
    browser = Client(enforce_csrf_checks=True)
    path = path_of(list_box, "Anna@example.com")
    for _ in range(2):
        response = browser.post(path, {"List-Unsubscribe": "One-Click"})
        assert (response.status_code, "You are unsubscribed" in response.content.decode()) == (200, True)
        assert not response.cookies
    kept = Suppression.objects.get()
    assert (kept.address, kept.mailbox) == ("anna@example.com", list_box)
    assert Event.objects.get(action="suppression.added").actor == "recipient"


@pytest.mark.parametrize("token", ["x", "a:b", "ImVtXzAxIg:abc", "%00", "é"])
def test_a_made_up_link_is_not_there(client: Client, db: None, token: str) -> None:
    assert client.get(f"/unsubscribe/{token}").status_code == 404
    assert client.post(f"/unsubscribe/{token}").status_code == 404


def test_a_link_to_decide_is_no_link_to_unsubscribe(
    client: Client, api_key: ApiKey, mailbox: Mailbox
) -> None:
    token = links.approve_url(a_held_message(api_key, mailbox).pk).rpartition("/")[2]
    assert client.post(f"/unsubscribe/{token}").status_code == 404


def test_nothing_more_leaves_that_mailbox_for_them_and_others_still_write(
    api_key: ApiKey,
    assistant: Any,
    list_box: Mailbox,
    reviewer: User,
    client: Client,
    smtp_server: RecordingServer,
) -> None:
    other = factories.a_mailbox("orders@acme.test")
    theirs = factories.a_key(factories.an_assistant(mailboxes=[other]), mailboxes=[other])
    waiting = a_held_message(api_key, list_box, to=("anna@example.com",))
    ours = a_held_message(theirs, other, to=("anna@example.com",))
    client.post(path_of(list_box, "anna@example.com"))
    for message in (waiting, ours):
        actions.approve(message, by=reviewer)
    outbox.drain(DELIVERY)
    waiting.refresh_from_db()
    ours.refresh_from_db()
    assert (waiting.status, ours.status) == (Status.FAILED, Status.SENT)
    assert "unsubscribed from support@acme.test" in waiting.delivery["error"]


def test_who_unsubscribed_is_listed_and_let_back_in_by_key(list_box: Mailbox) -> None:
    actions.unsubscribe("anna@example.com", list_box)
    actions.unsubscribe("anna@example.com", factories.a_mailbox())
    manager = Caller(factories.a_key(factories.an_integration(), scopes=["admin"], mailboxes=[list_box]))
    listed = manager.get("/v1/suppression").json()["suppressions"]
    assert [(one["email_address"], one["mailbox_id"]) for one in listed] == [
        ("anna@example.com", list_box.pk)
    ]
    assert manager.delete("/v1/suppression/anna@example.com").status_code == 200
    assert Suppression.objects.count() == 1
