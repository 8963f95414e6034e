"""Reads a folder on an IMAP server, and changes nothing there: it is opened with EXAMINE.

Messages come as bytes. Nothing here looks into them.
"""

from __future__ import annotations

import imaplib
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from imap_tools import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError

TIMEOUT = 30.0  # seconds, of each step
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORTS = {"imaps": 993, "imap": 143}
# how long the server is listened to before it is asked again, in case it tells nothing
LISTEN = 240.0
STEP = 2.0
# without IDLE
POLL = 30.0
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,15})")
_UID = re.compile(rb"UID (\d{1,15})")


class ImapError(Exception):
    """With a sentence for the administrator."""


@dataclass(frozen=True, slots=True)
class Account:
    """`security`: tls from the start, starttls, or none (which a server on loopback may have)."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    folder: str = "INBOX"
    security: str = "tls"

    @classmethod
    def from_url(cls, url: str) -> Account:
        """imaps://user:password@host[:port][/folder]; imap:// for STARTTLS, with ?tls=none for no TLS."""
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS[parts.scheme]
        except (ValueError, KeyError):
            raise ImproperlyConfigured("It must look like imaps://user:password@host/folder.") from None
        if not parts.hostname or not parts.username or parts.query not in ("", "tls=none"):
            raise ImproperlyConfigured("It must look like imaps://user:password@host/folder.")
        security = "tls" if parts.scheme == "imaps" else "none" if parts.query else "starttls"
        if security == "none" and parts.hostname not in LOOPBACK:
            raise ImproperlyConfigured("A password goes without TLS only to a server on this machine.")
        folder = unquote(parts.path.lstrip("/")) or "INBOX"
        user, password = unquote(parts.username), unquote(parts.password or "")
        return cls(parts.hostname, port, user, password, folder, security)

    def __str__(self) -> str:
        how = {"tls": "TLS", "starttls": "STARTTLS", "none": "no TLS"}[self.security]
        return f"{self.folder} of {self.user} at {self.host}:{self.port} ({how})"


@dataclass(frozen=True, slots=True)
class Letter:
    uid: int
    data: bytes


class Folder:
    """An open folder. Any trouble with the server is an ImapError, and the end of this."""

    def __init__(self, box: BaseMailBox, name: str) -> None:
        self._box = box
        with _told():
            # before it is opened, because some servers count only what came since
            numbers = box.folder.status(name, ["UIDVALIDITY", "UIDNEXT"])
            box.folder.set(name, readonly=True)
            self._can_idle = b"IDLE" in b" ".join(box.client.capability()[1]).upper()
        self.uid_validity, self.uid_next = numbers["UIDVALIDITY"], numbers["UIDNEXT"]

    def after(self, uid: int, since: datetime | None = None) -> list[int]:
        """The places of the messages behind `uid`, in order; those that came `since`, if it is given."""
        # a day early, because servers count days in zones of their own
        early = f" SINCE {_date(since - timedelta(days=1))}" if since else ""
        with _told():
            found = self._box.uids(f"UID {uid + 1}:*{early}")
        # `*` is the last one, even where that stands before the first that was asked for
        return sorted({int(one) for one in found if int(one) > uid})

    def sizes(self, uids: Sequence[int]) -> dict[int, int]:
        with _told():
            found = self._fetch(",".join(map(str, uids)), "(UID RFC822.SIZE)")
        lines = [line if isinstance(line, bytes) else line[0] for line in found if line]
        pairs = [(_UID.search(line), _SIZE.search(line)) for line in lines]
        return {int(uid[1]): int(size[1]) for uid, size in pairs if uid and size}

    def read(self, uid: int, most: int) -> bytes | None:
        """The first `most` octets; None if it is gone."""
        with _told():
            found = self._fetch(str(uid), f"(BODY.PEEK[]<0.{most}>)")
        return next((bytes(one[1]) for one in found if isinstance(one, tuple)), None)

    def wait(self, is_stopping: Callable[[], bool]) -> None:
        """Until something may be new, or it is time to look again."""
        if not self._can_idle:
            return _pause(POLL, is_stopping)
        with _told():
            self._box.idle.start()  # type: ignore[no-untyped-call]
            end = time.monotonic() + LISTEN
            try:
                while time.monotonic() < end and not is_stopping():
                    if self._box.idle.poll(timeout=STEP):
                        break
            finally:
                self._box.idle.stop()  # type: ignore[no-untyped-call]

    def _fetch(self, uids: str, what: str) -> list[Any]:
        status, found = self._box.client.uid("fetch", uids, what)
        if status != "OK":
            raise ImapError(f"The server refused to hand over messages: {status}.")
        return list(found)


@contextmanager
def opened(account: Account) -> Iterator[Folder]:
    with _told():
        box = _connected(account)
    try:
        with _told():
            box.login(account.user, account.password, initial_folder=None)
        yield Folder(box, account.folder)
    finally:
        with suppress(Exception):
            box.client.shutdown()


def _connected(account: Account) -> BaseMailBox:
    where = {"host": account.host, "port": account.port, "timeout": TIMEOUT}
    if account.security == "none":
        return MailBoxUnencrypted(**where)
    kind = MailBox if account.security == "tls" else MailBoxStartTls
    return kind(**where, ssl_context=ssl.create_default_context())


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ImapToolsError as error:
        # its words hold what the server said, and never the password
        raise ImapError(f"The IMAP server refused: {str(error)[:200]}") from error
    except ssl.SSLError as error:
        raise ImapError(f"TLS with the IMAP server failed: {error.reason or error}.") from error
    except (imaplib.IMAP4.error, OSError) as error:
        raise ImapError(
            f"The IMAP server can't be used: {str(error)[:200] or type(error).__name__}."
        ) from error
    except (KeyError, ValueError) as error:
        raise ImapError(f"The IMAP server answers oddly ({type(error).__name__}).") from error


def _pause(seconds: float, is_stopping: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not is_stopping():
        time.sleep(min(STEP, max(0.0, end - time.monotonic())))


def _date(at: datetime) -> str:
    """In English, whatever the locale."""
    return f"{at.day}-{MONTHS[at.month - 1]}-{at.year}"
