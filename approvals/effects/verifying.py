"""What the DNS says of our domains: when somebody asks, and once a day."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from approvals.actions.domains import By, record_lookup, wanted_records
from approvals.errors import NotFound
from approvals.models import User
from approvals.permissions import check_administer
from assistants.models import ApiKey
from mailboxes import domain_records, lookups
from mailboxes.models import Domain

AGAIN_AFTER = timedelta(days=1)
AT_ONCE = 50  # an hour; each takes seconds where nobody answers
log = logging.getLogger("counterseal.domains")


def verify_domain(domain: Domain, *, by: User | ApiKey) -> Domain:
    """While they wait: a few seconds at most."""
    check_administer(by)
    return _look(domain, by)


def verify_domains() -> int:
    """Those that nobody asked about for a day: a key whose record has gone must not go on signing."""
    old = timezone.now() - AGAIN_AFTER
    found = list(Domain.objects.filter(Q(checked_at=None) | Q(checked_at__lt=old)).order_by("pk")[:AT_ONCE])
    for domain in found:
        try:
            _look(domain, "system:schedule")
        except NotFound:
            log.info("%s was removed meanwhile", domain)
    return len(found)


def _look(domain: Domain, by: By) -> Domain:
    records = wanted_records([domain])[domain.pk]
    answers = lookups.ask(record.question for record in records)
    judged = [domain_records.judged(record, answers[record.question]) for record in records]
    return record_lookup(domain, judged, timezone.now(), by=by)
