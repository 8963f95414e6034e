"""Which model serves an assistant, and which assistant answers new mail."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import actions
from approvals.errors import Invalid, NotPermitted
from approvals.models import MailboxAssistant, User
from assistants.models import Assistant, Connection, Run
from audit.models import Event
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals import living

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def events(action: str) -> list[dict[str, Any]]:
    return [event.payload.body or {} for event in Event.objects.filter(action=action).order_by("seq")]


def answering(mailbox: Mailbox) -> Assistant | None:
    link = MailboxAssistant.objects.filter(mailbox=mailbox, answers_inbound=True).first()
    return link.assistant if link else None


@pytest.fixture
def first(db: None) -> Connection:
    return factories.a_connection(name="First")


@pytest.fixture
def agent(mailbox: Mailbox, first: Connection) -> Assistant:
    return factories.an_assistant("Agent", mailboxes=[mailbox], connection=first, remote_id="asst_1")


class TestTheConnectionOfAnAssistant:
    def test_it_is_made_anew_at_another_far_side(self, agent: Assistant, administrator: User) -> None:
        actions.choose_connection(agent, factories.a_connection(name="Second"), by=administrator)
        agent.refresh_from_db()
        assert agent.connection == Connection.objects.get(name="Second")
        assert agent.remote_id == ""
        assert events("assistant.changed") == [{"name": "Agent", "connection": "Second"}]

    def test_the_same_once_more_changes_nothing(
        self, agent: Assistant, first: Connection, administrator: User
    ) -> None:
        actions.choose_connection(agent, first, by=administrator)
        agent.refresh_from_db()
        assert agent.remote_id == "asst_1"
        assert events("assistant.changed") == []

    def test_it_may_have_none(self, agent: Assistant, administrator: User) -> None:
        actions.choose_connection(agent, None, by=administrator)
        agent.refresh_from_db()
        assert agent.connection is None
        assert events("assistant.changed") == [{"name": "Agent", "connection": None}]

    def test_but_not_while_new_mail_starts_its_runs(
        self, agent: Assistant, mailbox: Mailbox, administrator: User
    ) -> None:
        actions.set_inbound(mailbox, "run", agent, by=administrator)
        with pytest.raises(Invalid, match=f"New mail to {mailbox.address} starts runs of Agent"):
            actions.choose_connection(agent, None, by=administrator)

    def test_only_administrators_of_everything_choose(
        self, agent: Assistant, mailbox: Mailbox, reviewer: User
    ) -> None:
        some = factories.a_person("some@acme.test", "administrator", mailboxes=[mailbox])
        for actor in (reviewer, some):
            with pytest.raises(NotPermitted):
                actions.choose_connection(agent, None, by=actor)


class TestNewMail:
    def test_it_starts_runs_of_the_assistant_that_was_chosen(
        self, agent: Assistant, mailbox: Mailbox, administrator: User
    ) -> None:
        actions.set_inbound(mailbox, "run", agent, by=administrator)
        assert events("mailbox.changed") == [{"on_inbound": "run", "answered_by": "Agent"}]
        living.an_inbound(mailbox)
        assert Run.objects.get().assistant == agent
        actions.set_inbound(mailbox, "notify", agent, by=administrator)
        living.an_inbound(mailbox)
        assert Run.objects.count() == 1

    def test_one_assistant_answers(self, agent: Assistant, mailbox: Mailbox, administrator: User) -> None:
        other = factories.an_assistant("Other", mailboxes=[mailbox], connection=agent.connection)
        for chosen in (agent, other, other):
            actions.set_inbound(mailbox, "run", chosen, by=administrator)
            assert answering(mailbox) == chosen
        actions.set_inbound(mailbox, "notify", None, by=administrator)
        assert answering(mailbox) is None
        assert events("mailbox.changed") == [
            {"on_inbound": "run", "answered_by": "Agent"},
            {"answered_by": "Other"},
            {"on_inbound": "notify", "answered_by": ""},
        ]

    def test_an_assistant_may_be_named_before_its_runs_can_start(
        self, assistant: Assistant, mailbox: Mailbox, administrator: User
    ) -> None:
        actions.set_inbound(mailbox, "notify", assistant, by=administrator)
        assert answering(mailbox) == assistant

    @pytest.mark.parametrize(
        ("on_inbound", "who", "sentence"),
        [
            ("run", "nobody", "New mail can only start a run of an assistant"),
            ("run", "unconnected", "has no connection"),
            ("notify", "stranger", "does not work in"),
            ("start", "nobody", "“start” is not one of run, notify"),
        ],
    )
    def test_what_cannot_work_is_refused(
        self, on_inbound: str, who: str, sentence: str, mailbox: Mailbox, administrator: User
    ) -> None:
        chosen = {
            "nobody": None,
            "unconnected": factories.an_assistant(mailboxes=[mailbox]),
            "stranger": factories.an_assistant(mailboxes=[factories.a_mailbox()]),
        }[who]
        with pytest.raises(Invalid, match=sentence):
            actions.set_inbound(mailbox, on_inbound, chosen, by=administrator)
        assert events("mailbox.changed") == []

    def test_an_administrator_of_the_mailbox_decides_and_nobody_else(
        self, agent: Assistant, mailbox: Mailbox, reviewer: User
    ) -> None:
        here = factories.a_person("here@acme.test", "administrator", mailboxes=[mailbox])
        there = factories.a_person("there@acme.test", "administrator", mailboxes=[factories.a_mailbox()])
        for actor in (reviewer, there):
            with pytest.raises(NotPermitted):
                actions.set_inbound(mailbox, "run", agent, by=actor)
        actions.set_inbound(mailbox, "run", agent, by=here)
        assert answering(mailbox) == agent
