"""The only module that sends mail: over SMTP, command by command, by a provider, or into the catcher.

Everything up to the recipients is agreed on first; the caller then commits to sending; only then the bytes
go. `DeliveryError.unknown` is true in exactly one case: the terminating dot may have reached the server and
its answer did not reach us.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email import policy
from email.parser import BytesHeaderParser

from cryptography.fernet import InvalidToken
from django.conf import settings

from audit import secrets
from mailboxes import routes
from mailboxes.envelope import normalize_address
from mailboxes.models import CaughtMessage
from mailboxes.posting import ApiHandover
from mailboxes.providers import Account as ProviderAccount
from mailboxes.routes import Route
from mailboxes.smtp import TIMEOUT, DeliveryError, Handover, Receipt, Server, Step, check_data
from mailboxes.smtp_pool import pool

__all__ = ["DeliveryError", "Handover", "Receipt", "Server", "offer"]


@contextmanager
def offer(
    sender: str,
    recipients: Sequence[str],
    *,
    envelope_id: str = "",
    route: str = "",
    timeout: float = TIMEOUT,
) -> Iterator[Handover]:
    """Connects and has sender and every recipient accepted, or raises DeliveryError and nobody gets it.

    Leaving the block without `data` takes the offer back. `route`: the mailbox's own, encrypted.
    """
    try:
        sender, recipients = normalize_address(sender), [normalize_address(one) for one in recipients]
    except ValueError as error:
        raise DeliveryError(str(error), permanent=True) from None
    if not recipients:
        raise DeliveryError("There is no recipient.", permanent=True)
    way = _way(route)
    if way is None:
        yield _Catcher(sender, recipients)
    elif isinstance(way, ProviderAccount):
        yield ApiHandover(way, sender, recipients, timeout)
    else:
        with pool.offered(way, sender, recipients, timeout, envelope_id) as session:
            yield session


def _way(route: str) -> Route | None:
    """None: into the catcher."""
    try:
        url = secrets.decrypt(route) if route else settings.EMAIL_URL
    except InvalidToken:
        sentence = "The mailbox's delivery can't be read, because SECRET_KEY has changed: enter it anew."
        raise DeliveryError(sentence, permanent=False) from None
    return routes.parse(url) if url else None


class _Catcher:
    def __init__(self, sender: str, recipients: list[str]) -> None:
        self.steps: list[Step] = []
        self._sender, self._recipients = sender, recipients

    def data(self, data: bytes) -> Receipt:
        check_data(data, self.steps)
        headers = BytesHeaderParser(policy=policy.default).parsebytes(data)
        CaughtMessage.objects.create(
            envelope_from=self._sender,
            recipients=self._recipients,
            subject=str(headers["Subject"] or ""),
            data=data,
        )
        self.steps.append(["DATA", "250 caught"])
        return Receipt("250 caught", self.steps)
