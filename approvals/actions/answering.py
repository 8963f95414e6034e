"""Which model serves an assistant, and which assistant answers a mailbox's new mail."""

from __future__ import annotations

from django.db import transaction

from approvals.errors import Invalid
from approvals.models import MailboxAssistant, User
from approvals.permissions import check_administer
from assistants.models import Assistant, Connection
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.models import Mailbox

OnInbound = Mailbox.OnInbound


def choose_connection(assistant: Assistant, connection: Connection | None, *, by: User) -> None:
    """From its next run on; a run that is under way ends where it began."""
    check_administer(by)
    with transaction.atomic():
        if connection is None:
            _check_starts_none(assistant)
        if move_assistant(assistant, connection):
            told = {"name": assistant.name, "connection": connection.name if connection else None}
            subject = Subject(assistant_id=assistant.pk)
            log.record(Entry(Event.Action.ASSISTANT_CHANGED, subject, told), by=by.actor)


def move_assistant(assistant: Assistant, connection: Connection | None) -> bool:
    """The same without check and record. Its counterpart was made at the far side of the old one."""
    if assistant.connection == connection:
        return False
    Assistant.objects.filter(pk=assistant.pk).update(connection=connection, remote_id="")
    assistant.connection, assistant.remote_id = connection, ""
    return True


def _check_starts_none(assistant: Assistant) -> None:
    links = MailboxAssistant.objects.filter(assistant=assistant, answers_inbound=True)
    starting = links.filter(mailbox__on_inbound=OnInbound.RUN).order_by("mailbox__address")
    if addresses := ", ".join(starting.values_list("mailbox__address", flat=True)):
        raise _invalid(
            "connection", f"New mail to {addresses} starts runs of {assistant.name}, which need a connection."
        )


def set_inbound(mailbox: Mailbox, on_inbound: str, assistant: Assistant | None, *, by: User) -> None:
    """What new mail does: start a run of `assistant`, or wait until somebody reads it."""
    check_administer(by, mailbox)
    if on_inbound not in OnInbound.values:
        raise _invalid("on_inbound", f"“{on_inbound}” is not one of {', '.join(OnInbound.values)}.")
    with transaction.atomic():
        # two who choose at once choose one after the other
        mailbox = Mailbox.objects.select_for_update(no_key=True).get(pk=mailbox.pk)
        _check_answers(mailbox, on_inbound, assistant)
        changes: dict[str, str] = {}
        if mailbox.on_inbound != on_inbound:
            Mailbox.objects.filter(pk=mailbox.pk).update(on_inbound=on_inbound)
            changes["on_inbound"] = on_inbound
        if answer_with(mailbox, assistant):
            changes["answered_by"] = assistant.name if assistant else ""
        if changes:
            subject = Subject(mailbox_id=mailbox.pk)
            log.record(Entry(Event.Action.MAILBOX_CHANGED, subject, changes), by=by.actor)


def _check_answers(mailbox: Mailbox, on_inbound: str, assistant: Assistant | None) -> None:
    if assistant is None:
        if on_inbound == OnInbound.RUN:
            raise _invalid("assistant", "New mail can only start a run of an assistant: choose one.")
    elif not MailboxAssistant.objects.filter(mailbox=mailbox, assistant=assistant).exists():
        raise _invalid("assistant", f"{assistant.name} does not work in {mailbox.address}.")
    elif on_inbound == OnInbound.RUN and assistant.connection is None:
        sentence = f"{assistant.name} has no connection, so no run of it can start. Choose one on its page."
        raise _invalid("assistant", sentence)


def answer_with(mailbox: Mailbox, assistant: Assistant | None) -> bool:
    """The same without check and record: which of its assistants new mail starts."""
    links = MailboxAssistant.objects.filter(mailbox=mailbox)
    answering = links.filter(answers_inbound=True).first()
    if (answering.assistant_id if answering else None) == (assistant.pk if assistant else None):
        return False
    links.filter(answers_inbound=True).update(answers_inbound=False)
    links.filter(assistant=assistant).update(answers_inbound=True)
    return True


def _invalid(field: str, sentence: str) -> Invalid:
    return Invalid([{"field": field, "code": "bad", "message": sentence}])
