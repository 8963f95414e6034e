"""Domains that mail leaves from: the records that they should have, what the DNS says, and DKIM keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from approvals.errors import Conflict, Invalid, NotFound
from approvals.models import User
from approvals.permissions import check_administer
from assistants.models import ApiKey
from audit import log
from audit.log import Entry
from audit.models import Event
from mailboxes import dkim_keys, domain_records, routes
from mailboxes.domain_records import DKIM, LOOPBACK, MISSING, SPF, VERIFIED, WRONG, Wanted
from mailboxes.envelope import normalize_address
from mailboxes.models import DkimKey, Domain, Mailbox
from mailboxes.routes import Route

By = User | ApiKey | str
MANY = 100


def add_domain(name: str, *, by: User | ApiKey) -> Domain:
    """With a DKIM key of its own, which signs once its record is seen."""
    check_administer(by)
    name = _checked(name)
    try:
        with transaction.atomic():
            domain = Domain.objects.create(name=name)
            key = dkim_keys.new_key(domain)
            key.save()
            details = {"domain": domain.pk, "name": name, "selector": key.selector}
            log.record(Entry(Event.Action.DOMAIN_CREATED, payload=details), by=by.actor)
    except IntegrityError:
        raise Conflict(f"{name} is here already.", "domain_exists") from None
    return domain


def _checked(name: str) -> str:
    try:
        found = normalize_address(f"any@{name.strip().rstrip('.')}").partition("@")[2]
        if "." not in found:
            raise ValueError(f"{found} is not a whole domain such as example.com.")
    except ValueError as error:
        sentence = str(error).replace("any@", "")
        raise Invalid([{"field": "domain", "code": "invalid", "message": sentence}]) from None
    return found


def remove_domain(domain: Domain, *, by: User | ApiKey) -> None:
    """Its keys go with it, so nothing more is signed for it. Its mailboxes stay."""
    check_administer(by)
    with transaction.atomic():
        details = {"domain": domain.pk, "name": domain.name}
        if Domain.objects.filter(pk=domain.pk).delete()[0]:
            log.record(Entry(Event.Action.DOMAIN_DELETED, payload=details), by=by.actor)


def rotate_key(domain: Domain, *, by: User | ApiKey) -> DkimKey:
    """A new key takes over once its record is seen; until then the one before signs."""
    check_administer(by)
    # takes a moment, which no transaction waits for
    key = dkim_keys.new_key(domain)
    with transaction.atomic():
        locked = Domain.objects.select_for_update().filter(pk=domain.pk).first()
        if locked is None:
            raise NotFound("Somebody removed this domain meanwhile.")
        newest = locked.keys.order_by("-pk").first()
        if newest and newest.published_at is None:
            raise Conflict(f"The key {newest.selector} still waits for its record.", "key_waits")
        key.save()
        details = {"domain": domain.pk, "name": domain.name, "new_selector": key.selector}
        log.record(Entry(Event.Action.DOMAIN_CHANGED, payload=details), by=by.actor)
    return key


def wanted_records(domains: Sequence[Domain]) -> dict[str, list[Wanted]]:
    """By the id of the domain; with as many queries for many as for one."""
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    ours = "" if host in LOOPBACK else host
    keys: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key in DkimKey.objects.filter(domain__in=domains, retired_at=None).order_by("-pk"):
        keys[key.domain_id].append((key.selector, key.public_key))
    routes = _routes(domains)
    return {one.pk: domain_records.wanted(one.name, keys[one.pk], routes[one.name], ours) for one in domains}


def _routes(domains: Sequence[Domain]) -> dict[str, list[Route]]:
    """By which mail of each domain leaves, by its name."""
    # SQLite takes no condition of a thousand parts; where there are as many, all mailboxes are looked at
    ends = [Q(address__iendswith=f"@{one.name}") for one in domains]
    theirs = reduce(or_, ends, Q(pk__in=())) if len(ends) <= MANY else Q()
    urls: dict[str, set[str]] = defaultdict(set)
    for box in Mailbox.objects.filter(theirs, is_active=True).only("address", "outbound_encrypted"):
        urls[box.domain.lower()].add(_url(box) or settings.EMAIL_URL)
    return {one.name: _parsed(urls[one.name] or {settings.EMAIL_URL}) for one in domains}


def _parsed(urls: set[str]) -> list[Route]:
    found: list[Route] = []
    for url in urls - {""}:
        # what is wrong with it is said where mail leaves
        with suppress(ImproperlyConfigured):
            found.append(routes.parse(url))
    return found


def _url(box: Mailbox) -> str:
    try:
        return box.outbound_url
    except InvalidToken:
        return ""


def records_of(*domains: Domain) -> list[list[Any]]:
    """What each should have now, and what was found when the DNS was last asked for just that."""
    wanted = wanted_records(domains)
    return [_with_findings(one, wanted[one.pk]) for one in domains]


def _with_findings(domain: Domain, wanted: list[Wanted]) -> list[Any]:
    known = {(one["purpose"], one["name"], one["value"]): one for one in domain.records}
    return [known.get((one.purpose, one.name, one.value), domain_records.unchecked(one)) for one in wanted]


def record_lookup(domain: Domain, records: list[dict[str, Any]], at: datetime, *, by: By) -> Domain:
    """Keep what was found, and let the keys sign or not by it."""
    with transaction.atomic():
        locked = Domain.objects.select_for_update().filter(pk=domain.pk).first()
        if locked is None:
            raise NotFound("Somebody removed this domain meanwhile.")
        changed = _follow(locked, {one["name"]: one["status"] for one in records if one["purpose"] == DKIM})
        before, after = _states(locked.records), _states(records)
        Domain.objects.filter(pk=domain.pk).update(records=records, checked_at=at)
        if changed or before != after:
            details = {"domain": domain.pk, "name": domain.name, "found": after, **changed}
            actor = by if isinstance(by, str) else by.actor
            log.record(Entry(Event.Action.DOMAIN_CHANGED, payload=details), by=actor)
    return Domain.objects.get(pk=domain.pk)


def _states(records: list[dict[str, Any]]) -> dict[str, str]:
    return {f"{one['purpose']} {one['name']}": one["status"] for one in records}


def _follow(domain: Domain, states: dict[str, str]) -> dict[str, Any]:
    """The newest key that is seen signs. One whose record is gone would only harm the mail."""
    now, changed, newer = timezone.now(), {}, False
    for key in domain.keys.filter(retired_at=None).order_by("-pk"):
        state = states.get(f"{key.selector}._domainkey.{domain.name}")
        if newer:
            key.retired_at, changed["retired"] = now, key.selector
        elif state == VERIFIED and key.published_at is None:
            key.published_at, changed["signs_with"] = now, key.selector
        elif state in (MISSING, WRONG) and key.published_at is not None:
            key.published_at, changed["signs_no_more_with"] = None, key.selector
        key.save(update_fields=["published_at", "retired_at"])
        newer = newer or key.published_at is not None
    return changed


def verified(records: list[dict[str, Any]], purpose: str) -> bool:
    """For DKIM: the key that signs, whatever a newer one waits for."""
    found = [one["status"] for one in records if one["purpose"] == purpose]
    return VERIFIED in found


def status_of(records: list[dict[str, Any]]) -> str:
    """verified once it signs and says who may send; failed if either is there and wrong; else pending."""
    if verified(records, DKIM) and verified(records, SPF):
        return "verified"
    needed = [one["status"] for one in records if one["purpose"] in (DKIM, SPF)]
    return "failed" if WRONG in needed else "pending"
