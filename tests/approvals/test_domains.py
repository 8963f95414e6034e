"""Domains: what the DNS says is what is shown, and a key signs as long as its record is there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dkim
import pytest
from django.utils import timezone
from pytest_django import Settings

from approvals import actions, effects, tasks
from approvals.actions.domains import records_of, status_of, verified
from approvals.actions.transitions import current
from approvals.errors import Conflict, Invalid, NotPermitted
from approvals.models import OutboxEntry, User
from approvals.states import Status
from assistants.models import ApiKey
from audit import secrets
from audit.models import Event
from mailboxes import lookups
from mailboxes.models import DkimKey, Domain, Mailbox
from tests.approvals import living
from tests.mailboxes.name_server import SERVFAIL, SILENT, NameServer
from tests.servers import RecordingServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with NameServer.running() as server:
        monkeypatch.setattr(lookups, "resolver", server.resolver)
        monkeypatch.setattr(lookups, "SECONDS", 1.0)
        yield server


@pytest.fixture
def domain(administrator: User) -> Domain:
    return actions.add_domain("acme.test", by=administrator)


def publish(dns: NameServer, domain: Domain, **instead: str) -> None:
    """Every record as it is told to be entered, or with another value by its purpose."""
    for record in records_of(domain)[0]:
        dns.publish(record["name"], record["type"], instead.get(record["purpose"], record["value"]))


def looked(domain: Domain, by: User) -> dict[str, Any]:
    """{purpose: record} after the DNS was asked."""
    [found] = records_of(effects.verify_domain(domain, by=by))
    return {record["purpose"]: record for record in found}


def signing(domain: Domain) -> list[str]:
    keys = domain.keys.filter(retired_at=None).exclude(published_at=None)
    return [key.selector for key in keys]


def test_a_domain_whose_records_are_entered_as_told_is_verified(
    dns: NameServer, domain: Domain, administrator: User, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://mail.acme.test"
    publish(dns, domain)
    records = looked(domain, administrator)
    assert {record["status"] for record in records.values()} == {"verified"}
    assert status_of(list(records.values())) == "verified"
    assert signing(domain) == [DkimKey.objects.get().selector]
    assert records["mx"]["value"] == "10 mail.acme.test."


def test_before_anybody_looked_nothing_is_claimed(domain: Domain) -> None:
    [records] = records_of(domain)
    assert {record["status"] for record in records} == {"unchecked"}
    assert status_of(records) == "pending"
    assert signing(domain) == []


def test_a_domain_without_records_waits_for_them(
    dns: NameServer, domain: Domain, administrator: User
) -> None:
    records = looked(domain, administrator)
    assert {record["status"] for record in records.values()} == {"missing"}
    assert status_of(list(records.values())) == "pending"


@pytest.mark.parametrize(
    ("purpose", "value", "sentence"),
    [
        ("dkim", "v=DKIM1; k=rsa; p=AAAA", "It holds another key."),
        ("dkim", "v=DKIM1; k=rsa; p=", "It says that the key was revoked."),
        ("dkim", "hello", "This is no DKIM key."),
        ("spf", "v=spf1 +all", "It lets everybody send in this name"),
        ("mx", "0 .", "It says that this domain takes no mail."),
    ],
)
def test_a_wrong_record_says_what_is_wrong(
    dns: NameServer, domain: Domain, administrator: User, purpose: str, value: str, sentence: str
) -> None:
    publish(dns, domain, **{purpose: value, "return_path" if purpose == "mx" else purpose: value})
    record = looked(domain, administrator)[purpose]
    assert record["status"] == "wrong"
    assert record["note"].startswith(sentence)
    assert record["found"] == [value]


def test_two_spf_records_are_one_too_many(dns: NameServer, domain: Domain, administrator: User) -> None:
    dns.publish("acme.test", "TXT", "v=spf1 mx ~all", "other=text", "v=spf1 a ~all")
    record = looked(domain, administrator)["spf"]
    assert (record["status"], record["note"][:23]) == ("wrong", "There are 2 SPF records")


def test_spf_names_the_provider_that_the_mail_leaves_by(
    dns: NameServer, domain: Domain, administrator: User, mailbox: Mailbox
) -> None:
    actions.set_delivery(mailbox, "mailgun://:k@api.eu.mailgun.net/acme.test", by=administrator)
    dns.publish("acme.test", "TXT", "v=spf1 mx ~all")
    record = looked(domain, administrator)["spf"]
    assert (record["status"], record["value"]) == ("wrong", "v=spf1 include:mailgun.org ~all")
    dns.publish("acme.test", "TXT", "v=spf1 mx include:mailgun.org ~all")
    assert looked(domain, administrator)["spf"]["status"] == "verified"


def test_an_mx_elsewhere_takes_bounces_and_no_mail_for_us(
    dns: NameServer, domain: Domain, administrator: User, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://mail.acme.test"
    dns.publish("acme.test", "MX", "10 mx.google.test.", "20 alt.google.test.")
    records = looked(domain, administrator)
    assert (records["mx"]["status"], records["return_path"]["status"]) == ("wrong", "verified")
    assert "mx.google.test" in records["mx"]["note"]


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [(SERVFAIL, "The domain's name servers failed"), (SILENT, "No answer within 1 seconds.")],
)
def test_a_name_server_that_fails_is_no_missing_record(
    dns: NameServer, domain: Domain, administrator: User, failure: str, sentence: str
) -> None:
    publish(dns, domain)
    looked(domain, administrator)
    for question in dns.zone:
        dns.zone[question] = failure
    records = looked(domain, administrator)
    assert {record["status"] for record in records.values()} == {"unreachable"}
    assert records["dkim"]["note"].startswith(sentence)
    # nobody knows that the record is gone
    assert signing(domain)


def test_a_new_key_takes_over_once_its_record_is_seen(
    dns: NameServer, domain: Domain, administrator: User
) -> None:
    publish(dns, domain)
    looked(domain, administrator)
    old = signing(domain)
    new = actions.rotate_key(domain, by=administrator)
    looked(domain, administrator)
    assert signing(domain) == old
    with pytest.raises(Conflict, match="still waits"):
        actions.rotate_key(domain, by=administrator)
    publish(dns, domain)
    looked(domain, administrator)
    assert signing(domain) == [new.selector]
    assert DkimKey.objects.get(selector=old[0]).retired_at
    event = Event.objects.filter(action="domain.changed").latest("seq")
    assert (event.payload.body or {})["signs_with"] == new.selector


def test_a_key_whose_record_is_gone_signs_no_more(
    dns: NameServer, domain: Domain, administrator: User
) -> None:
    publish(dns, domain)
    looked(domain, administrator)
    dns.zone.clear()
    Domain.objects.update(checked_at=timezone.now() - timedelta(days=2))
    tasks.check_domains()
    assert signing(domain) == []
    asked = len(dns.asked)
    tasks.check_domains()
    assert len(dns.asked) == asked


def test_mail_is_signed_and_verifies_with_the_record(
    dns: NameServer,
    domain: Domain,
    administrator: User,
    reviewer: User,
    api_key: ApiKey,
    mailbox: Mailbox,
    smtp_server: RecordingServer,
) -> None:
    publish(dns, domain)
    looked(domain, administrator)
    message = living.a_held_message(api_key, mailbox, subject="Grüße", markdown="Höre\n\n.\n\nFrom me")
    living.approved(message, reviewer)
    tasks.deliver()
    [(_, _, data)] = smtp_server.messages
    assert data.startswith(b"DKIM-Signature: ")
    assert is_genuine(data, dns)
    assert not is_genuine(data + b"more\r\n", dns)
    # a second From, which some readers would show in place of the first
    assert not is_genuine(data.replace(b"\r\nFrom:", b"\r\nFrom: boss@acme.test\r\nFrom:", 1), dns)
    revision = message.email.revisions.get()
    assert data == bytes(revision.block or b"") + bytes(revision.frozen)


def is_genuine(data: bytes, dns: NameServer) -> bool:
    """As a receiver finds out, who asks the same name server."""

    def text(name: bytes, timeout: int = 5) -> bytes | None:
        found = dns.resolver().resolve(name.decode(), "TXT")
        return b"".join(found[0].strings)

    return bool(dkim.verify(data, dnsfunc=text))


def test_a_retry_sends_the_same_signature(
    dns: NameServer,
    domain: Domain,
    administrator: User,
    reviewer: User,
    api_key: ApiKey,
    mailbox: Mailbox,
    smtp_server: RecordingServer,
) -> None:
    publish(dns, domain)
    looked(domain, administrator)
    smtp_server.data_reply = "451 later"
    message = living.a_held_message(api_key, mailbox)
    living.approved(message, reviewer)
    tasks.deliver()
    first = bytes(message.email.revisions.get().block or b"")
    assert first.startswith(b"DKIM-Signature: ")
    smtp_server.data_reply = ""
    message.email.outbound.refresh_from_db()
    OutboxEntry.objects.update(due_at=timezone.now())
    tasks.deliver()
    assert current(message).status == Status.SENT
    assert smtp_server.messages[0][2].startswith(first)


@pytest.mark.parametrize("why", ["unpublished", "removed", "another domain", "unreadable"])
def test_without_a_key_that_signs_mail_leaves_unsigned(
    dns: NameServer,
    domain: Domain,
    administrator: User,
    reviewer: User,
    api_key: ApiKey,
    mailbox: Mailbox,
    smtp_server: RecordingServer,
    why: str,
) -> None:
    if why != "unpublished":
        publish(dns, domain)
        looked(domain, administrator)
    if why == "removed":
        actions.remove_domain(domain, by=administrator)
    elif why == "another domain":
        Domain.objects.update(name="other.test")
    elif why == "unreadable":
        DkimKey.objects.update(private_pem_encrypted="by another SECRET_KEY")
    message = living.a_held_message(api_key, mailbox)
    living.approved(message, reviewer)
    tasks.deliver()
    assert smtp_server.messages[0][2].startswith(b"Date: ")


def test_the_private_key_is_stored_encrypted(domain: Domain) -> None:
    key = DkimKey.objects.get()
    assert "PRIVATE" not in key.private_pem_encrypted
    assert "PRIVATE" in secrets.decrypt(key.private_pem_encrypted)


@pytest.mark.parametrize("name", ["", "localhost", "a b.test", "x@acme.test", "-.test", "a" * 64 + ".test"])
def test_what_is_no_domain_is_refused(administrator: User, name: str) -> None:
    with pytest.raises(Invalid):
        actions.add_domain(name, by=administrator)


def test_a_domain_is_there_once_however_it_is_written(domain: Domain, administrator: User) -> None:
    for written in ("ACME.test", "acme.test."):
        with pytest.raises(Conflict):
            actions.add_domain(written, by=administrator)
    assert actions.add_domain("bücher.test", by=administrator).name == "xn--bcher-kva.test"


def test_domains_take_an_administrator_of_everything(
    dns: NameServer, domain: Domain, reviewer: User, outsider: User
) -> None:
    for person in (reviewer, outsider):
        for act in (
            lambda person=person: actions.add_domain("b.test", by=person),
            lambda person=person: actions.remove_domain(domain, by=person),
            lambda person=person: actions.rotate_key(domain, by=person),
            lambda person=person: effects.verify_domain(domain, by=person),
        ):
            with pytest.raises(NotPermitted):
                act()
    assert dns.asked == []


def test_a_purpose_is_verified_by_any_of_its_records() -> None:
    records = [{"purpose": "dkim", "status": "missing"}, {"purpose": "dkim", "status": "verified"}]
    assert verified(records, "dkim")
    assert not verified(records, "spf")
