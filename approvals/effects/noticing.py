"""Mail of our own to whoever oversees: fixed words, to the oversight address only."""

from __future__ import annotations

from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format

from approvals import operator_requests, sign_in
from approvals.models import OperatorRequest, OutboxEntry, User, WebhookEndpoint
from approvals.outbox import TryAgain
from mailboxes import delivery
from mailboxes.delivery import DeliveryError
from mailboxes.models import Account

CODE = """\
{who} asks Counterseal for this:

  {what}

If it should happen, give the one-time code to whoever runs that program:

  {code}

It is good until {until} UTC, once, and for this request only. To refuse, do nothing.
All requests: {url}/requests
"""


def mail_code(promise: OutboxEntry) -> None:
    """Where no oversight address is set, the dashboard alone shows the code."""
    request = OperatorRequest.objects.select_related("key__assistant", "key__integration").get(pk=promise.ref)
    account, code = Account.objects.first(), operator_requests.open_code(request)
    if not (code and account and account.oversight_email):
        return
    until = date_format(request.expires_at, "Y-m-d H:i")
    text = CODE.format(
        who=f"{request.key.owner} (key {request.key.name})",
        what=request.sentence,
        code=code,
        until=until,
        url=settings.PUBLIC_URL,
    )
    _mail(account.oversight_email, "Counterseal: a program asks for your word", text, request.pk)


STOPPED = """\
Counterseal has turned off a webhook, because nothing got through to it:

  {url}
  {why}

When its receiver works again, turn the webhook on; what failed can be sent again there:
{base}/webhooks/{pk}
"""


def mail_stopped(promise: OutboxEntry) -> None:
    endpoint, account = WebhookEndpoint.objects.filter(pk=promise.ref).first(), Account.objects.first()
    if not (endpoint and account and account.oversight_email):
        return
    text = STOPPED.format(
        url=endpoint.url, why=endpoint.disabled_reason, base=settings.PUBLIC_URL, pk=endpoint.pk
    )
    _mail(
        account.oversight_email, "Counterseal: a webhook was turned off", text, f"{endpoint.pk}.{promise.pk}"
    )


SIGN_IN = """\
You may sign in to Counterseal, where people decide what assistants send by email.

  {link}

The link works once, until {until} UTC. Nothing happens before you press the button behind it.
Your part: {roles}.
"""
# an invitation may lie in a mailbox over a weekend
LINK_LIFETIME = timedelta(days=3)


def mail_sign_in(promise: OutboxEntry) -> None:
    """To the person's own address. A repeat has a link of its own, since only its hash is kept."""
    person = User.objects.filter(pk=promise.ref, is_active=True).first()
    if person is None:
        return
    until = date_format(timezone.now() + LINK_LIFETIME, "Y-m-d H:i")
    link = sign_in.mint_link(person, LINK_LIFETIME)
    text = SIGN_IN.format(link=link, until=until, roles=" and ".join(person.roles))
    _mail(person.email, "Counterseal: your way in", text, f"{person.pk}.{promise.pk}")


def _mail(address: str, subject: str, text: str, name: str) -> None:
    sender = settings.NOTICES_FROM
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"], message["To"], message["Subject"] = sender, address, subject
    message["Date"] = timezone.now()
    # the same for each attempt, so that a reader shows a repeat as one
    message["Message-ID"] = f"<{name}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="quoted-printable")
    try:
        with delivery.offer(sender, [address]) as handover:
            handover.data(message.as_bytes())
    except DeliveryError as error:
        if not error.permanent:
            raise TryAgain(str(error)) from error
