"""Contacts, suppressed addresses, and the allowlist over all mailboxes."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from approvals import actions
from approvals.actions.receipts import record_report
from approvals.models import User
from assistants.models import ApiKey, Assistant
from audit.models import Event
from mailboxes.models import AllowlistEntry, Contact, Mailbox, Suppression
from tests.approvals.living import a_held_message
from tests.approvals.test_receipts import bounce, sent
from tests.approvals.views.conftest import at_browser
from tests.approvals.views.test_set_up import press, shown
from tests.factories import a_mailbox, a_person, an_assistant
from tests.servers import RecordingServer


@pytest.fixture
def zoe(mailbox: Mailbox) -> Client:
    """Administers one mailbox."""
    return at_browser(a_person("zoe@acme.test", "administrator", mailboxes=[mailbox]))


def test_empty_pages_say_what_will_appear_there(ada: Client) -> None:
    assert "The address books are empty" in shown(ada, "/contacts")
    assert "Nobody is suppressed" in shown(ada, "/suppression")
    assert "Every send is reviewed" in shown(ada, "/allowlist")


# contacts


def test_a_contact_is_added_found_changed_and_removed(ada: Client, assistant: Assistant) -> None:
    form = {"owner": assistant.pk, "email": "Ann@Example.test", "name": "Ann", "tags": "customer, vip, vip"}
    assert "is in the address book" in press(ada, "/contacts/new", **form)
    ann = Contact.objects.get()
    assert (ann.email, ann.tags, ann.owner) == ("Ann@example.test", ["customer", "vip"], assistant.pk)
    assert "vip" in shown(ada, "/contacts?q=ann")
    assert "No contact fits" in shown(ada, "/contacts?q=bob")
    assert 'value="customer, vip"' in shown(ada, f"/contacts/{ann.pk}")
    press(ada, f"/contacts/{ann.pk}", name="Ann Archer", tags="")
    ann.refresh_from_db()
    assert (ann.name, ann.tags) == ("Ann Archer", [])
    assert "no longer in the address book" in press(ada, f"/contacts/{ann.pk}/remove")
    assert not Contact.objects.exists()
    assert Event.objects.latest("seq").action == "contact.removed"


def test_an_address_that_is_none_is_said_beside_it_and_kept(ada: Client, assistant: Assistant) -> None:
    page = press(ada, "/contacts/new", owner=assistant.pk, email="no address", name="Ann", tags="vip")
    assert 'id="id_email_error"' in page
    assert 'value="no address"' in page
    assert 'value="vip"' in page
    assert not Contact.objects.exists()


def test_who_administers_some_mailboxes_keeps_the_books_of_who_works_there(
    zoe: Client, administrator: User, assistant: Assistant
) -> None:
    far = an_assistant("Far", mailboxes=[a_mailbox("far@elsewhere.test")])
    theirs = actions.keep_contact(far.pk, "fay@elsewhere.test", by=administrator)
    assert "is in the address book" in press(zoe, "/contacts/new", owner=assistant.pk, email="ann@a.test")
    assert "Far" not in shown(zoe, "/contacts/new")
    assert "fay@" not in shown(zoe, "/contacts")
    assert zoe.get(f"/contacts/{theirs.pk}").status_code == 404
    assert zoe.post(f"/contacts/{theirs.pk}/remove").status_code == 404


# suppression


def test_an_address_is_suppressed_and_lifted_with_a_confirmation_and_a_record(
    ada: Client, administrator: User, api_key: ApiKey, mailbox: Mailbox
) -> None:
    page = press(ada, "/suppression", address="Ann@Example.test", reason="asked to hear no more")
    assert "Nothing leaves for ann@example.test" in page
    assert "asked to hear no more" in page
    kept = Suppression.objects.get()
    asked = press(ada, f"/suppression/{kept.pk}/lift")
    assert "Let mail to ann@example.test leave again?" in asked
    assert Suppression.objects.exists()
    assert "may leave again" in press(ada, f"/suppression/{kept.pk}/lift", confirmed="1")
    assert not Suppression.objects.exists()
    last = Event.objects.latest("seq")
    assert (last.action, last.actor) == ("suppression.removed", administrator.actor)


def test_a_suppressed_address_is_looked_for(ada: Client, administrator: User) -> None:
    actions.suppress("ann@example.test", "bounced", by=administrator)
    assert "bounced" in shown(ada, "/suppression?q=ann")
    assert "is not suppressed" in shown(ada, "/suppression?q=bob")


def test_the_mail_that_bounced_is_linked(
    ada: Client, reviewer: User, api_key: ApiKey, mailbox: Mailbox, smtp_server: RecordingServer
) -> None:
    message = sent(api_key, mailbox, reviewer)
    record_report(bounce(message), "mailgun")
    page = shown(ada, "/suppression")
    assert "550 no such user" in page
    assert f'href="/messages/{message.pk}"' in page


def test_what_is_no_address_is_not_suppressed(ada: Client) -> None:
    page = press(ada, "/suppression", address="nobody", reason="bounced")
    assert 'id="id_address_error"' in page
    assert 'value="bounced"' in page
    assert not Suppression.objects.exists()


# the allowlist


def test_before_an_entry_is_added_it_is_said_what_it_would_have_let_pass(
    ada: Client, api_key: ApiKey, mailbox: Mailbox
) -> None:
    a_held_message(api_key, mailbox, to=["ann@friends.test"], subject="To a friend")
    a_held_message(api_key, mailbox, to=["ann@friends.test", "eve@evil.test"], subject="To a stranger too")
    form = {"mailbox": mailbox.pk, "pattern": "*@friends.test", "note": "partners"}
    page = press(ada, "/allowlist", **form)
    assert "1 would have left unread" in page
    assert "To a friend" in page
    assert "To a stranger too" not in page
    assert not AllowlistEntry.objects.exists()
    path = f"/mailboxes/{mailbox.pk}/allowlist"
    assert "skips review" in press(ada, path, confirmed="1", back="allowlist", **form)
    assert "partners" in shown(ada, "/allowlist")


def test_an_entry_that_makes_no_sense_is_said_beside_it(ada: Client, mailbox: Mailbox) -> None:
    page = press(ada, "/allowlist", mailbox=mailbox.pk, pattern="friends", note="partners")
    assert 'id="id_pattern_error"' in page
    assert 'value="partners"' in page


def test_the_list_is_narrowed_to_a_mailbox_and_entries_removed(
    ada: Client, administrator: User, mailbox: Mailbox
) -> None:
    other = a_mailbox("other@acme.test")
    actions.allow(mailbox, "*@friends.test", by=administrator)
    entry = actions.allow(other, "*@others.test", by=administrator)
    page = shown(ada, f"/allowlist?mailbox={other.pk}")
    assert "*@others.test" in page
    assert "*@friends.test" not in page
    assert "no such mailbox" in shown(ada, "/allowlist?mailbox=mbx_lost")
    assert "is reviewed again" in press(
        ada, f"/mailboxes/{other.pk}/allowlist/{entry.pk}/remove", back="allowlist"
    )
    assert AllowlistEntry.objects.count() == 1


def test_everybody_sees_the_allowlist_of_their_mailboxes_and_administrators_change_it(
    rita: Client, otto: Client, zoe: Client, administrator: User, mailbox: Mailbox
) -> None:
    entry = actions.allow(mailbox, "*@friends.test", by=administrator)
    actions.allow(a_mailbox(), "*@others.test", by=administrator)
    for client in (rita, otto):
        assert "*@friends.test" in shown(client, "/allowlist")
        assert client.post("/allowlist", {"mailbox": mailbox.pk, "pattern": "a@b.test"}).status_code == 403
        assert client.post(f"/mailboxes/{mailbox.pk}/allowlist/{entry.pk}/remove").status_code == 403
    assert "*@others.test" not in shown(zoe, "/allowlist")


def test_the_rest_is_for_administrators(
    rita: Client, otto: Client, zoe: Client, administrator: User, assistant: Assistant
) -> None:
    kept = actions.suppress("ann@example.test", "bounced", by=administrator)
    ann = actions.keep_contact(assistant.pk, "ann@a.test", by=administrator)
    for client in (rita, otto):
        for path in ("/contacts", "/contacts/new", f"/contacts/{ann.pk}", "/suppression"):
            refused = client.get(path)
            assert refused.status_code == 403
            assert "administrator role" in refused.content.decode()
        assert client.post(f"/suppression/{kept.pk}/lift", {"confirmed": "1"}).status_code == 403
    assert "administer only some" in zoe.get("/suppression").content.decode()


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("path", "queries"), [("/contacts", 11), ("/suppression", 10), ("/allowlist", 13)])
def test_the_lists_cost_the_same_however_long(
    ada: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
    administrator: User,
    assistant: Assistant,
    mailbox: Mailbox,
    rows: int,
    path: str,
    queries: int,
) -> None:
    for n in range(rows):
        actions.keep_contact(assistant.pk, f"ann{n}@a.test", by=administrator)
        actions.suppress(f"ann{n}@a.test", "bounced", by=administrator)
        actions.allow(mailbox, f"ann{n}@a.test", by=administrator)
    with django_assert_num_queries(queries):
        ada.get(path)
