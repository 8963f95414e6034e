"""The account, people and mailboxes, set up in the dashboard."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from approvals import sign_in, tasks
from approvals.models import User
from audit.models import Event
from mailboxes.models import Account, Mailbox
from tests.approvals.views.conftest import at_browser
from tests.approvals.views.test_set_up import press, shown
from tests.factories import a_mailbox, a_person
from tests.servers import RecordingServer

PAGES = ("/account", "/people/new", "/mailboxes/new")


@pytest.fixture
def zoe(mailbox: Mailbox) -> Client:
    """Administers one mailbox."""
    return at_browser(a_person("zoe@acme.test", "administrator", mailboxes=[mailbox]))


def test_what_concerns_everything_takes_an_administrator_of_everything(
    rita: Client, otto: Client, zoe: Client, reviewer: User
) -> None:
    for client in (rita, otto, zoe):
        for path in (*PAGES, f"/people/{reviewer.pk}"):
            refused = client.get(path)
            assert refused.status_code == 403
            assert "administ" in refused.content.decode()
        assert client.post(f"/people/{reviewer.pk}/turn/off").status_code == 403
        assert client.post(f"/people/{reviewer.pk}/link").status_code == 403


# the account


def test_the_account_is_changed(ada: Client) -> None:
    press(ada, "/account", name="Acme", oversight_email="Watch@Acme.test", physical_address="1 Road")
    account = Account.objects.get()
    assert (account.name, account.oversight_email, account.physical_address) == (
        "Acme",
        "Watch@acme.test",
        "1 Road",
    )
    page = press(ada, "/account", name="Acme", oversight_email="nobody", physical_address="2 Road")
    assert 'id="id_oversight_email_error"' in page
    assert "2 Road" in page
    assert Account.objects.get().physical_address == "1 Road"


def test_a_monitored_mailbox_without_anybody_to_copy_is_said(ada: Client) -> None:
    Account.objects.update(oversight_email="")
    a_mailbox("news@acme.test", mode="monitored")
    assert "news@acme.test cannot be copied to anybody" in shown(ada, "/account")


# people


def test_somebody_is_asked_in_by_a_link_that_is_mailed_to_them_alone(
    ada: Client, mailbox: Mailbox, smtp_server: RecordingServer
) -> None:
    form = {"email": "Nia@Acme.test", "roles": ["reviewer"], "mailboxes": [mailbox.pk]}
    page = press(ada, "/people/new", **form)
    assert "gets a link to sign in by mail" in page
    nia = User.objects.get(email="nia@acme.test")
    assert (nia.roles, nia.all_mailboxes, nia.has_usable_password()) == (["reviewer"], False, False)
    assert nia.memberships.get().mailbox == mailbox
    tasks.deliver()
    [(_, to, data)] = smtp_server.messages
    assert to == ["nia@acme.test"]
    link = re.search(rb"/sign-in/link/([\w-]+)", data.replace(b"=\r\n", b""))
    assert link
    assert sign_in.spend_link(link[1].decode()) == nia
    assert link[1].decode() not in page


def test_a_person_is_given_other_roles_and_mailboxes(ada: Client, reviewer: User, mailbox: Mailbox) -> None:
    assert 'value="reviewer" id="id_roles_0" checked' in shown(ada, f"/people/{reviewer.pk}")
    press(ada, f"/people/{reviewer.pk}", roles=["auditor"], mailboxes=[mailbox.pk])
    reviewer.refresh_from_db()
    assert (reviewer.roles, reviewer.all_mailboxes) == (["auditor"], False)
    press(ada, f"/people/{reviewer.pk}", roles=["auditor", "reviewer"], all_mailboxes="on")
    reviewer.refresh_from_db()
    assert reviewer.all_mailboxes
    assert not reviewer.memberships.exists()
    assert Event.objects.latest("seq").action == "person.changed"


def test_who_is_kept_out_is_signed_out_and_gets_no_link(ada: Client, rita: Client, reviewer: User) -> None:
    shown(rita, "/")
    assert "may not sign in" in press(ada, f"/people/{reviewer.pk}/turn/off")
    assert rita.get("/").status_code == 302
    assert "Let them in again first" in press(ada, f"/people/{reviewer.pk}/link")
    assert "may sign in again" in press(ada, f"/people/{reviewer.pk}/turn/on")
    assert "is on its way to rita@acme.test" in press(ada, f"/people/{reviewer.pk}/link")


def test_somebody_always_administers_everything(ada: Client, administrator: User) -> None:
    a_person("some@acme.test", "administrator", mailboxes=[a_mailbox()])
    path = f"/people/{administrator.pk}"
    assert "Nobody else administers all mailboxes" in press(ada, f"{path}/turn/off")
    assert "Nobody else administers" in press(ada, path, roles=["reviewer"], all_mailboxes="on")
    assert "Nobody else" in press(ada, path, roles=["administrator"], mailboxes=[a_mailbox().pk])
    a_person("other@acme.test", "administrator")
    press(ada, path, roles=["reviewer"], all_mailboxes="on")
    administrator.refresh_from_db()
    assert administrator.roles == ["reviewer"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"email": "nobody"}, "valid email"),
        ({"email": "rita@acme.test"}, "is here already"),
        ({"roles": []}, "required"),
        ({"all_mailboxes": ""}, "Choose all mailboxes, or at least one"),
    ],
)
def test_what_is_wrong_with_an_invitation_is_said(
    ada: Client, reviewer: User, wrong: dict[str, object], sentence: str
) -> None:
    form: dict[str, object] = {"email": "nia@acme.test", "roles": ["auditor"], "all_mailboxes": "on"}
    assert sentence in press(ada, "/people/new", **(form | wrong))
    assert User.objects.count() == 2


# mailboxes


def test_a_mailbox_is_made_set_up_and_closed(ada: Client) -> None:
    form = {"address": "Returns@Acme.test", "display_name": "Acme Returns", "oversight_mode": "gated_all"}
    assert "returns@acme.test is there" in press(ada, "/mailboxes/new", **form)
    made = Mailbox.objects.get()
    assert (made.display_name, made.oversight_mode) == ("Acme Returns", "gated_all")
    assert "is taken" in press(ada, "/mailboxes/new", **form)
    path = f"/mailboxes/{made.pk}/settings"
    assert 'value="Acme Returns"' in shown(ada, path)
    wanted = {"display_name": "Returns", "signature_block": "Yours", "auto_bcc": "all@acme.test"}
    wanted |= {"approvals_needed": "2", "deadline_hours": "24", "default_gate_timing": "schedule_first"}
    assert "what is written from now on" in press(ada, path, **wanted)
    made.refresh_from_db()
    assert (made.signature_block, made.auto_bcc, made.approvals_needed, made.deadline_hours) == (
        "Yours",
        "all@acme.test",
        2,
        24,
    )
    assert (made.ai_disclosure, made.scheduling_enabled) == (False, False)
    assert "for good?" in press(ada, f"/mailboxes/{made.pk}/close")
    made.refresh_from_db()
    assert made.is_active
    assert "is closed" in press(ada, f"/mailboxes/{made.pk}/close", confirmed="1")
    made.refresh_from_db()
    assert not made.is_active


def test_a_setting_that_makes_no_sense_is_said_beside_it(ada: Client, mailbox: Mailbox) -> None:
    wanted = {"display_name": "Acme", "auto_cc": "nobody", "approvals_needed": "0", "deadline_hours": "24"}
    wanted["default_gate_timing"] = "gate_first"
    page = press(ada, f"/mailboxes/{mailbox.pk}/settings", **wanted)
    assert 'id="id_approvals_needed_error"' in page
    wanted["approvals_needed"] = "1"
    page = press(ada, f"/mailboxes/{mailbox.pk}/settings", **wanted)
    assert 'id="id_auto_cc_error"' in page
    assert 'value="nobody"' in page


def test_who_administers_a_mailbox_sets_it_up(zoe: Client, rita: Client, mailbox: Mailbox) -> None:
    assert "Signature" in shown(zoe, f"/mailboxes/{mailbox.pk}/settings")
    assert zoe.get(f"/mailboxes/{a_mailbox().pk}/settings").status_code == 404
    assert rita.get(f"/mailboxes/{mailbox.pk}/settings").status_code == 403
    assert rita.post(f"/mailboxes/{mailbox.pk}/close", {"confirmed": "1"}).status_code == 403


def test_loosening_a_mode_asks_first_and_tightening_does_not(
    ada: Client, mailbox: Mailbox, settings: Settings
) -> None:
    path = f"/mailboxes/{mailbox.pk}/mode"
    page = press(ada, path, mode="autonomous")
    assert "Loosen support@acme.test to autonomous?" in page
    assert "Sends at once, no copy" in page
    mailbox.refresh_from_db()
    assert mailbox.oversight_mode == "gated_send"
    assert "is now in autonomous" in press(ada, path, mode="autonomous", confirmed="1")
    assert "is now in read_only" in press(ada, path, mode="read_only")
