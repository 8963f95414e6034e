"""The block before the frozen bytes, and a signature that cannot be moved to another message."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from django.db import connections

from mailboxes import identity
from mailboxes.identity import InvalidIdentity
from mailboxes.mime import check_wire
from mailboxes.models import SigningKey
from tests.mailboxes.letters import MESSAGE_ID, frozen

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def a_block(**values: Any) -> list[str]:
    made = frozen(cc=("c@x.test",), bcc=("secret@x.test",))
    usual: dict[str, Any] = {
        "frozen": made.data,
        "sender": made.sender,
        "recipients": made.recipients,
        "message_id": MESSAGE_ID,
        "approved": True,
        "oversight": "gated_send",
        "operator": "Acme Ltd, Köln",
        "now": NOW,
    }
    block = identity.dispatch_block(**(usual | values))
    check_wire(block + made.data)
    return block.decode().replace("\r\n ", "").split("\r\n")[:-1]


@pytest.mark.django_db
def test_the_block_is_a_date_a_notice_and_the_signed_identity() -> None:
    date, notice, header = a_block()
    assert date == "Date: Sun, 22 Nov 2026 09:30:00 +0000"
    assert notice == "X-AI-Generated: true"
    name, _, value = header.partition(": ")
    assert name == "X-MultiMail-Identity"
    claims = identity.verify(value)
    made = frozen(cc=("c@x.test",), bcc=("secret@x.test",))
    assert claims == {
        "ai_generated": True,
        "approved": True,
        "body_hash": hashlib.sha256(made.data).hexdigest(),
        "capabilities": ["send"],
        "iat": int(NOW.timestamp()),
        "message_id": MESSAGE_ID,
        "operator": "Acme Ltd, Köln",
        "oversight": "gated_send",
        "recipients_hash": hashlib.sha256(b"bob@northwind.example\nc@x.test").hexdigest(),
        "reputation_hash": "",
        "sender": "support@acme.test",
        "service": "counterseal",
        "verified_operator": False,
    }


@pytest.mark.django_db
def test_anyone_can_verify_it_with_the_public_key_alone() -> None:
    payload, _, signature = a_block()[2].partition(": ")[2].partition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    assert len(raw) == 64
    key = serialization.load_pem_public_key(identity.public_key_pem().encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, payload.encode(), ec.ECDSA(SHA256()))
    decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
    assert decoded == json.dumps(json.loads(decoded), sort_keys=True, separators=(",", ":"))


@pytest.mark.django_db
def test_a_changed_or_foreign_header_is_refused() -> None:
    header = a_block()[2].partition(": ")[2]
    payload, _, signature = header.partition(".")
    for forged in (
        "",
        ".",
        "x.y",
        payload,
        f"{payload}.",
        f"{payload}.AAAA",
        f"{payload[:-2]}AA.{signature}",
        f"{payload}.{'A' * 86}",
        f"ü.{signature}",
        f"{'W' * 100000}.{signature}",
    ):
        with pytest.raises(InvalidIdentity):
            identity.verify(forged)
    SigningKey.objects.all().delete()
    with pytest.raises(InvalidIdentity):
        identity.verify(header)


@pytest.mark.django_db
def test_old_mail_still_verifies_after_a_new_key_came() -> None:
    header = a_block()[2].partition(": ")[2]
    old = SigningKey.objects.get()
    SigningKey.objects.create(
        pk=2, private_pem_encrypted=old.private_pem_encrypted, public_pem=old.public_pem
    )
    assert identity.verify(header)["message_id"] == MESSAGE_ID


@pytest.mark.django_db
def test_long_claims_are_folded_and_still_verify() -> None:
    header = a_block(message_id="<" + "x" * 880 + "@acme.test>", operator="é" * 200)[2].partition(": ")[2]
    assert len(header) > 998
    assert identity.verify(header)["operator"] == "é" * 200


@pytest.mark.django_db
def test_the_private_key_is_not_at_rest_in_the_clear() -> None:
    identity.public_key_pem()
    assert "PRIVATE" not in SigningKey.objects.get().private_pem_encrypted


@pytest.mark.django_db(transaction=True)
def test_processes_that_start_together_agree_on_one_key() -> None:
    found: list[str] = []
    together = threading.Barrier(6)

    def ask() -> None:
        together.wait()
        found.append(identity.public_key_pem())
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == SigningKey.objects.count() == 1
