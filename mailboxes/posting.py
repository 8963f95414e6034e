"""One message to a provider's API, with the same promises as over SMTP.

An API takes everything in one request, so nothing can be agreed on before. What is known afterwards: no
connection, an incomplete request, and an answer that says no, are surely not sent. A request that went out
whole and was not clearly answered is unknown.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx

from mailboxes.deadlines import watch
from mailboxes.providers import PROVIDERS, Account, Post, Refused, Unclear
from mailboxes.smtp import DeliveryError, Receipt, Step, check_data

MOST_READ = 65_536
# surely not processed: it is told who is asking, or that it is asked too much or now not
NOT_NOW = (401, 402, 403, 407, 408, 421, 423, 425, 429, 503)
_NEVER_WHOLE = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
)


class ApiHandover:
    """Sender and recipients are as accepted as they can be before the message goes with them."""

    def __init__(self, account: Account, sender: str, recipients: Sequence[str], timeout: float) -> None:
        self.steps: list[Step] = []
        self._account, self._sender, self._recipients = account, sender, list(recipients)
        self._timeout = timeout
        self._provider = PROVIDERS[account.provider]
        self._socket: socket.socket | None = None
        self._late = False

    def data(self, data: bytes) -> Receipt:
        check_data(data, self.steps)
        post = self._provider.post(self._account, self._sender, self._recipients, data)
        try:
            status, body = self._exchange(post)
        except _NEVER_WHOLE as error:
            raise self._error(post, f"It was not reached: {self._reason(error)}", permanent=False) from error
        except httpx.HTTPError as error:
            sentence = f"Handed over, and the answer was lost ({self._reason(error)}): it may have been sent."
            raise self._error(post, sentence, permanent=False, unknown=True) from error
        return self._judge(post, status, body)

    def _judge(self, post: Post, status: int, body: bytes) -> Receipt:
        answer, shown = _read(body), f"{status} {_shown(body)}".strip()
        if not 200 <= status < 300:
            name = self._account.provider
            unknown = status >= 500 and status not in NOT_NOW
            permanent = 400 <= status < 500 and status not in NOT_NOW
            sentence = f"{name} answered {shown}" if unknown else f"{name} refused the message: {shown}"
            raise self._error(post, sentence, shown, permanent=permanent, unknown=unknown)
        try:
            handle = self._provider.taken(answer, self._recipients)
        except Refused as error:
            raise self._error(post, str(error), shown, permanent=True) from error
        except Unclear as error:
            raise self._error(post, str(error), shown, permanent=False, unknown=True) from error
        self.steps.append([f"POST {post.url}", shown])
        return Receipt(f"{status} taken as {handle}", self.steps)

    def _exchange(self, post: Post) -> tuple[int, bytes]:
        """No redirect is followed: it would be another server, with the key of this one."""
        with (
            httpx.Client(timeout=self._timeout, trust_env=False) as client,
            # the client's own timeout begins anew with every byte that drips in
            watch.within(2 * self._timeout, self._cut),
        ):
            request = client.build_request(
                "POST",
                post.url,
                headers=post.headers,
                content=post.body,
                data=post.form,
                files=post.files,
                extensions={"trace": self._note},
            )
            auth = httpx.BasicAuth(*post.auth) if post.auth else None
            response = client.send(request, auth=auth, stream=True)
            try:
                return response.status_code, _beginning(response)
            finally:
                response.close()

    def _note(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._socket = info["return_value"].get_extra_info("socket")

    def _cut(self) -> None:
        self._late = True
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _reason(self, error: httpx.HTTPError) -> str:
        if self._late or isinstance(error, httpx.TimeoutException):
            return f"no answer within {self._timeout:g} seconds"
        return " ".join(str(error).split())[:300] or type(error).__name__

    def _error(self, post: Post, sentence: str, shown: str = "", **facts: bool) -> DeliveryError:
        self.steps.append([f"POST {post.url}", shown or f"failed: {sentence}"])
        return DeliveryError(
            sentence, steps=self.steps, permanent=facts["permanent"], unknown=facts.get("unknown", False)
        )


def _beginning(response: httpx.Response) -> bytes:
    """The status is the answer that counts; a body that breaks off only says less."""
    read = b""
    with suppress(httpx.HTTPError):
        for chunk in response.iter_bytes():
            read += chunk
            if len(read) >= MOST_READ:
                break
    return read[:MOST_READ]


def _read(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _shown(body: bytes) -> str:
    return " ".join(body[:2000].decode("utf-8", "replace").replace("\0", "").split())[:500]
