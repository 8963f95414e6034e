"""Addresses that are signed, so that only we can have made them. Following one never acts."""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.urls import reverse

# without a time, so that the same link is the same text: what is frozen must not change by itself
_APPROVE = signing.Signer(salt="approve link")
_UNSUBSCRIBE = signing.Signer(salt="unsubscribe link")


def approve_url(email_id: str) -> str:
    """The page on which a signed-in reviewer decides about one email."""
    return settings.PUBLIC_URL + reverse("approve_link", args=[_APPROVE.sign_object(email_id)])


def read_approve(token: str) -> str:
    """The id of the email; "" for a token that is not one of ours."""
    found = _read(_APPROVE, token)
    return found if isinstance(found, str) else ""


def unsubscribe_url(mailbox_id: str, address: str) -> str:
    """Where `address` says that it wants no more mail from the mailbox."""
    return settings.PUBLIC_URL + reverse(
        "unsubscribe", args=[_UNSUBSCRIBE.sign_object([mailbox_id, address])]
    )


def read_unsubscribe(token: str) -> tuple[str, str]:
    """Mailbox and address; empty for a token that is not one of ours."""
    found = _read(_UNSUBSCRIBE, token)
    return (str(found[0]), str(found[1])) if isinstance(found, list) and len(found) == 2 else ("", "")


def _read(signer: signing.Signer, token: str) -> object:
    try:
        return signer.unsign_object(token)
    except (signing.BadSignature, ValueError):
        return None
