"""Ways in for people: what a one-time link is worth, and the record of who came in."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from approvals.models import SignInLink, User
from audit import log
from audit.log import Entry
from audit.models import Event
from audit.secrets import hash_secret

LIFETIME = timedelta(hours=1)


def mint_link(user: User, lifetime: timedelta = LIFETIME) -> str:
    """An address that lets `user` in once. Only its hash is kept."""
    token = secrets.token_urlsafe(32)
    SignInLink.objects.create(user=user, hash=hash_secret(token), expires_at=timezone.now() + lifetime)
    return settings.PUBLIC_URL + reverse("sign_in_link", args=[token])


def find_link(token: str) -> SignInLink | None:
    """The link, if it can still be used."""
    live = SignInLink.objects.filter(used_at=None, expires_at__gt=timezone.now(), user__is_active=True)
    return live.filter(hash=hash_secret(token)).select_related("user").first()


def spend_link(token: str) -> User | None:
    """Whom it lets in, once: of two that ask together, one gets nothing."""
    link = find_link(token)
    if link is None:
        return None
    with transaction.atomic():
        if not SignInLink.objects.filter(pk=link.pk, used_at=None).update(used_at=timezone.now()):
            return None
        record(link.user, how="link")
    return link.user


def record_password(user: User) -> None:
    with transaction.atomic():
        record(user, how="password")


def record(user: User, *, how: str) -> None:
    log.record(Entry(Event.Action.PERSON_SIGNED_IN, payload={"how": how}), by=user.actor)
