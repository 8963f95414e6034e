"""One connection to a mail server, command by command, each step with a deadline of its own."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from mailboxes.deadlines import watch
from mailboxes.mime import check_wire

TIMEOUT = 30.0
_CHUNK = 65_536
MOST_MESSAGES = 100  # on one connection; many servers end it soon after that
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# smtplib raises the first two for the server's sake and ValueError for characters no command may hold
_FAILURES = (smtplib.SMTPException, OSError, ValueError)

Step = list[str]


class DeliveryError(Exception):
    """`permanent`: trying again is no use. `unknown`: the mail may have been accepted all the same."""

    def __init__(
        self,
        message: str,
        *,
        permanent: bool,
        unknown: bool = False,
        refused: Mapping[str, str] | None = None,
        steps: Sequence[Step] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent
        self.unknown = unknown
        self.refused = dict(refused or {})
        self.steps = list(steps)


@dataclass(frozen=True)
class Receipt:
    """The server's final reply, and every command and reply on the way to it."""

    reply: str
    steps: list[Step]


class Handover(Protocol):
    """Sender and all recipients are accepted; nothing has been sent yet."""

    steps: list[Step]

    def data(self, data: bytes) -> Receipt: ...


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    is_implicit_tls: bool = False
    # "starttls": when the server offers it; "required": or not at all; "none": never
    tls: str = "starttls"

    @property
    def is_loopback(self) -> bool:
        return self.host in _LOOPBACK

    @classmethod
    def from_url(cls, url: str) -> Server:
        """smtp[s]://[user:password@]host[:port][?tls=required|starttls|none]"""
        try:
            parts = urlsplit(url.strip())
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        query = dict(parse_qsl(parts.query)) if host else {}
        tls = query.pop("tls", "starttls")
        if not host or parts.scheme not in ("smtp", "smtps") or port == 0 or parts.path not in ("", "/"):
            raise ImproperlyConfigured(
                "EMAIL_URL must look like smtp://[user:password@]host:port or smtps://…; "
                "leave it empty to catch mail instead of sending it."
            )
        if query or tls not in ("required", "starttls", "none"):
            raise ImproperlyConfigured("EMAIL_URL takes only ?tls=required, ?tls=starttls or ?tls=none.")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        is_implicit = parts.scheme == "smtps"
        default = 465 if is_implicit else 587 if user else 25
        return cls(host, port or default, user, password, is_implicit, tls)


class Session:
    """One connection. Every step has a deadline of its own: a server that drips bytes gets no further."""

    def __init__(self, server: Server, timeout: float) -> None:
        self.steps: list[Step] = []
        self._server = server
        self._timeout = timeout
        self._smtp = _client(server, timeout)
        self._is_open = False
        self._late = False
        self._taken = 0  # messages

    @property
    def is_ready(self) -> bool:
        """Its last message was taken, and another one may follow on the same connection."""
        return self._is_open and not self._late and 0 < self._taken < MOST_MESSAGES

    def begin_again(self) -> bool:
        """For another message. False once the server has closed or wants to."""
        self.steps = [[f"connect {self._server.host}:{self._server.port}", "still open"]]
        with suppress(OSError):
            return not self._has_spoken()
        return False

    def open(self) -> None:
        server = self._server
        with self._step("connect"):
            code, reply = self._smtp.connect(server.host, server.port)
        self._is_open = True
        self._note(f"connect {server.host}:{server.port}", code, reply)
        if code != 220:
            raise self._error(f"The mail server does not take mail now: {self.steps[-1][1]}", permanent=False)
        sock = self._smtp.sock
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._greet()
        if not server.is_implicit_tls and server.tls != "none":
            self._start_tls()
        if server.user:
            self._log_in()

    def address(self, sender: str, recipients: Sequence[str], envelope_id: str = "") -> None:
        """`envelope_id`: plain characters by which a report names the mail, where the server reports so."""
        named = f" RET=HDRS ENVID={envelope_id}" if envelope_id and self._smtp.has_extn("dsn") else ""
        code, reply = self._command(f"MAIL FROM:<{sender}>{named}")
        if code != 250:
            raise self._error(f"The mail server refused the sender: {reply}", permanent=_is_permanent(code))
        refused: dict[str, str] = {}
        codes = []
        for recipient in recipients:
            code, reply = self._command(f"RCPT TO:<{recipient}>")
            if code not in (250, 251):
                refused[recipient] = reply
                codes.append(code)
            if code == 421:
                break
        if refused:
            with suppress(DeliveryError):
                self._command("RSET")
            message = "Refused: " + "; ".join(f"{one}: {reply}" for one, reply in refused.items())
            raise self._error(message, permanent=any(map(_is_permanent, codes)), refused=refused)

    def data(self, data: bytes) -> Receipt:
        check_data(data, self.steps)
        stuffed = re.sub(rb"(?m)^\.", b"..", data)
        code, reply = self._command("DATA")
        if code != 354:
            raise self._error(f"The mail server refused DATA: {reply}", permanent=_is_permanent(code))
        self._is_open = False  # a command now would be read as text of the message
        for start in range(0, len(stuffed), _CHUNK):
            with self._step("(message)"):
                self._send(stuffed[start : start + _CHUNK])
        self._refuse_early_answer()
        # From here on the message may be accepted, whatever happens to us or to the connection.
        code, raw = self._finish()
        self._is_open = True
        reply = self._note("(message) .", code, raw)
        if 200 <= code < 300:
            self._taken += 1
            return Receipt(reply, self.steps)
        if 400 <= code < 600:
            raise self._error(f"The mail server refused the message: {reply}", permanent=_is_permanent(code))
        raise self._error(f"The mail server gave no clear answer: {reply}", permanent=False, unknown=True)

    def close(self) -> None:
        if not self._is_open:
            self._smtp.close()
            return
        with suppress(*_FAILURES), self._deadline(min(self._timeout, 5.0)):
            self._smtp.quit()
        self._smtp.close()

    def _finish(self) -> tuple[int, bytes]:
        try:
            with self._deadline(self._timeout):
                self._send(b".\r\n")
                return self._smtp.getreply()
        except _FAILURES as error:
            reason = self._reason(error)
            self.steps.append(["(message) .", f"no answer: {reason}"])
            raise self._error(
                f"Handed over, and the answer was lost ({reason}): the mail may have been delivered.",
                permanent=False,
                unknown=True,
            ) from error

    def _refuse_early_answer(self) -> None:
        """A server that has answered or closed before the dot has not accepted, so the dot is kept back."""
        with self._step("(message)"):
            if self._has_spoken():
                code, reply = self._smtp.getreply()
                shown = self._note("(message)", code, reply)
                raise self._error(f"The mail server broke off: {shown}", permanent=_is_permanent(code))

    def _has_spoken(self) -> bool:
        """Whether the server says something unasked, or has gone."""
        sock, file = self._smtp.sock, self._smtp.file
        if sock is None or file is None:
            return False
        sock.setblocking(False)
        try:
            is_plain = not isinstance(sock, ssl.SSLSocket)
            return bool(file.peek(1)) or (is_plain and sock.recv(1, socket.MSG_PEEK) is not None)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            sock.settimeout(self._timeout)

    def _greet(self) -> None:
        with self._step("EHLO"):
            code, reply = self._smtp.ehlo(_own_name())
        shown = self._note("EHLO", code, reply.partition(b"\n")[0])
        if code != 250:
            raise self._error(f"The mail server refused EHLO: {shown}", permanent=False)

    def _start_tls(self) -> None:
        if not self._smtp.has_extn("starttls"):
            if self._server.tls == "required":
                raise self._error("The mail server offers no STARTTLS.", permanent=False)
            return
        with self._step("STARTTLS"):
            code, reply = self._smtp.starttls(context=_tls(self._server))
        self._note("STARTTLS", code, reply)
        self._greet()

    def _log_in(self) -> None:
        server = self._server
        is_encrypted = isinstance(self._smtp.sock, ssl.SSLSocket)
        if not (is_encrypted or server.is_loopback or server.tls == "none"):
            raise self._error(
                "The password was not sent, because the mail server offers no TLS (?tls=none allows it).",
                permanent=False,
            )
        try:
            with self._deadline(self._timeout):
                code, _ = self._smtp.login(server.user, server.password)
        except smtplib.SMTPAuthenticationError as error:
            self.steps.append(["AUTH (redacted)", str(error.smtp_code)])
            raise self._error("The mail server refused the user or password.", permanent=False) from None
        except _FAILURES as error:
            # named by its class only: the text of some of these holds what was sent
            raise self._error(f"Signing in failed ({type(error).__name__}).", permanent=False) from None
        self.steps.append(["AUTH (redacted)", str(code)])

    def _command(self, command: str) -> tuple[int, str]:
        with self._step(command):
            code, reply = self._smtp.docmd(command)
        return code, self._note(command, code, reply)

    def _send(self, chunk: bytes) -> None:
        sock = self._smtp.sock
        if sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        sock.sendall(chunk)

    def _note(self, command: str, code: int, reply: bytes) -> str:
        shown = " ".join(reply[:2000].decode("utf-8", "replace").replace("\0", "").split())
        text = f"{code} {shown}".strip()
        self.steps.append([command, text])
        return text

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """A failure before the terminating dot: surely not sent, so trying again is right."""
        try:
            with self._deadline(self._timeout):
                yield
        except _FAILURES as error:
            reason = self._reason(error)
            self.steps.append([name, f"failed: {reason}"])
            raise self._error(f"The mail server failed at {name}: {reason}", permanent=False) from error

    def _deadline(self, seconds: float) -> AbstractContextManager[None]:
        """The socket's own timeout starts again with every byte that comes; this one does not."""
        return watch.within(seconds, self._cut)

    def _cut(self) -> None:
        self._late = True
        if (sock := self._smtp.sock) is not None:
            with suppress(OSError):
                # not SSLSocket.shutdown, which first turns the socket back to plain text
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _reason(self, error: Exception) -> str:
        if self._late or isinstance(error, TimeoutError):
            return f"no answer within {self._timeout:g} seconds"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not valid ({error.verify_message})"
        if isinstance(error, smtplib.SMTPServerDisconnected):
            return "it closed the connection"
        return " ".join(str(error).split())[:300] or type(error).__name__

    def _error(self, message: str, **facts: Any) -> DeliveryError:
        return DeliveryError(message, steps=self.steps, **facts)


def check_data(data: bytes, steps: list[Step]) -> None:
    try:
        check_wire(data)
    except ValueError as error:
        raise DeliveryError(str(error), permanent=True, steps=steps) from None


def _client(server: Server, timeout: float) -> smtplib.SMTP:
    name = _own_name()
    if server.is_implicit_tls:
        client: smtplib.SMTP = smtplib.SMTP_SSL(timeout=timeout, context=_tls(server), local_hostname=name)
    else:
        client = smtplib.SMTP(timeout=timeout, local_hostname=name)
    # smtplib checks the certificate against this; it sets it only when it connects in its constructor
    client._host = server.host  # type: ignore[attr-defined]
    return client


def _tls(server: Server) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if server.is_loopback:
        # nobody issues certificates for these names, and nobody sits in between
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _own_name() -> str:
    """For EHLO: never a look-up of this machine's name, which can take seconds and leak it."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    if ":" in host:
        return f"[IPv6:{host}]"
    return f"[{host}]" if host.replace(".", "").isdigit() else host


def _is_permanent(code: int) -> bool:
    return 500 <= code < 600
