"""The mail server: aiosmtpd, with its own way of reading and keeping a message, and limits for each peer."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
import time
from typing import Any, cast
from urllib.parse import urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from config.receiving.limits import Limits
from config.receiving.reading import Body, read_body
from config.receiving.storing import Closed, Letter, Store
from mailboxes import addressing
from mailboxes.models import RawMessage

log = logging.getLogger("counterseal.smtp")

STORED = "250 2.0.0 Stored"
KNOWN = "250 2.1.5 Recipient known"
UNKNOWN = "550 5.1.1 No such mailbox here"
TROUBLE = "451 4.3.0 Not stored; try again later"
BUSY = "421 4.7.0 Too many connections; try again later"
SLOW_DOWN = "450 4.7.1 Too many messages in a minute; try again later"
NOBODY = "503 5.5.1 Name a recipient first"
TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients in one message"
MOST_RECIPIENTS = 100
KNOWN_FOR = 2.0  # seconds
REMEMBERED = 1_000  # addresses
IDLE = 60  # seconds
PLAIN_PATH = re.compile(r"\s*<([A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,255})>\s*(.*)$")
# what is under way and not stored yet, in messages of the largest size
AT_ONCE = 4


class Receiver:
    """What aiosmtpd asks about."""

    def __init__(self) -> None:
        # until when an address is known to be a mailbox's; whether it still is, the transaction asks again
        self._known: dict[str, float] = {}

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return TOO_MANY_RECIPIENTS
        now = time.monotonic()
        if self._known.get(address, now) <= now:
            try:
                known = await asyncio.to_thread(_is_known, address)
            except Exception:
                log.exception("a recipient could not be looked up")
                return TROUBLE
            if not known:
                return UNKNOWN
            self._remember(address, now)
        envelope.rcpt_tos.append(address)
        return KNOWN

    def _remember(self, address: str, now: float) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[address] = now + KNOWN_FOR

    async def handle_exception(self, error: Exception) -> str:
        log.error("a connection is in trouble", exc_info=error)
        return TROUBLE


def _is_known(address: str) -> bool:
    try:
        return addressing.find_mailbox(address) is not None
    finally:
        connections.close_all()


class SmtpSession(SMTP):
    """One connection by SMTP."""

    source = RawMessage.Source.SMTP
    # the reader's buffer, and with it the pieces in which a message is read
    line_length_limit = 65_536

    def __init__(self, handler: Any, limits: Limits, store: Store, **options: Any) -> None:
        super().__init__(handler, **options)
        self._limits, self._store = limits, store
        self._peer: str | None = None  # once it is let in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._peer is None:
            peer = _address(transport)
            if not self._limits.connect(peer):
                return _turn_away(transport)
            self._peer = peer
        # otherwise it is made again, inside TLS
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._peer is not None:
            self._limits.disconnect(self._peer)
            self._peer = None
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        return super().eof_received() if self._peer is not None else False

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """An ordinary address takes aiosmtpd a thirtieth of a message's whole time to take apart."""
        plain = PLAIN_PATH.match(arg)
        return (plain[1], plain[2]) if plain else super()._getaddr(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:
        if self._limits.may_send(self._peer or ""):
            await super().smtp_MAIL(arg)
        else:
            await self.push(SLOW_DOWN)

    async def smtp_DATA(self, arg: str | None) -> None:
        envelope = self.envelope
        if await self.check_helo_needed():
            return
        if arg or envelope is None or not envelope.rcpt_tos:
            await self.push("501 5.5.4 Syntax: DATA" if arg else NOBODY)
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        async with Body(self._limits, self.data_size_limit or 0) as body:
            await read_body(self._reader, body, self._reset_timeout)
            self._set_post_data_state()  # type: ignore[no-untyped-call]
            recipients = list(dict.fromkeys(envelope.rcpt_tos))
            replies = await self._replies(_sender(envelope), recipients, body)
        for reply in replies:
            await self.push(reply)

    async def _replies(self, sender: str, recipients: list[str], body: Body) -> list[str]:
        """One, for all recipients."""
        if body.refusal:
            return [body.refusal]
        return [await self._kept(Letter(sender, recipients, body.content(), self.source))]

    async def _kept(self, letter: Letter) -> str:
        try:
            # whoever hangs up meanwhile has its message stored all the same
            await asyncio.shield(asyncio.wrap_future(self._store.put(letter)))
        except Closed:
            log.warning("a mailbox was closed between RCPT and DATA")
            return TROUBLE
        except Exception:
            return TROUBLE  # why is in the log
        return STORED


class LmtpSession(LMTP, SmtpSession):
    """One connection by LMTP: each recipient has a fate of its own."""

    source = RawMessage.Source.LMTP

    async def _replies(self, sender: str, recipients: list[str], body: Body) -> list[str]:
        if body.refusal:
            return [body.refusal] * len(recipients)
        data = body.content()
        letters = [Letter(sender, [one], data, self.source) for one in recipients]
        return list(await asyncio.gather(*map(self._kept, letters)))


def _address(transport: asyncio.BaseTransport) -> str:
    """Of the peer; "" behind a socket in the file system."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _turn_away(transport: asyncio.BaseTransport) -> None:
    transport = cast("asyncio.Transport", transport)
    transport.write(f"{BUSY}\r\n".encode())
    transport.close()


def _sender(envelope: Envelope) -> str:
    """Empty for a bounce, which aiosmtpd writes as `<>`."""
    return (envelope.mail_from or "").strip("<>")


class Certificate:
    """The context for STARTTLS, read again when the file has changed: certificates are renewed."""

    def __init__(self, setting: str) -> None:
        chain, _, key = (part.strip() for part in setting.partition(","))
        self._files = (chain, key or chain) if chain else None
        self._read_at: tuple[float, ...] = ()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | None:
        if self._files is None:
            return None
        try:
            changed_at = tuple(os.stat(one).st_mtime for one in self._files)
            if changed_at != self._read_at:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(*self._files)
                self._context, self._read_at = context, changed_at
        except OSError as error:
            if self._context is None:
                raise ImproperlyConfigured(f"SMTP_CERTIFICATE can't be read: {error}") from error
            log.warning("SMTP_CERTIFICATE can't be read again: %s", error)
        return self._context


def default_limits() -> Limits:
    return Limits(per_minute=settings.SMTP_PEER_RATE, octets=AT_ONCE * settings.MAX_MESSAGE_BYTES)


class MailServer(Controller):
    """An event loop and a thread of its own. Port 0 picks a free one; see `.port`."""

    def __init__(
        self, host: str, port: int, *, session: type[SmtpSession] = SmtpSession, limits: Limits | None = None
    ) -> None:
        self._session, self._limits = session, limits or default_limits()
        self._certificate = Certificate(settings.SMTP_CERTIFICATE)
        self._certificate.context()
        self._store = Store()
        super().__init__(
            Receiver(),
            hostname=host,
            port=port,
            data_size_limit=settings.MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=False,
            timeout=IDLE,
            ident="Counterseal",
            # otherwise asked of DNS, which may take its time
            server_hostname=urlsplit(settings.PUBLIC_URL).hostname or "localhost",
        )

    def factory(self) -> SmtpSession:
        options = self.SMTP_kwargs | {"tls_context": self._certificate.context()}
        return self._session(self.handler, self._limits, self._store, loop=self.loop, **options)

    def start(self) -> None:
        super().start()
        self._store.start()

    def stop(self, no_assert: bool = False) -> None:
        """Nothing new is taken; what was handed over is still stored."""
        super().stop(no_assert)
        self._store.stop()

    def _trigger_server(self) -> None:
        # aiosmtpd connects to `self.port` once, which must be the real one by now
        for sock in cast("asyncio.Server", self.server).sockets:
            self.port = sock.getsockname()[1]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._trigger_server()  # type: ignore[no-untyped-call]
