"""Mailboxes, assistants, keys, requests and people."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from approvals.models import User
from assistants.models import Assistant
from mailboxes.models import Account, AllowlistEntry, Mailbox
from tests.approvals.views.conftest import at_browser
from tests.factories import a_key, a_mailbox, a_person, an_assistant


def shown(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def press(client: Client, path: str, **form: object) -> str:
    response = client.post(path, form, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def test_every_page_opens_for_every_role(
    rita: Client, ada: Client, otto: Client, mailbox: Mailbox, assistant: Assistant
) -> None:
    for client in (rita, ada, otto):
        for path in ("/mailboxes", f"/mailboxes/{mailbox.pk}", "/assistants", f"/assistants/{assistant.pk}"):
            shown(client, path)
        shown(client, "/people")


def test_an_outsider_finds_no_mailbox_and_no_assistant(
    eve: Client, mailbox: Mailbox, assistant: Assistant
) -> None:
    assert "No mailbox is within your reach" in shown(eve, "/mailboxes")
    assert "No assistant yet" in shown(eve, "/assistants")
    for path in (f"/mailboxes/{mailbox.pk}", f"/assistants/{assistant.pk}"):
        assert eve.get(path).status_code == 404
    for path in ("mode", "hold", "lift-hold", "allowlist"):
        assert eve.post(f"/mailboxes/{mailbox.pk}/{path}", {"mode": "autonomous"}).status_code == 404


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("path", "queries"), [("/mailboxes", 10), ("/assistants", 11), ("/people", 9)])
def test_lists_cost_the_same_however_long(
    rita: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
    rows: int,
    path: str,
    queries: int,
) -> None:
    for n in range(rows):
        mailbox = a_mailbox()
        a_key(an_assistant(mailboxes=[mailbox]), mailboxes=[mailbox])
        a_person(f"person{n}@acme.test", "reviewer", mailboxes=[mailbox])
    with django_assert_num_queries(queries):
        rita.get(path)


def test_an_administrator_changes_the_mode(ada: Client, rita: Client, mailbox: Mailbox) -> None:
    assert "is now in gated_all" in press(ada, f"/mailboxes/{mailbox.pk}/mode", mode="gated_all")
    mailbox.refresh_from_db()
    assert mailbox.oversight_mode == "gated_all"
    assert rita.post(f"/mailboxes/{mailbox.pk}/mode", {"mode": "autonomous"}).status_code == 403


@pytest.mark.parametrize("mode", ["anything", "", "monitored"])
def test_a_mode_that_cannot_be_is_refused_with_a_sentence(ada: Client, mailbox: Mailbox, mode: str) -> None:
    Account.objects.update(oversight_email="")
    assert "toast error" in press(ada, f"/mailboxes/{mailbox.pk}/mode", mode=mode)
    mailbox.refresh_from_db()
    assert mailbox.oversight_mode == "gated_send"


def test_a_mailbox_is_held_and_let_go(ada: Client, rita: Client, mailbox: Mailbox) -> None:
    path = f"/mailboxes/{mailbox.pk}"
    assert rita.post(f"{path}/hold", {"reason": "no"}).status_code == 403
    assert "incident 7" in press(ada, f"{path}/hold", reason="incident 7")
    mailbox.refresh_from_db()
    assert mailbox.held_at
    assert "The hold is lifted" in press(ada, f"{path}/lift-hold")


def test_everything_is_held_at_once(ada: Client, mailbox: Mailbox) -> None:
    assert "Everything is held everywhere" in press(ada, "/mailboxes/hold", reason="incident 8")
    assert "Everything is held in all mailboxes" in shown(ada, f"/mailboxes/{mailbox.pk}")
    press(ada, "/mailboxes/lift-hold")
    assert Account.objects.get().held_at is None


def test_the_allowlist_is_edited_by_administrators(ada: Client, rita: Client, mailbox: Mailbox) -> None:
    path = f"/mailboxes/{mailbox.pk}/allowlist"
    assert rita.post(path, {"pattern": "*@acme.test"}).status_code == 403
    assert "skip review?" in press(ada, path, pattern="*@acme.test")
    assert not AllowlistEntry.objects.exists()
    assert "skips review" in press(ada, path, pattern="*@acme.test", confirmed="1")
    assert "already" in press(ada, path, pattern="*@acme.test", confirmed="1")
    assert "toast error" in press(ada, path, pattern="not an address")
    entry = AllowlistEntry.objects.get()
    assert rita.post(f"{path}/{entry.pk}/remove").status_code == 403
    assert "is reviewed again" in press(ada, f"{path}/{entry.pk}/remove")
    assert not AllowlistEntry.objects.exists()


def test_people_are_listed_with_roles_and_reach(rita: Client, mailbox: Mailbox) -> None:
    a_person("zoe@acme.test", "auditor", mailboxes=[mailbox])
    page = shown(rita, "/people")
    assert "zoe@acme.test" in page
    assert mailbox.address in page
    assert User.objects.count() == 2


def test_a_mailbox_out_of_reach_is_named_on_no_page(mailbox: Mailbox) -> None:
    far = a_mailbox("far@elsewhere.test")
    shared = an_assistant(mailboxes=[mailbox, far])
    a_key(shared, mailboxes=[mailbox, far])
    a_person("other@acme.test", "reviewer", mailboxes=[far])
    zoe = at_browser(a_person("zoe@acme.test", "reviewer", "administrator", mailboxes=[mailbox]))
    for path in ("/assistants", f"/assistants/{shared.pk}", "/people", "/mailboxes", "/runs/start", "/"):
        page = shown(zoe, path)
        assert "far@" not in page, path
