"""Keys, the allowlist, and runs that people start."""

from __future__ import annotations

import pytest

from approvals import actions
from approvals.errors import Conflict, Invalid, NotPermitted
from approvals.models import MailboxAssistant, OutboxEntry, User
from assistants import keys
from assistants.actions import plan_run
from assistants.models import ApiKey, Assistant, Run
from audit.models import Event
from mailboxes.models import AllowlistEntry, Email, Mailbox
from tests import factories
from tests.approvals import living

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_a_new_key_is_told_once_and_kept_as_a_hash(
    assistant: Assistant, mailbox: Mailbox, administrator: User
) -> None:
    key, secret = actions.create_key(
        assistant, name="laptop", scopes=["read"], mailboxes=[mailbox], by=administrator
    )
    assert keys.find_key(secret) == key
    assert secret not in str(ApiKey.objects.filter(pk=key.pk).values().get())
    event = Event.objects.get(action=Event.Action.KEY_CREATED)
    assert secret not in str(event.payload.body)


def test_an_integrations_key_may_reach_every_mailbox(administrator: User) -> None:
    program = factories.an_integration()
    key, _ = actions.create_key(program, name="all", scopes=["admin"], all_mailboxes=True, by=administrator)
    assert Mailbox.objects.visible_to(key).count() == Mailbox.objects.count()
    assert key.has_scope("send")
    assert not key.has_scope("oversight")


@pytest.mark.parametrize("scopes", [[], ["frob"], ["admin"], ["oversight_read"], ["read", "oversight"]])
def test_an_assistants_key_goes_no_further_than_the_assistant(
    assistant: Assistant, mailbox: Mailbox, administrator: User, scopes: list[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        actions.create_key(assistant, name="x", scopes=scopes, mailboxes=[mailbox], by=administrator)
    assert caught.value.fields[0]["field"] == "scopes"


def test_a_revoked_key_opens_nothing(assistant: Assistant, mailbox: Mailbox, administrator: User) -> None:
    key, secret = actions.create_key(
        assistant, name="laptop", scopes=["read"], mailboxes=[mailbox], by=administrator
    )
    actions.revoke_key(key, by=administrator)
    actions.revoke_key(key, by=administrator)
    assert keys.find_key(secret) is None
    assert Event.objects.filter(action=Event.Action.KEY_REVOKED).count() == 1


def test_only_administrators_make_and_revoke_keys_and_only_within_their_mailboxes(
    assistant: Assistant, api_key: ApiKey, mailbox: Mailbox, reviewer: User
) -> None:
    far = factories.a_mailbox()
    elsewhere = factories.a_person("some@acme.test", "administrator", mailboxes=[far])
    for actor in (reviewer, elsewhere):
        with pytest.raises(NotPermitted):
            actions.create_key(assistant, name="x", scopes=["read"], mailboxes=[mailbox], by=actor)
        with pytest.raises(NotPermitted):
            actions.revoke_key(api_key, by=actor)
    near = factories.a_person("near@acme.test", "administrator", mailboxes=[mailbox])
    actions.create_key(assistant, name="x", scopes=["read"], mailboxes=[mailbox], by=near)
    actions.revoke_key(api_key, by=near)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Ann@Example.TEST", "Ann@example.test"),
        (" *@Friends.test ", "*@friends.test"),
        ("*@bücher.example", "*@xn--bcher-kva.example"),
    ],
)
def test_the_allowlist_keeps_addresses_and_domains(
    mailbox: Mailbox, administrator: User, written: str, kept: str
) -> None:
    listed = actions.allow(mailbox, written, by=administrator, note="partner")
    assert listed.pattern == kept
    with pytest.raises(Conflict):
        actions.allow(mailbox, written, by=administrator)
    actions.disallow(listed, by=administrator)
    actions.disallow(listed, by=administrator)
    assert not AllowlistEntry.objects.exists()
    assert Event.objects.filter(action=Event.Action.MAILBOX_CHANGED).count() == 2


@pytest.mark.parametrize("pattern", ["", "*", "*@", "@acme.test", "a@b, c@d", "*@*.test", "a b@c.test"])
def test_a_pattern_that_is_neither_is_refused(mailbox: Mailbox, administrator: User, pattern: str) -> None:
    with pytest.raises(Invalid):
        actions.allow(mailbox, pattern, by=administrator)


class TestStartingARun:
    @pytest.fixture
    def scripted(self, mailbox: Mailbox) -> Assistant:
        return factories.an_assistant("Scripted", mailboxes=[mailbox], connection=factories.a_connection())

    def test_it_is_planned_and_promised(self, scripted: Assistant, mailbox: Mailbox, reviewer: User) -> None:
        run = actions.start_run(scripted, "Do it.", mailbox, by=reviewer)
        assert run.status == Run.Status.STARTING
        assert OutboxEntry.objects.filter(kind="start_run", ref=run.pk).exists()

    def test_a_run_needs_a_prompt_and_a_connection(
        self, scripted: Assistant, assistant: Assistant, mailbox: Mailbox, reviewer: User
    ) -> None:
        with pytest.raises(Invalid):
            actions.start_run(scripted, " ", mailbox, by=reviewer)
        with pytest.raises(Invalid):
            actions.start_run(assistant, "Do it.", mailbox, by=reviewer)

    def test_only_in_mailboxes_of_both(
        self, scripted: Assistant, mailbox: Mailbox, auditor: User, outsider: User, reviewer: User
    ) -> None:
        for actor in (auditor, outsider):
            with pytest.raises(NotPermitted):
                actions.start_run(scripted, "Do it.", mailbox, by=actor)
        with pytest.raises(NotPermitted):
            actions.start_run(scripted, "Do it.", factories.a_mailbox(), by=reviewer)
        member = factories.a_person("m@acme.test", "reviewer", mailboxes=[mailbox])
        assert actions.start_run(scripted, "Do it.", mailbox, by=member)
        elsewhere = factories.a_mailbox()
        MailboxAssistant.objects.create(assistant=scripted, mailbox=elsewhere)
        with pytest.raises(NotPermitted):
            actions.start_run(scripted, "Do it.", elsewhere, by=member)


def test_an_assistant_that_no_longer_oversees_takes_its_keys_sight_of_held_mail_away(
    mailbox: Mailbox,
) -> None:
    overseer = factories.an_assistant("O", mailboxes=[mailbox], scopes=["read", "oversight_read"])
    key = factories.a_key(overseer, scopes=["read", "oversight_read"], mailboxes=[mailbox])
    Mailbox.objects.update(oversight_mode="gated_all")
    living.an_inbound(mailbox)
    assert Email.objects.visible_to(key).exists()
    overseer.scopes = ["read"]
    assert not Email.objects.visible_to(key).exists()


def test_a_run_about_a_mailbox_out_of_reach_is_not_seen_though_its_assistant_is(mailbox: Mailbox) -> None:
    """Its prompt and outputs hold that mailbox's mail."""
    elsewhere = factories.a_mailbox()
    agent = factories.an_assistant("Both", mailboxes=[mailbox, elsewhere])
    key = factories.a_key(agent, mailboxes=[mailbox])
    member = factories.a_person("m@acme.test", "reviewer", mailboxes=[mailbox])
    here, _, about_none = (
        plan_run(agent, cause=Run.Cause.PERSON, prompt="Look.", mailbox_id=one)
        for one in (mailbox.pk, elsewhere.pk, "")
    )
    for actor in (key, member):
        assert {run.pk for run in Run.objects.visible_to(actor)} == {here.pk, about_none.pk}
