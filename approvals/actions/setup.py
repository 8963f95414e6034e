"""The allowlist, and starting a run by hand."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from approvals import outbox
from approvals.actions.telling import plan_entry
from approvals.errors import Conflict, Invalid
from approvals.models import OutboxEntry, User
from approvals.permissions import check_administer, check_reach, check_start_run
from assistants import actions as assistant_actions
from assistants.models import ApiKey, Assistant, Run
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.envelope import normalize_address
from mailboxes.models import AllowlistEntry, Mailbox


def allow(mailbox: Mailbox, pattern: str, *, by: User | ApiKey, note: str = "") -> AllowlistEntry:
    """Let mail to `pattern` (an address or *@domain) skip review while the mailbox is in gated_send."""
    check_administer(by, mailbox)
    pattern = checked_pattern(pattern)
    try:
        with transaction.atomic():
            added = AllowlistEntry.objects.create(mailbox=mailbox, pattern=pattern, note=note[:200])
            details = {"allowed": pattern, "note": note[:200]}
            log.record(
                Entry(Event.Action.MAILBOX_CHANGED, Subject(mailbox_id=mailbox.pk), details), by=by.actor
            )
    except IntegrityError:
        raise Conflict(f"{pattern} is on the allowlist already.") from None
    return added


def checked_pattern(pattern: str) -> str:
    star, text = ("*@", pattern.strip()[2:]) if pattern.strip().startswith("*@") else ("", pattern.strip())
    try:
        address = normalize_address(f"any@{text}" if star else text)
    except ValueError as error:
        raise Invalid([{"field": "pattern", "code": "bad_pattern", "message": str(error)}]) from None
    return f"*@{address.rpartition('@')[2]}" if star else address


def disallow(listed: AllowlistEntry, *, by: User | ApiKey) -> None:
    check_administer(by, listed.mailbox)
    with transaction.atomic():
        if AllowlistEntry.objects.filter(pk=listed.pk).delete()[0]:
            details = {"no_longer_allowed": listed.pattern}
            subject = Subject(mailbox_id=listed.mailbox_id)
            log.record(Entry(Event.Action.MAILBOX_CHANGED, subject, details), by=by.actor)


def start_run(assistant: Assistant, prompt: str, mailbox: Mailbox, *, by: User) -> Run:
    """A run that we drive, started by a person."""
    check_start_run(by, assistant)
    check_reach(by, mailbox)
    check_reach(assistant, mailbox)
    if not prompt.strip():
        raise Invalid([{"field": "prompt", "code": "required", "message": "Say what the run is to do."}])
    if assistant.connection is None:
        message = f"{assistant.name} has no model connection."
        raise Invalid([{"field": "assistant", "code": "no_connection", "message": message}])
    with transaction.atomic():
        run = assistant_actions.plan_run(
            assistant, cause=Run.Cause.PERSON, prompt=prompt, mailbox_id=mailbox.pk
        )
        outbox.enqueue(OutboxEntry.Kind.START_RUN, run.pk)
        log.record(plan_entry(run), by=by.actor)
    return run
