"""New mailboxes that keys ask for: the first is made at once, a later one when a person relays a code."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from django.db import IntegrityError, transaction

from approvals import quotas
from approvals.actions.mailbox_hooks import HOOKS, new_hooks, set_hooks
from approvals.errors import Conflict, Invalid
from approvals.models import KeyMailbox, MailboxAssistant, OperatorRequest, User
from approvals.operator_requests import done_or_asked
from approvals.permissions import check_scope
from assistants.models import ApiKey, Scope
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from mailboxes import headers
from mailboxes.envelope import normalize_address
from mailboxes.models import Mailbox, OversightMode


@dataclass(frozen=True, slots=True)
class Wanted:
    """`address`: whole, or its local part only, for the domain of the key's first mailbox."""

    address: str
    display_name: str = ""
    oversight_mode: str = OversightMode.GATED_SEND
    # webhooks of it, by the names of HOOKS
    webhook_url: str = ""
    oversight_webhook_url: str = ""

    @property
    def hooks(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in HOOKS if getattr(self, name)}

    @property
    def told(self) -> dict[str, str]:
        plain = {name: value for name, value in asdict(self).items() if name not in HOOKS}
        return {**plain, **self.hooks}


@dataclass(frozen=True, slots=True)
class Created:
    """`secrets`: of its webhooks, shown this once."""

    mailbox: Mailbox
    secrets: dict[str, str]


def create_by_key(wanted: Wanted, code: str = "", *, by: ApiKey) -> Created | OperatorRequest:
    """The mailbox; or the request, whose code a person must relay with the same call."""
    check_scope(by, Scope.ADMIN)
    wanted = _checked(wanted, by)
    if Mailbox.objects.filter(address=wanted.address).exists():
        raise _taken(wanted.address)
    if not code and (first := _create_first(wanted, by)):
        return first
    action = OperatorRequest.Action.CREATE_MAILBOX
    return done_or_asked(action, wanted.told, code, by=by, do=lambda: _create(wanted, by))


def _checked(wanted: Wanted, key: ApiKey) -> Wanted:
    address = wanted.address if "@" in wanted.address else f"{wanted.address}@{_domain_of(key)}"
    try:
        address = normalize_address(address).lower()
    except ValueError as error:
        raise _invalid("address", str(error)) from error
    try:
        display_name = headers.clean(wanted.display_name)
    except ValueError as error:
        raise _invalid("display_name", f"The display name {error}.") from error
    mode = OversightMode(wanted.oversight_mode)
    if OversightMode.GATED_SEND.is_stricter_than(mode):
        mode = OversightMode.GATED_SEND
    new_hooks(None, wanted.hooks)
    return replace(wanted, address=address, display_name=display_name, oversight_mode=mode.value)


def _domain_of(key: ApiKey) -> str:
    first = Mailbox.objects.visible_to(key).order_by("pk").first()
    if first is None:
        raise _invalid(
            "address", "Give the whole address: this key has no mailbox yet whose domain would serve."
        )
    return first.domain


def _create_first(wanted: Wanted, key: ApiKey) -> Created | None:
    """None if the key has made one before. The UPDATE decides which of two firsts was first."""
    with transaction.atomic():
        if not ApiKey.objects.filter(pk=key.pk, made_mailbox=False).update(made_mailbox=True):
            return None
        return _create(wanted, key, made_first=True)


def create_for(key: ApiKey, wanted: Wanted, *, by: User) -> Created:
    """What the key asked for, made by an administrator."""
    with transaction.atomic():
        return _create(wanted, key, by=by)


def _create(wanted: Wanted, key: ApiKey, *, made_first: bool = False, by: User | None = None) -> Created:
    """It joins the key's mailboxes and its assistant's."""
    quotas.check_mailboxes()
    try:
        with transaction.atomic():
            mailbox = Mailbox.objects.create(
                address=wanted.address,
                display_name=wanted.display_name,
                oversight_mode=wanted.oversight_mode,
            )
    except IntegrityError:
        raise _taken(wanted.address) from None
    KeyMailbox.objects.create(key=key, mailbox=mailbox, made_first=made_first)
    if key.assistant:
        MailboxAssistant.objects.create(assistant=key.assistant, mailbox=mailbox)
    secrets, hooked = set_hooks(mailbox, wanted.hooks, key=key, by=by or key)
    made = Entry(Event.Action.MAILBOX_CREATED, Subject(mailbox_id=mailbox.pk), wanted.told)
    log.record(made, *hooked, by=(by or key).actor)
    return Created(mailbox, secrets)


def _taken(address: str) -> Conflict:
    return Conflict(f"The address {address} is taken.", "address_taken")


def _invalid(field: str, message: str) -> Invalid:
    return Invalid([{"field": field, "code": "invalid", "message": message}])
