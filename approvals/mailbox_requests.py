"""New mailboxes that keys ask for: the first is made at once, a later one when a person relays a code."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from approvals.errors import Conflict, Invalid, NotPermitted
from approvals.models import KeyMailbox, MailboxAssistant, OperatorRequest
from approvals.permissions import check_scope
from assistants.models import ApiKey, Scope
from audit import log
from audit.log import Entry, Subject
from audit.models import Event
from audit.secrets import decrypt, encrypt
from mailboxes import headers
from mailboxes.envelope import normalize_address
from mailboxes.models import Mailbox, OversightMode

CODE_LIFETIME = timedelta(hours=24)
MAX_ATTEMPTS = 5
MAX_OPEN_REQUESTS = 10
# no letter or digit that is read for another
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`address`: whole, or its local part only, for the domain of the key's first mailbox."""

    address: str
    display_name: str = ""
    oversight_mode: str = OversightMode.GATED_SEND


def create_by_key(wanted: Wanted, code: str = "", *, by: ApiKey) -> Mailbox | OperatorRequest:
    """The mailbox; or the request, whose code a person must relay with the same call."""
    check_scope(by, Scope.ADMIN)
    wanted = _checked(wanted, by)
    if Mailbox.objects.filter(address=wanted.address).exists():
        raise _taken(wanted.address)
    if code:
        return _redeem(wanted, code, by)
    return _create_first(wanted, by) or _request(wanted, by)


def open_code(request: OperatorRequest) -> str:
    """For the administrator's eyes; "" once it can no longer be used."""
    usable = (
        request.used_at is None and request.expires_at > timezone.now() and request.attempts < MAX_ATTEMPTS
    )
    return decrypt(request.code_encrypted) if usable else ""


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
    return Wanted(address, display_name, mode.value)


def _domain_of(key: ApiKey) -> str:
    first = Mailbox.objects.visible_to(key).order_by("pk").first()
    if first is None:
        raise _invalid(
            "address", "Give the whole address: this key has no mailbox yet whose domain would serve."
        )
    return first.domain


def _create_first(wanted: Wanted, key: ApiKey) -> Mailbox | None:
    """None if the key has made one before. The UPDATE decides which of two firsts was first."""
    with transaction.atomic():
        if not ApiKey.objects.filter(pk=key.pk, made_mailbox=False).update(made_mailbox=True):
            return None
        return _create(wanted, key)


def _create(wanted: Wanted, key: ApiKey) -> Mailbox:
    """It joins the key's mailboxes and its assistant's."""
    try:
        with transaction.atomic():
            mailbox = Mailbox.objects.create(**asdict(wanted))
    except IntegrityError:
        raise _taken(wanted.address) from None
    KeyMailbox.objects.create(key=key, mailbox=mailbox)
    if key.assistant:
        MailboxAssistant.objects.create(assistant=key.assistant, mailbox=mailbox)
    log.record(
        Entry(Event.Action.MAILBOX_CREATED, Subject(mailbox_id=mailbox.pk), asdict(wanted)), by=key.actor
    )
    return mailbox


def _open_requests(key: ApiKey) -> list[OperatorRequest]:
    open_ones = OperatorRequest.objects.filter(
        key=key, action=OperatorRequest.Action.CREATE_MAILBOX, used_at=None, expires_at__gt=timezone.now()
    )
    return list(open_ones.filter(attempts__lt=MAX_ATTEMPTS).order_by("-pk"))


def _request(wanted: Wanted, key: ApiKey) -> OperatorRequest:
    """Asking again for the same finds the request that is open already."""
    requests = _open_requests(key)
    if same := next((request for request in requests if request.params == asdict(wanted)), None):
        return same
    if len(requests) >= MAX_OPEN_REQUESTS:
        raise Conflict(
            "Too many requests of this key wait for an administrator already.", "too_many_requests"
        )
    now = timezone.now()
    with transaction.atomic():
        request = OperatorRequest.objects.create(
            key=key,
            action=OperatorRequest.Action.CREATE_MAILBOX,
            params=asdict(wanted),
            code_encrypted=encrypt(_new_code()),
            created_at=now,
            expires_at=now + CODE_LIFETIME,
        )
        log.record(Entry(Event.Action.MAILBOX_REQUESTED, payload=asdict(wanted)), by=key.actor)
    return request


def _redeem(wanted: Wanted, code: str, key: ApiKey) -> Mailbox:
    request = next((r for r in _open_requests(key) if r.params == asdict(wanted)), None)
    if request is None:
        raise NotPermitted(
            "No request for this mailbox is open; ask without a code first.", "no_open_request"
        )
    # counted before the comparison, and by the database, so that parallel guesses are counted too
    counted = OperatorRequest.objects.filter(pk=request.pk, attempts__lt=MAX_ATTEMPTS, used_at=None)
    if not counted.update(attempts=F("attempts") + 1) or not _matches(request, code):
        raise NotPermitted("This is not the code that the administrator was shown.", "wrong_approval_code")
    with transaction.atomic():
        if not OperatorRequest.objects.filter(pk=request.pk, used_at=None).update(used_at=timezone.now()):
            raise NotPermitted("This code has been used.", "wrong_approval_code")
        return _create(wanted, key)


def _matches(request: OperatorRequest, code: str) -> bool:
    return secrets.compare_digest(decrypt(request.code_encrypted).encode(), code.strip().upper().encode())


def _new_code() -> str:
    """Like A7X-29K."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(6))
    return f"{text[:3]}-{text[3:]}"


def _taken(address: str) -> Conflict:
    return Conflict(f"The address {address} is taken.", "address_taken")


def _invalid(field: str, message: str) -> Invalid:
    return Invalid([{"field": field, "code": "invalid", "message": message}])
