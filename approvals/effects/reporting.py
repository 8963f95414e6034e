"""What mail providers tell of the mail that they carry, worked off."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

import httpx

from approvals.actions.receipts import record_report
from approvals.models import OutboxEntry
from approvals.outbox import TryAgain
from mailboxes import tracking
from mailboxes.models import MailHook

log = logging.getLogger("counterseal.receipts")
# the only hosts at which a subscription is confirmed, whatever a post says
SNS = re.compile(r"https://sns\.[a-z0-9-]{4,30}\.amazonaws\.com(\.cn)?")


def read_mail_hook(promise: OutboxEntry) -> None:
    """Each event on its own: one that can't be kept keeps no other from it."""
    hook = MailHook.objects.filter(pk=promise.ref).first()
    if hook is None:
        return  # the sweep was faster
    if address := tracking.subscription(hook):
        return _confirm(address)
    for report in tracking.reports(hook):
        if record_report(report, hook.provider) is None:
            log.info("%s: nothing new in %s", hook, report.kind)


def _confirm(address: str) -> None:
    """Amazon SNS posts only after the address that it names was visited."""
    parts = urlsplit(address)
    if not SNS.fullmatch(f"{parts.scheme}://{parts.netloc}"):
        log.warning("A subscription names %s, which is not Amazon's; it was left alone.", parts.netloc)
        return
    try:
        answer = httpx.get(address, timeout=10.0, trust_env=False)
    except httpx.HTTPError as error:
        raise TryAgain(f"The subscription was not confirmed: {type(error).__name__}.") from error
    if answer.status_code >= 500:
        raise TryAgain(f"The subscription was not confirmed: it answered {answer.status_code}.")
