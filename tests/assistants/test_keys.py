"""Keys are found by their secret alone, and a token of our own lives for a minute."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.signing import TimestampSigner
from django.utils import timezone

from assistants import keys
from assistants.models import ApiKey, Assistant
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_minted_key_is_found_by_its_secret_and_by_nothing_else(assistant: Assistant) -> None:
    fields, secret = keys.mint()
    key = ApiKey.objects.create(name="k", assistant=assistant, may_read=True, **fields)
    assert secret.startswith("mm_live_")
    assert len(secret) >= 8 + 32
    assert key.prefix == secret[:16]
    assert secret not in str(vars(key))
    assert keys.find_key(secret) == key
    for other in (secret[:-1], secret + "x", key.hash, key.prefix, "", "mm_live_"):
        assert keys.find_key(other) is None


def test_a_key_that_is_revoked_or_expired_is_not_found(assistant: Assistant) -> None:
    now = timezone.now()
    for key in (factories.a_key(assistant, revoked_at=now), factories.a_key(assistant, expires_at=now)):
        assert keys.find_key(key.secret) is None  # type: ignore[attr-defined]
    assert keys.find_key(factories.a_key(assistant, expires_at=now + timedelta(hours=1)).secret)  # type: ignore[attr-defined]


def test_a_token_names_its_assistant(assistant: Assistant) -> None:
    assert keys.assistant_of_token(keys.internal_token(assistant)) == assistant


def test_a_token_is_no_longer_one_when_it_is_old_or_another_kind_of_signature(
    assistant: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys.assistant_of_token(TimestampSigner(salt="sign-in").sign(assistant.pk)) is None
    token = keys.internal_token(assistant)
    monkeypatch.setattr(keys, "TOKEN_MAX_AGE", -1)
    assert keys.assistant_of_token(token) is None


def test_a_token_of_an_inactive_assistant_opens_nothing(assistant: Assistant) -> None:
    token = keys.internal_token(assistant)
    Assistant.objects.update(is_active=False)
    assert keys.assistant_of_token(token) is None
