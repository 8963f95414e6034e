"""Mail fetched from IMAP servers: each message is kept together with the place from which reading goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from approvals import gate
from mailboxes import imap
from mailboxes.imap import Account, Folder, ImapError, Letter
from mailboxes.models import ImapSource, RawMessage

MOST = 50  # messages in one commit
MOST_OCTETS = 8_000_000
UNREADABLE = "Its password can't be read, because SECRET_KEY has changed: enter it anew."


class Overtaken(Exception):
    """Somebody else reads the same folder, or its settings were changed."""


def fetch(source: ImapSource) -> int:
    """Take what is new. Returns how many messages that were."""
    with _opened(source) as folder:
        return _take_new(source, folder)


def follow(source: ImapSource, is_stopping: Callable[[], bool]) -> None:
    """Take what is new as soon as the server tells of it, until it is stopped or its settings change."""
    with _opened(source) as folder:
        while not is_stopping() and _is_current(source):
            _take_new(source, folder)
            folder.wait(is_stopping)


def note_trouble(source: ImapSource, error: str) -> None:
    ImapSource.objects.filter(pk=source.pk).update(last_error=error[:500])


def _opened(source: ImapSource) -> AbstractContextManager[Folder]:
    try:
        return imap.opened(Account.from_url(source.url))
    except InvalidToken:
        raise ImapError(UNREADABLE) from None


def _is_current(source: ImapSource) -> bool:
    same = ImapSource.objects.filter(pk=source.pk, url_encrypted=source.url_encrypted)
    return same.filter(mailbox__is_active=True).exists()


def _take_new(source: ImapSource, folder: Folder) -> int:
    _find_place(source, folder)
    taken = 0
    for letters in _batches(folder, _new(source, folder)):
        taken += _keep(source, letters)
    ImapSource.objects.filter(pk=source.pk).update(looked_at=timezone.now(), last_error="")
    return taken


def _new(source: ImapSource, folder: Folder) -> list[int]:
    """What was there before us is left alone even where the server numbered it anew."""
    uids = folder.after(source.last_uid)
    if source.takes_existing or source.last_uid + 1 >= source.known_below:
        return uids
    recent = set(folder.after(source.last_uid, source.begun_at))
    return [uid for uid in uids if uid >= source.known_below or uid in recent]


def _find_place(source: ImapSource, folder: Folder) -> None:
    """At the end of what is there, or at its beginning; there too, where the server numbers it anew."""
    if source.uid_validity == folder.uid_validity:
        return
    is_first = source.uid_validity is None
    last = folder.uid_next - 1 if is_first and not source.takes_existing else 0
    found = {"uid_validity": folder.uid_validity, "last_uid": last}
    found["known_below"] = 0 if is_first else folder.uid_next
    _move(source, **found, begun_at=source.begun_at or timezone.now())


def _move(source: ImapSource, **values: object) -> None:
    """The cursor is the fence: of two that read the same folder, one goes on."""
    here = ImapSource.objects.filter(
        pk=source.pk,
        url_encrypted=source.url_encrypted,
        uid_validity=source.uid_validity,
        last_uid=source.last_uid,
    )
    if not here.update(**values):
        raise Overtaken(f"{source} is read by somebody else, or was changed.")
    for name, value in values.items():
        setattr(source, name, value)


def _batches(folder: Folder, uids: list[int]) -> Iterator[list[Letter]]:
    """An oversized message comes cut one octet behind the limit, and is flagged as too large by that."""
    batch: list[Letter] = []
    for uid in uids:
        data = folder.read(uid, settings.MAX_MESSAGE_BYTES + 1)
        if data is not None:
            batch.append(Letter(uid, data))
        if len(batch) >= MOST or sum(len(one.data) for one in batch) >= MOST_OCTETS:
            yield batch
            batch = []
    if batch:
        yield batch


def _keep(source: ImapSource, letters: list[Letter]) -> int:
    """The messages and the place behind them, or neither."""
    box = source.mailbox
    with transaction.atomic():
        new = [one for one in letters if not _is_known(source, one)]
        gate.receive_all(
            [gate.Arrival(box, "", box.address, one.data, RawMessage.Source.IMAP) for one in new]
        )
        _move(source, last_uid=letters[-1].uid)
    return len(new)


def _is_known(source: ImapSource, letter: Letter) -> bool:
    """Taken before, under another number."""
    if letter.uid >= source.known_below:
        return False
    digest = hashlib.sha256(letter.data).hexdigest()
    return RawMessage.objects.filter(mailbox=source.mailbox_id, digest=digest).exists()
