"""A query that is built once finds and changes what it would find and change if it were built anew."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import BinaryField, DateTimeField, F, JSONField, QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from assistants.models import ApiKey
from audit.prepared import Change, Rows, Slot
from mailboxes.models import Email, Mailbox, Revision, Suppression
from tests import factories
from tests.approvals.living import a_held_message

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def test_it_finds_what_its_arguments_name_each_time_anew() -> None:
    by_address = Rows(lambda: Mailbox.objects.filter(address=Slot("address")))
    one, other = factories.a_mailbox(), factories.a_mailbox()
    assert by_address.get(address=one.address) == one
    assert by_address.get(address=other.address) == other
    assert by_address.first(address="nobody@acme.test") is None
    with pytest.raises(Mailbox.DoesNotExist):
        by_address.get(address="nobody@acme.test")
    one.delete()
    assert by_address.all(address=one.address) == []


def test_a_row_comes_with_its_relations_and_its_types(api_key: ApiKey, mailbox: Mailbox) -> None:
    held = a_held_message(api_key, mailbox)
    known = Rows(lambda: Email.objects.select_related("mailbox", "conversation").filter(pk=Slot("pk")))
    email = known.get(pk=held.pk)
    as_ever = Email.objects.get(pk=held.pk)
    with CaptureQueriesContext(connection) as asked:
        assert email.mailbox == mailbox
        assert email.conversation.pk == email.conversation_id
    assert len(asked) == 0
    for field in Email._meta.concrete_fields:
        assert getattr(email, field.attname) == getattr(as_ever, field.attname)


def test_it_is_built_once() -> None:
    built = []

    def build() -> QuerySet[Suppression]:
        built.append(1)
        return Suppression.objects.filter(address=Slot("address"))

    rows = Rows(build)
    for _ in range(3):
        rows.all(address="x@far.test")
    assert built == [1]


@pytest.mark.django_db(transaction=True)
def test_what_one_thread_asks_another_does_not_see() -> None:
    """The SQL is shared; its arguments and connections are not."""
    rows = Rows(lambda: Mailbox.objects.filter(address=Slot("address")))
    mailboxes = [factories.a_mailbox() for _ in range(4)]
    wrong: list[object] = []

    def ask(mailbox: Mailbox) -> None:
        found = [rows.first(address=mailbox.address) for _ in range(50)]
        wrong.extend(one for one in found if one != mailbox)
        connection.close()

    threads = [threading.Thread(target=ask, args=(mailbox,)) for mailbox in mailboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_moments_are_compared_as_moments() -> None:
    now = timezone.now()
    before = Rows(lambda: Suppression.objects.filter(created_at__lte=Slot("now", DateTimeField())))
    Suppression.objects.create(address="x@far.test", reason="x")
    assert len(before.all(now=now + timedelta(hours=1))) == 1
    assert before.all(now=now - timedelta(hours=1)) == []


def test_a_change_tells_how_many_rows_it_changed() -> None:
    deactivate = Change(
        lambda: Mailbox.objects.filter(address=Slot("address"), is_active=True), is_active=False
    )
    mailbox = factories.a_mailbox()
    assert deactivate.run(address=mailbox.address) == 1
    assert deactivate.run(address=mailbox.address) == 0
    mailbox.refresh_from_db()
    assert not mailbox.is_active


def test_a_change_writes_each_type_as_the_orm_does(api_key: ApiKey, mailbox: Mailbox) -> None:
    message = a_held_message(api_key, mailbox)
    revision = Revision.objects.get(email=message.pk)
    change = Change(
        lambda: Revision.objects.filter(pk=Slot("pk")),
        block=Slot("block", BinaryField()),
        facts=Slot("facts", JSONField()),
        number=F("number") + 1,
        sent_digest=Slot("digest"),
    )
    facts = [{"code": "ž", "n": 1, "deep": {"a": [None, True, 1.5]}}]
    assert change.run(pk=revision.pk, block=b"a\0b\xff", facts=facts, digest="d" * 64) == 1
    kept = Revision.objects.get(pk=revision.pk)
    assert (bytes(kept.block or b""), kept.facts) == (b"a\0b\xff", facts)
    assert (kept.number, kept.sent_digest) == (revision.number + 1, "d" * 64)


def test_a_change_that_fails_spoils_its_transaction_as_ever() -> None:
    one, other = factories.a_mailbox(), factories.a_mailbox()
    rename = Change(lambda: Mailbox.objects.filter(pk=Slot("pk")), address=Slot("address"))
    with pytest.raises(IntegrityError), transaction.atomic():
        rename.run(pk=one.pk, address=other.address)
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            rename.run(pk=one.pk, address=other.address)
        assert rename.run(pk=one.pk, address="new@acme.test") == 1


def test_an_argument_that_is_missing_is_an_error_and_not_a_null() -> None:
    with pytest.raises(KeyError, match="address"):
        Rows(lambda: Mailbox.objects.filter(address=Slot("address"))).all()
