"""Mail that no person wrote starts nothing, and two programs that answer each other stop by themselves."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from approvals import gate, policy, tasks
from approvals.models import OutboundMessage
from approvals.states import Status
from assistants.models import ApiKey, Run
from audit.models import Event
from mailboxes import identity
from mailboxes.addressing import reply_address
from mailboxes.envelope import Draft
from mailboxes.models import Email, Mailbox, RawMessage
from tests import factories
from tests.approvals.api.caller import arrived

pytestmark = pytest.mark.django_db


@pytest.fixture
def answering(mailbox: Mailbox) -> Mailbox:
    """Its mail starts runs, and what they send leaves without a person."""
    Mailbox.objects.filter(pk=mailbox.pk).update(on_inbound="run", oversight_mode="autonomous")
    agent = factories.an_assistant(mailboxes=[mailbox], connection=factories.a_connection())
    agent.mailbox_links.update(answers_inbound=True)
    mailbox.refresh_from_db()
    return mailbox


def answered(email: Email, key: ApiKey) -> OutboundMessage:
    return gate.reply(email, Draft(to=(), markdown=f"An answer to {email.pk}."), by=key).message


AUTOMATIC = [
    ("auto_reply", "Auto-Submitted: auto-replied\r\n"),
    ("auto_reply", "List-Id: <news.example.com>\r\n"),
    ("bounce", "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n"),
]


@pytest.mark.parametrize(("kind", "headers"), AUTOMATIC)
def test_a_program_gets_no_run_and_no_answer_without_a_person(
    answering: Mailbox, api_key: ApiKey, kind: str, headers: str
) -> None:
    email = arrived(answering, headers=headers)
    assert email.kind == kind
    assert not Run.objects.exists()
    message = answered(email, api_key)
    assert message.status == Status.PENDING
    assert email.quiet_reason in message.reasons[0]
    event = Event.objects.select_related("payload").get(action=Event.Action.EMAIL_RECEIVED)
    told = event.payload.body or {}
    assert (told["kind"], told["starts_no_run"]) == (kind, email.quiet_reason)


def test_a_person_gets_both(answering: Mailbox, api_key: ApiKey) -> None:
    email = arrived(answering)
    assert (email.kind, email.quiet_reason) == ("normal", "")
    assert Run.objects.get().email_id == email.pk
    assert answered(email, api_key).status == Status.APPROVED


def test_mail_of_ours_that_comes_back_is_known_by_its_message_id(answering: Mailbox, api_key: ApiKey) -> None:
    sent = answered(arrived(answering), api_key).email
    back = arrived(answering, headers=f"Message-ID: {sent.message_id}\r\n")
    assert back.kind == "own"
    assert Run.objects.count() == 1


def test_mail_of_ours_is_known_by_its_identity_header_and_a_made_up_one_is_not(answering: Mailbox) -> None:
    signed = identity.sign({"sender": "another@acme.test"})
    assert arrived(answering, headers=f"{identity.HEADER}: {signed}\r\n").kind == "own"
    assert arrived(answering, headers=f"{identity.HEADER}: {signed[:-4]}AAAA\r\n").kind == "normal"


def test_a_conversation_that_goes_round_starts_no_more_runs(answering: Mailbox) -> None:
    emails = [arrived(answering, "Re: Hello") for _ in range(policy.RUNS_PER_HOUR + 2)]
    assert len({email.conversation_id for email in emails}) == 1
    assert Run.objects.count() == policy.RUNS_PER_HOUR
    assert emails[policy.RUNS_PER_HOUR - 1].quiet_reason == ""
    assert "within the hour" in emails[-1].quiet_reason
    assert arrived(answering, "Another matter").quiet_reason == ""


def test_a_conversation_that_goes_round_waits_for_a_person(answering: Mailbox, api_key: ApiKey) -> None:
    for _ in range(policy.RELEASES_PER_HOUR):
        assert answered(arrived(answering, "Re: Hello"), api_key).status == Status.APPROVED
    message = answered(arrived(answering, "Re: Hello"), api_key)
    assert message.status == Status.PENDING
    assert "without a person within the hour" in message.reasons[0]
    assert answered(arrived(answering, "Another matter"), api_key).status == Status.APPROVED


def test_mail_that_cannot_be_read_starts_no_run_and_says_so(answering: Mailbox) -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 20_000
    raw = gate.receive(answering, "a@b.example", answering.address, data)
    tasks.receive()
    email = RawMessage.objects.get(pk=raw.pk).email
    assert email.parse_error
    assert email.quiet_reason == "It could not be read."
    assert not Run.objects.exists()


def test_mail_to_a_reply_address_of_ours_joins_its_conversation(mailbox: Mailbox) -> None:
    first = arrived(mailbox, "First")
    other = factories.a_mailbox("sales@acme.test")
    address = reply_address(first.conversation)
    local, domain = address.split("@")
    assert arrived(mailbox, "Something else", headers=f"Cc: {address}\r\n").conversation == first.conversation
    forged = f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"
    assert arrived(mailbox, "Forged", headers=f"Cc: {forged}\r\n").conversation != first.conversation
    assert arrived(other, "Elsewhere", headers=f"Cc: {address}\r\n").conversation != first.conversation
    assert len(local) <= 64


def test_the_results_of_a_trusted_relay_are_facts_of_the_email(mailbox: Mailbox, settings: Settings) -> None:
    settings.TRUSTED_AUTHSERV_IDS = ["mx.acme.test"]
    found = "Authentication-Results: mx.acme.test; spf=pass smtp.mailfrom=example.com\r\n"
    assert list(arrived(mailbox, headers=found).auth_results) == [
        {"method": "spf", "result": "pass", "domain": "example.com", "by": "mx.acme.test"}
    ]
