"""What the account may send in a month, and how many mailboxes its keys may make.

Counted under a lock on the account's row: whoever asks at the same moment waits until this message or mailbox
is stored, and counts it too. Where no quota is set, nobody waits.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from approvals.errors import NotPermitted, QuotaReached
from approvals.models import OutboundMessage
from approvals.states import Status
from audit.ids import first_id
from mailboxes.models import Account, Mailbox

# what came to nothing has used nothing
UNUSED = (Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.SUPERSEDED, Status.FAILED)
# until the month is over, unless something is rejected or the quota is raised before
LONGEST_WAIT = timedelta(hours=1)


def check_emails() -> None:
    """Raises QuotaReached. In the transaction that stores the message."""
    limited = Account.objects.select_for_update().exclude(monthly_email_quota=None)
    account = limited.first()
    if account is None or account.monthly_email_quota is None:
        return
    now = timezone.now()
    if used(now) >= account.monthly_email_quota:
        sentence = f"The quota of {account.monthly_email_quota} messages in this month is used up."
        raise QuotaReached(sentence, wait=int(min(_next_month(now) - now, LONGEST_WAIT).total_seconds()))


def check_mailboxes() -> None:
    """Raises NotPermitted. In the transaction that makes the mailbox."""
    account = Account.objects.select_for_update().exclude(max_mailboxes=None).first()
    if account is None or account.max_mailboxes is None:
        return
    if Mailbox.objects.filter(is_active=True).count() >= account.max_mailboxes:
        sentence = f"This install allows {account.max_mailboxes} mailboxes, and they are made."
        raise NotPermitted(sentence, "mailbox_limit")


def used(now: datetime) -> int:
    """Messages handed in since the month began (UTC) that have left, or may still."""
    since = first_id("em", _month(now))
    mine = OutboundMessage.objects.filter(pk__gte=since, copy_of=None)
    return mine.exclude(status__in=UNUSED).count()


def _month(now: datetime) -> datetime:
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next_month(now: datetime) -> datetime:
    return _month(_month(now) + timedelta(days=32))
