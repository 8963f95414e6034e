"""Changing what is in force: a mailbox's mode, and holding everything."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from approvals.actions.decide import checked_reason
from approvals.actions.dispatch import ON_ITS_WAY, return_to_pending
from approvals.errors import Invalid
from approvals.models import OutboundMessage, User
from approvals.permissions import check_administer
from assistants.models import ApiKey
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes.models import Account, Mailbox, OversightMode


def set_mode(mailbox: Mailbox, mode: str, *, by: User | ApiKey) -> None:
    check_administer(by, mailbox)
    with transaction.atomic():
        entries = change_mode(mailbox, mode)
        if entries:
            log.record(*entries, by=by.actor)


def change_mode(mailbox: Mailbox, mode: str) -> list[Entry]:
    """The change without its record, for a caller that has more to do in the same transaction.

    Tightening undoes releases made by the policy that have not left; read_only takes back a person's
    approval too.
    """
    new = checked_mode(mode)
    old = Mailbox.objects.select_for_update(no_key=True).get(pk=mailbox.pk).oversight_mode
    if old == new:
        return []
    Mailbox.objects.filter(pk=mailbox.pk).update(oversight_mode=new)
    mailbox.oversight_mode = new
    entries = [
        Entry(Event.Action.MAILBOX_MODE_CHANGED, Subject(mailbox_id=mailbox.pk), {"from": old, "to": new})
    ]
    if new.is_stricter_than(old):
        waiting = _on_its_way(mailbox)
        if new != OversightMode.READ_ONLY:
            waiting = [message for message in waiting if message.released_mode]
        entries += _take_all_back(waiting, f"{mailbox.address} was tightened to {new}.")
    return entries


def checked_mode(mode: str) -> OversightMode:
    if mode not in OversightMode.values:
        message = f"“{mode}” is not one of {', '.join(OversightMode.values)}."
        raise Invalid([{"field": "oversight_mode", "code": "unknown_mode", "message": message}])
    if mode == OversightMode.MONITORED and not Account.objects.exclude(oversight_email="").exists():
        message = "A monitored mailbox needs an oversight address for its copies; set one first."
        raise Invalid([{"field": "oversight_mode", "code": "no_oversight_address", "message": message}])
    return OversightMode(mode)


def hold(mailbox: Mailbox | None, *, by: User, reason: str) -> int:
    """Hold everything now, in one mailbox or (None) in all. Returns how many messages were taken back."""
    check_administer(by, mailbox)
    reason = checked_reason(reason)[:500]
    with transaction.atomic():
        if mailbox is None:
            Account.objects.get_or_create(pk=1)
            Account.objects.filter(pk=1).update(held_at=timezone.now(), held_reason=reason)
        else:
            Mailbox.objects.filter(pk=mailbox.pk).update(held_at=timezone.now(), held_reason=reason)
        taken = _take_all_back(_on_its_way(mailbox), f"Everything is held: {reason or 'no reason given'}")
        subject = Subject(mailbox_id=mailbox.pk if mailbox else "")
        log.record(Entry(Event.Action.MAILBOX_HELD, subject, {"reason": reason}), *taken, by=by.actor)
    return len(taken)


def lift_hold(mailbox: Mailbox | None, *, by: User) -> None:
    """What was taken back stays with the reviewers."""
    check_administer(by, mailbox)
    with transaction.atomic():
        if mailbox is None:
            Account.objects.filter(pk=1).update(held_at=None, held_reason="")
        else:
            Mailbox.objects.filter(pk=mailbox.pk).update(held_at=None, held_reason="")
        subject = Subject(mailbox_id=mailbox.pk if mailbox else "")
        log.record(Entry(Event.Action.MAILBOX_HOLD_LIFTED, subject), by=by.actor)


def _on_its_way(mailbox: Mailbox | None) -> list[OutboundMessage]:
    found = OutboundMessage.objects.filter(status__in=ON_ITS_WAY).select_related("email__mailbox")
    found = found.order_by("pk")  # two who hold at once lock the rows in one order
    return list(found.filter(email__mailbox=mailbox) if mailbox else found)


def _take_all_back(messages: list[OutboundMessage], reason: str) -> list[Entry]:
    return [entry for message in messages for entry in return_to_pending(message, (reason,))]
