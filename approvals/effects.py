"""What happens outside: one function for each kind of outbox entry. No transaction is open around a call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals import gate, outbox
from approvals.actions import dispatch
from approvals.actions.setup import planned
from approvals.actions.transitions import current
from approvals.models import MailboxAssistant, OutboundMessage, OutboxEntry
from approvals.outbox import TryAgain
from approvals.states import Status
from assistants import actions as assistant_actions
from assistants import runtimes
from assistants.models import Run, ToolCall
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes import delivery, identity, inbound, mime
from mailboxes.delivery import DeliveryError, Handover
from mailboxes.models import Account, Email, RawMessage, Revision

GIVE_UP_AFTER = timedelta(hours=24)
PROMPT_SHOWN = 100_000  # characters of a mail; a run server takes no prompt of any length
Kind = OutboxEntry.Kind


def deliver_email(promise: OutboxEntry) -> None:
    """Connect, MAIL, RCPT; then the UPDATE to `sending`; then DATA."""
    message = current(OutboundMessage(pk=promise.ref))
    if message.status == Status.SENDING:
        # whoever began this is gone: nobody knows how far the bytes came
        evidence = {"error": "The worker stopped after handing over and before the server's reply was kept."}
        return dispatch.record_unknown(message, message.delivery | evidence)
    if message.status not in dispatch.ON_ITS_WAY or dispatch.take_back(message):
        return
    revision = dispatch.revision_of(message)
    if _is_tampered(message, revision):
        return dispatch.record_failed(message, "The stored bytes are not the approved ones.", {})
    try:
        with delivery.offer(revision.envelope_from, revision.recipients) as handover:
            _hand_over(message, revision, promise, handover)
    except DeliveryError as error:
        _not_delivered(message, promise, error)


def _is_tampered(message: OutboundMessage, revision: Revision) -> bool:
    digest = mime.digest(revision.envelope_from, revision.recipients, bytes(revision.frozen))
    return not digest == revision.digest == message.approved_digest


def _hand_over(
    message: OutboundMessage, revision: Revision, promise: OutboxEntry, handover: Handover
) -> None:
    data = _with_block(message, revision)
    if not dispatch.begin_sending(message, promise, revision.recipients):
        if not dispatch.take_back(message):
            # what was in force changed, and under what is in force now it may leave after all
            raise TryAgain("What was in force changed at the last moment.")
        return
    receipt = handover.data(data)
    evidence = {"reply": receipt.reply, "steps": receipt.steps, "at": timezone.now().isoformat()}
    dispatch.record_sent(message, evidence)


def _with_block(message: OutboundMessage, revision: Revision) -> bytes:
    frozen = bytes(revision.frozen)
    if revision.block is None:
        account = Account.objects.first()
        block = identity.dispatch_block(
            frozen=frozen,
            sender=revision.envelope_from,
            recipients=revision.recipients,
            message_id=message.email.message_id,
            approved=not message.released_mode and message.copy_of_id is None,
            oversight=message.email.mailbox.oversight_mode,
            operator=account.name if account else "",
            now=timezone.now(),
        )
        revision = dispatch.store_block(revision, block)
    return bytes(revision.block or b"") + frozen


def _not_delivered(message: OutboundMessage, promise: OutboxEntry, error: DeliveryError) -> None:
    evidence: dict[str, Any] = {
        "error": str(error),
        "refused": error.refused,
        "steps": error.steps,
        "at": timezone.now().isoformat(),
    }
    if error.unknown:
        return dispatch.record_unknown(message, evidence)
    if error.permanent:
        return dispatch.record_failed(message, str(error), evidence)
    if timezone.now() - promise.created_at > GIVE_UP_AFTER:
        return dispatch.record_failed(message, f"Tried for a day: {error}", evidence)
    dispatch.record_delay(message, evidence)
    raise TryAgain(str(error))


def send_copy(promise: OutboxEntry) -> None:
    gate.copy_to_oversight(current(OutboundMessage(pk=promise.ref)))


def receive_email(promise: OutboxEntry) -> None:
    raw = RawMessage.objects.get(pk=promise.ref)
    try:
        parsed = inbound.parse(bytes(raw.data))
    except inbound.Unparseable as error:
        gate.admit(raw, None, parse_error=str(error))
    else:
        gate.admit(raw, parsed)


def start_run(promise: OutboxEntry) -> None:
    """`ref` is a planned run, or the email that starts one."""
    known = Run.objects.filter(Q(pk=promise.ref) | Q(start_key=promise.ref)).first()
    run = known or _plan_for(promise.ref)
    if run is None or run.run_id or run.has_ended:
        return
    try:
        assistant_actions.start(run)
    except runtimes.Refused as error:
        _not_started(run, str(error))
    except (runtimes.Unreachable, runtimes.NotWaiting) as error:
        if timezone.now() - promise.created_at > GIVE_UP_AFTER:
            return _not_started(run, f"Tried for a day: {error}")
        raise TryAgain(str(error)) from error


def _not_started(run: Run, why: str) -> None:
    with transaction.atomic():
        if assistant_actions.fail_start(run, why):
            log.record(Entry(Event.Action.RUN_FAILED, about_run(run), {"error": why}), by="system:driver")


def _plan_for(email_id: str) -> Run | None:
    email = Email.objects.select_related("mailbox").get(pk=email_id)
    link = MailboxAssistant.objects.filter(mailbox=email.mailbox, answers_inbound=True).first()
    if link is None:
        return None
    with transaction.atomic():
        run = assistant_actions.plan_run(
            link.assistant,
            prompt=_prompt(email),
            mailbox_id=email.mailbox_id,
            email_id=email.pk,
            start_key=email.pk,
        )
        log.record(planned(run), by="system:inbound")
    return run


def _prompt(email: Email) -> str:
    """What the assistant is told. The mail itself is quoted as what it is: a stranger's words."""
    return (
        f"New mail from {email.from_address}: {' '.join(email.subject.split())}\n\n"
        f"It came to {email.mailbox.address} (mailbox_id {email.mailbox_id}, email_id {email.pk}).\n\n"
        # whoever wrote the mail does not know its id, and so cannot write the line that ends it
        f"--- begin untrusted mail {email.pk} ---\n"
        f"{email.text[:PROMPT_SHOWN]}\n"
        f"--- end untrusted mail {email.pk} ---"
    )


def resume_run(promise: OutboxEntry) -> None:
    """When every call has its output and the run still waits, submit them all in one request."""
    run = Run.objects.select_related("assistant", "connection").get(pk=promise.ref)
    if not assistant_actions.is_ready(run):
        return
    calls = assistant_actions.due_outputs(run)
    try:
        seen = runtimes.of(run).read(run)
        asked = _asked_for(seen)
        if asked != {call.call_id for call in calls}:
            # a former attempt was heard after all, or the run is gone, or it asks for more: look again
            assistant_actions.ask_again(run)
            return _resumed(run, [call for call in calls if call.call_id not in asked], seen.status)
        runtimes.of(run).submit(run, calls)
    except runtimes.Unreachable as error:
        raise TryAgain(str(error)) from error
    except runtimes.NotWaiting as error:
        assistant_actions.ask_again(run)
        raise TryAgain(str(error)) from error
    _resumed(run, calls, "submitted")


def _asked_for(seen: runtimes.Snapshot) -> set[str]:
    return {call.call_id for call in seen.calls} if seen.status == Run.Status.REQUIRES_ACTION else set()


def _resumed(run: Run, calls: list[ToolCall], outcome: str) -> None:
    with transaction.atomic():
        if assistant_actions.mark_submitted(calls):
            details = {"calls": [call.call_id for call in calls], "outcome": outcome}
            log.record(Entry(Event.Action.RUN_RESUMED, about_run(run), details), by="system:driver")


def about_run(run: Run) -> Subject:
    return Subject(
        mailbox_id=run.mailbox_id,
        email_id=run.email_id,
        assistant_id=run.remote_assistant_id or run.assistant_id,
        thread_id=run.thread_id,
        run_id=run.run_id,
    )


DELIVERY: Mapping[Kind, outbox.Handler] = {Kind.DELIVER_EMAIL: deliver_email}
OTHERS: Mapping[Kind, outbox.Handler] = {
    Kind.RESUME_RUN: resume_run,
    Kind.START_RUN: start_run,
    Kind.RECEIVE_EMAIL: receive_email,
    Kind.SEND_COPY: send_copy,
}
