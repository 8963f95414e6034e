"""The run that inbound mail starts: in the thread of its conversation, when its turn has come."""

from __future__ import annotations

from approvals import outbox
from approvals.actions.telling import plan_entry
from approvals.models import ConversationThread, MailboxAssistant, OutboxEntry
from assistants import actions as assistant_actions
from assistants.models import Run
from audit.log import Entry
from mailboxes.models import Conversation, Email

PROMPT_SHOWN = 100_000  # characters of a mail; a run server takes no prompt of any length


def start_run_for(email: Email) -> list[Entry]:
    """Plan the run of mail that is let in, if its mailbox starts runs; in the same transaction."""
    if email.quiet_reason or not email.mailbox.starts_runs:
        return []
    link = MailboxAssistant.objects.filter(mailbox=email.mailbox, answers_inbound=True).first()
    if link is None:
        return []
    run = assistant_actions.plan_run(
        link.assistant,
        cause=Run.Cause.INBOUND,
        prompt=_prompt(email),
        start_key=email.pk,
        mailbox_id=email.mailbox_id,
        email_id=email.pk,
        conversation_id=email.conversation_id,
        # its place in the line is that of the mail
        created_at=email.created_at,
    )
    outbox.enqueue(OutboxEntry.Kind.START_RUN, run.pk)
    return [plan_entry(run)]


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


def thread_of(run: Run) -> str:
    """The thread in which `run` goes on, or "" for a new one."""
    if run.thread_id or not run.conversation_id:
        return run.thread_id
    known = ConversationThread.objects.filter(
        conversation=run.conversation_id, assistant=run.assistant_id, connection=run.connection_id
    )
    return known.values_list("thread_id", flat=True).first() or ""


def keep_thread(conversation: Conversation | str, run: Run) -> None:
    """The conversation goes on in the thread of `run`, unless it has one of the same assistant."""
    conversation_id = conversation.pk if isinstance(conversation, Conversation) else conversation
    if not (conversation_id and run.thread_id and run.connection_id):
        return
    ConversationThread.objects.get_or_create(
        conversation_id=conversation_id,
        assistant_id=run.assistant_id,
        connection_id=run.connection_id,
        defaults={"thread_id": run.thread_id},
    )


def forget_thread(run: Run) -> None:
    """It is gone at the far side: whatever comes next begins a new one."""
    ConversationThread.objects.filter(
        assistant=run.assistant_id, connection=run.connection_id, thread_id=run.thread_id
    ).delete()
