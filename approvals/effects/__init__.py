"""What happens outside: one function for each kind of outbox entry. No transaction is open around a call."""

from __future__ import annotations

from collections.abc import Mapping

from approvals import outbox
from approvals.effects.adopting import adopt
from approvals.effects.delivering import ask_deferred, deliver_email, send_copy
from approvals.effects.hearing import read_webhook
from approvals.effects.noticing import mail_code, mail_sign_in, mail_stopped
from approvals.effects.posting import post_webhook
from approvals.effects.receiving import receive_email
from approvals.effects.reporting import read_mail_hook
from approvals.effects.resuming import resume_run
from approvals.effects.starting import promise_next, start_run
from approvals.effects.testing import send_test
from approvals.effects.verifying import verify_domain, verify_domains
from approvals.models import OutboxEntry

__all__ = [
    "DELIVERY",
    "INBOUND",
    "OTHERS",
    "POSTS",
    "RUNS",
    "adopt",
    "deliver_email",
    "mail_code",
    "mail_sign_in",
    "mail_stopped",
    "post_webhook",
    "promise_next",
    "read_mail_hook",
    "read_webhook",
    "receive_email",
    "resume_run",
    "send_copy",
    "send_test",
    "start_run",
    "verify_domain",
    "verify_domains",
]

Kind = OutboxEntry.Kind

DELIVERY: Mapping[Kind, outbox.Handler] = {
    Kind.DELIVER_EMAIL: deliver_email,
    Kind.MAIL_CODE: mail_code,
    Kind.MAIL_STOPPED: mail_stopped,
    Kind.MAIL_SIGN_IN: mail_sign_in,
}
RUNS: Mapping[Kind, outbox.Handler] = {Kind.RESUME_RUN: resume_run, Kind.START_RUN: start_run}
POSTS: Mapping[Kind, outbox.Handler] = {Kind.POST_WEBHOOK: post_webhook}
INBOUND: Mapping[Kind, outbox.Handler] = {Kind.RECEIVE_EMAIL: receive_email}
OTHERS: Mapping[Kind, outbox.Handler] = {
    Kind.SEND_COPY: send_copy,
    Kind.ASK_DEFERRED: ask_deferred,
    Kind.READ_WEBHOOK: read_webhook,
    Kind.READ_MAIL_HOOK: read_mail_hook,
}
