"""The receiving mail server. It answers 250 only after what it got is committed."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.conf import settings
from django.db import connections, transaction

from mailboxes.models import Mailbox

log = logging.getLogger("counterseal.smtp")
T = TypeVar("T")

UNKNOWN = "550 5.1.1 No such mailbox here"
TROUBLE = "451 4.3.0 Not stored; try again later"
STORED = "250 2.0.0 Stored"


def find_mailbox(address: str) -> Mailbox | None:
    return Mailbox.objects.filter(address=address.lower(), is_active=True).first()


def store(envelope_from: str, recipients: list[str], data: bytes) -> None:
    """One row per mailbox, all of them or none: whoever is told that it is stored forgets it."""
    from approvals import gate

    with transaction.atomic():
        mailboxes = {address: find_mailbox(address) for address in recipients}
        once = {mailbox: address for address, mailbox in mailboxes.items() if mailbox}
        if not all(mailboxes.values()):
            raise LookupError("A mailbox was closed between RCPT and DATA.")
        for mailbox, address in once.items():
            gate.receive(mailbox, envelope_from, address, data)


class Receiver:
    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        try:
            mailbox = await _in_thread(find_mailbox, address)
        except Exception:
            log.exception("a recipient could not be looked up")
            return TROUBLE
        if mailbox is None:
            return UNKNOWN
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient known"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        try:
            await _in_thread(store, _sender(envelope), list(envelope.rcpt_tos), content)
        except Exception:
            log.exception("a message could not be stored")
            return TROUBLE
        return STORED


def _sender(envelope: Envelope) -> str:
    """Empty for a bounce, which aiosmtpd writes as `<>`."""
    return (envelope.mail_from or "").strip("<>")


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    def call() -> T:
        try:
            return function(*args)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


class MailServer(Controller):
    """aiosmtpd on an event loop and a thread of its own. Port 0 picks a free one; see `.port`."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            Receiver(),
            hostname=host,
            port=port,
            data_size_limit=settings.MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=False,
            timeout=60,
            ident="Counterseal",
            # otherwise asked of DNS, which may take its time
            server_hostname=urlsplit(settings.PUBLIC_URL).hostname or "localhost",
        )

    def _trigger_server(self) -> None:
        # aiosmtpd connects to `self.port` once, which must be the real one by now
        for sock in cast("asyncio.Server", self.server).sockets:
            self.port = sock.getsockname()[1]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._trigger_server()  # type: ignore[no-untyped-call]
