"""Quotas: what the account may send in a month, and how many mailboxes keys may make, to the last one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from approvals import actions, gate, quotas
from approvals.errors import QuotaReached
from approvals.models import OutboundMessage, User
from assistants.models import ApiKey
from mailboxes.envelope import Draft
from mailboxes.models import Account, Mailbox
from tests import factories
from tests.approvals.api.caller import Caller, held
from tests.processes import from_one_shot

pytestmark = pytest.mark.django_db


def allow(**quotas: int) -> None:
    Account.objects.update_or_create(pk=1, defaults=quotas)


def test_past_the_quota_a_message_is_429_and_says_when_to_ask_again(
    api_key: ApiKey, mailbox: Mailbox
) -> None:
    allow(monthly_email_quota=2)
    held(mailbox, api_key, "One")
    held(mailbox, api_key, "Two")
    letter = {"to": ["a@b.example"], "subject": "Three", "markdown": "Too many."}
    refused = Caller(api_key).post(f"/v1/mailboxes/{mailbox.pk}/send", letter)
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_reached")
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert OutboundMessage.objects.count() == 2


def test_a_repeat_is_answered_past_the_quota_too(api_key: ApiKey, mailbox: Mailbox) -> None:
    allow(monthly_email_quota=1)
    draft = Draft(to=("a@b.example",), subject="Once", markdown="Only once.")
    first = gate.send(draft, mailbox, by=api_key, idempotency_key="k1")
    assert gate.send(draft, mailbox, by=api_key, idempotency_key="k1").message == first.message


def test_what_came_to_nothing_has_used_nothing(api_key: ApiKey, mailbox: Mailbox, reviewer: User) -> None:
    allow(monthly_email_quota=1)
    actions.reject(held(mailbox, api_key, "One"), by=reviewer, reason="No.")
    actions.cancel(held(mailbox, api_key, "Two"), by=api_key)
    held(mailbox, api_key, "Three")
    with pytest.raises(QuotaReached):
        held(mailbox, api_key, "Four")


def test_each_month_begins_anew(api_key: ApiKey, mailbox: Mailbox) -> None:
    held(mailbox, api_key)
    now = timezone.now()
    assert (quotas.used(now), quotas.used(now + timedelta(days=31))) == (1, 0)


def test_the_account_tells_its_quotas(mailbox: Mailbox) -> None:
    allow(monthly_email_quota=7, max_mailboxes=3)
    owner = Caller(factories.a_key(factories.an_integration(), scopes=["admin"]))
    account = owner.get("/v1/account").json()
    assert (account["monthly_email_quota"], account["max_mailboxes"]) == (7, 3)
    # a key can't raise them
    owner.patch("/v1/account", {"monthly_email_quota": 1000, "name": "Acme"})
    assert owner.get("/v1/account").json()["monthly_email_quota"] == 7


def test_keys_make_mailboxes_up_to_the_quota(mailbox: Mailbox) -> None:
    allow(max_mailboxes=2)
    owner = Caller(factories.a_key(factories.an_integration(), scopes=["admin"]))
    assert owner.post("/v1/mailboxes", {"address": "second"}).status_code == 201
    other = Caller(factories.a_key(factories.an_integration(), scopes=["admin"]))
    refused = other.post("/v1/mailboxes", {"address": "third"})
    assert (refused.status_code, refused.json()["code"]) == (403, "mailbox_limit")
    Mailbox.objects.filter(pk=mailbox.pk).update(is_active=False)
    assert other.post("/v1/mailboxes", {"address": "third"}).status_code == 201


WORKER = """
import sys, django
django.setup()
from approvals import gate
from approvals.errors import QuotaReached
from assistants.models import ApiKey
from mailboxes.envelope import Draft
from mailboxes.models import Mailbox
key, mailbox = ApiKey.objects.get(), Mailbox.objects.get()
print("ready", flush=True)
sys.stdin.readline()
taken = 0
for turn in range(5):
    try:
        gate.send(Draft(to=("a@b.example",), subject=f"{NUMBER}.{turn}", markdown="Hi."), mailbox, by=key)
        taken += 1
    except QuotaReached:
        pass
print(taken, flush=True)
"""


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_eight_processes_at_once_hand_in_exactly_the_quota(
    api_key: ApiKey, mailbox: Mailbox, tmp_path: Path
) -> None:
    allow(monthly_email_quota=23)
    scripts = [WORKER.replace("NUMBER", str(number)) for number in range(8)]
    said = from_one_shot(scripts, tmp_path)
    assert sum(map(int, said)) == 23
    assert OutboundMessage.objects.count() == 23
