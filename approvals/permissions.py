"""Who may do what: check_x raises NotPermitted with a sentence, denial() asks for the sentence."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from approvals.errors import NotPermitted
from approvals.models import MailboxAssistant, OutboundMessage, User
from assistants.models import ApiKey, Assistant, Run, Scope
from mailboxes.models import Email, Mailbox

Decider = User | ApiKey
Sender = ApiKey | Assistant
Actor = User | ApiKey | Assistant


def denial(check: Callable[..., None], *args: Any) -> str:
    """Why `check` says no, or "" when it does not: the text for a button that is off."""
    try:
        check(*args)
    except NotPermitted as refusal:
        return refusal.sentence
    return ""


def check_reach(actor: Actor, mailbox: Mailbox) -> None:
    # who reaches all has an empty condition, and no query is needed to know it
    if actor.mailbox_reach("pk") and not Mailbox.objects.visible_to(actor).filter(pk=mailbox.pk).exists():
        raise NotPermitted(f"{mailbox.address} is not among your mailboxes.")


def check_decide(actor: Decider, thing: OutboundMessage | Email) -> None:
    email = thing.email if isinstance(thing, OutboundMessage) else thing
    if isinstance(actor, User):
        if not (actor.is_active and actor.is_reviewer):
            raise NotPermitted("Deciding takes the reviewer role, which you do not have.")
    else:
        check_scope(actor, Scope.OVERSIGHT)
    check_reach(actor, email.mailbox)


def check_settle(actor: User, message: OutboundMessage) -> None:
    """Settling, retrying: an administrator, or someone who may decide there."""
    if not (actor.is_active and (actor.is_administrator or actor.is_reviewer)):
        raise NotPermitted("Settling a delivery takes the administrator or the reviewer role.")
    check_reach(actor, message.email.mailbox)


def check_cancel(actor: Actor, message: OutboundMessage) -> None:
    if isinstance(actor, User):
        return check_settle(actor, message)
    return check_send(actor, message.email.mailbox)


def check_send(actor: Sender, mailbox: Mailbox) -> None:
    check_scope(actor, Scope.SEND)
    check_reach(actor, mailbox)


def check_administer(actor: User | ApiKey, mailbox: Mailbox | None = None) -> None:
    """Without a mailbox: something that concerns them all."""
    if isinstance(actor, ApiKey):
        return _check_administering_key(actor, mailbox)
    if not (actor.is_active and actor.is_administrator):
        raise NotPermitted("This takes the administrator role, which you do not have.")
    if mailbox is not None:
        check_reach(actor, mailbox)
    elif not actor.all_mailboxes:
        raise NotPermitted("This concerns all mailboxes, and you administer only some.")


def check_manage_key(actor: User | ApiKey, boxes: Collection[str], *, all_mailboxes: bool = False) -> None:
    """`boxes`: the ids of those that a key works in. Who administers some manages the keys of these alone."""
    if isinstance(actor, ApiKey) or actor.all_mailboxes:
        return check_administer(actor)
    if not (actor.is_active and actor.is_administrator):
        raise NotPermitted("This takes the administrator role, which you do not have.")
    within = Mailbox.objects.visible_to(actor).filter(pk__in=boxes).count()
    if all_mailboxes or not boxes or within < len(set(boxes)):
        raise NotPermitted("You administer some mailboxes, and this key works, or would work, beyond them.")


def check_all_mailboxes(key: ApiKey) -> None:
    """For what can't be cut to some mailboxes: the account, its keys, its domains."""
    if not key.all_mailboxes:
        raise NotPermitted(
            "This concerns all mailboxes: it takes an integration's key over all of them.",
            "needs_all_mailboxes",
        )


def _check_administering_key(key: ApiKey, mailbox: Mailbox | None) -> None:
    check_scope(key, Scope.ADMIN)
    if mailbox is not None:
        check_reach(key, mailbox)
    else:
        check_all_mailboxes(key)


def check_start_run(actor: User, assistant: Assistant) -> None:
    if not (actor.is_active and (actor.is_administrator or actor.is_reviewer)):
        raise NotPermitted("Starting a run takes the administrator or the reviewer role.")
    within = MailboxAssistant.objects.filter(actor.mailbox_reach("mailbox"), assistant=assistant)
    if not actor.all_mailboxes and not within.exists():
        raise NotPermitted(f"{assistant.name} works in no mailbox of yours.")


def check_drive(actor: User, run: Run) -> None:
    """Adopting a run, retrying its resume, telling it more: as starting one."""
    check_start_run(actor, run.assistant)
    if not Run.objects.visible_to(actor).filter(pk=run.pk).exists():
        raise NotPermitted("This run is about a mailbox that is not among yours.")


def check_adopt(actor: User | ApiKey, assistant: Assistant) -> None:
    """A run that we drive has all the rights of its assistant: a key with fewer must not gain them so."""
    if isinstance(actor, User):
        return check_start_run(actor, assistant)
    check_scope(actor, Scope.SEND)
    if actor.assistant_id != assistant.pk:
        raise NotPermitted("A key adopts runs of its own assistant only.")
    beyond = Mailbox.objects.visible_to(assistant).exclude(actor.mailbox_reach("pk"))
    missing = [
        scope for scope in (Scope.READ, Scope.SEND) if assistant.has_scope(scope) > actor.has_scope(scope)
    ]
    if missing or beyond.exists():
        raise NotPermitted(
            f"Counterseal would drive the run with all rights of {assistant.name}, and this key has fewer."
        )


def check_scope(actor: Sender | ApiKey, scope: Scope) -> None:
    if not actor.has_scope(scope):
        raise NotPermitted(
            f"This needs the scope {scope.value}, which the key does not have.", "missing_scope"
        )
