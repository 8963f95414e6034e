"""The MultiMail CLI and what it does about errors: three more tries on 5xx and 429, of any call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import pytest

from approvals.models import OutboundMessage
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests.approvals.api.caller import arrived
from tests.servers import AsgiServer

LETTER = {"to": ["anna@example.com"], "subject": "Your order", "markdown": "It has shipped."}
TRIES = 4


@dataclass
class LossyGateway:
    """A proxy that hands each request on, and answers the first `losses` of them with 502 all the same."""

    target: str
    losses: int = 0
    passed: list[str] = field(default_factory=list)
    port: int = 0

    @classmethod
    @contextmanager
    def running(cls, target: str, losses: int = 0) -> Iterator[Self]:
        gateway = cls(urlsplit(target).netloc, losses)
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"gateway": gateway}))
        gateway.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield gateway
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    gateway: LossyGateway

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, told = ask(self.gateway.target, self.command, self.path, body, dict(self.headers))
        self.gateway.passed.append(f"{self.command} {status}")
        if self.gateway.losses:
            self.gateway.losses -= 1
            status, told = 502, b"<html>Bad gateway</html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _hand_on

    def log_message(self, *_: Any) -> None:
        pass


def ask(host: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    link = HTTPConnection(host, timeout=60)
    try:
        link.request(method, path, body or None, {**headers, "Host": host})
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


@dataclass
class Cli:
    """Its client: the same request again, up to four times in all, and no key of its own making."""

    host: str
    key: ApiKey

    def __call__(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        sent = json.dumps(body).encode() if body is not None else b""
        headers = {"Authorization": f"Bearer {self.key.secret}", "User-Agent": "multimail-pp-cli/2.0.0"}  # type: ignore[attr-defined]
        if sent:
            headers["Content-Type"] = "application/json"
        for _ in range(TRIES):
            status, told = ask(self.host, method, f"{path}?{urlencode(query)}", sent, headers)
            if status < 500 and status != 429:
                return status, json.loads(told)
        raise AssertionError(f"given up at {status}")

    def every_page(self, path: str, **query: str) -> list[Any]:
        """It looks for `items`, and goes on with `cursor` while there is one."""
        found: list[Any] = []
        while True:
            _, page = self("GET", path, **query)
            found += page["items"]
            if not page["cursor"]:
                return found
            query["cursor"] = page["cursor"]


@pytest.fixture
def path(mailbox: Mailbox) -> str:
    return f"/v1/mailboxes/{mailbox.pk}"


@pytest.mark.parametrize("losses", [1, 3])
def test_a_send_whose_answer_was_lost_is_one_message_however_often_it_is_tried(
    live_server_asgi: AsgiServer, api_key: ApiKey, path: str, losses: int
) -> None:
    with LossyGateway.running(live_server_asgi.url, losses) as gateway:
        cli = Cli(f"127.0.0.1:{gateway.port}", api_key)
        status, told = cli("POST", f"{path}/send", LETTER)
        message = OutboundMessage.objects.get()
        # without a key of its own the CLI learns which message it was by the conflict
        assert (status, told["code"], told["email_id"]) == (409, "duplicate_content", message.pk)
        keyed = LETTER | {"subject": "Another", "idempotency_key": "order-7"}
        gateway.losses = losses
        status, told = cli("POST", f"{path}/send", keyed)
    assert (status, told["status"], told["idempotent"]) == (200, "already_sent", True)
    assert OutboundMessage.objects.count() == 2
    assert gateway.passed.count("POST 202") == 2


def test_what_else_is_tried_again_does_no_more_the_second_time(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox, path: str
) -> None:
    email = arrived(mailbox)
    with LossyGateway.running(live_server_asgi.url) as gateway:
        cli = Cli(f"127.0.0.1:{gateway.port}", api_key)
        reply = {"markdown": "We look.", "idempotency_key": "reply-1"}
        contact = {"email": "anna@example.com", "name": "Anna"}
        calls: list[tuple[str, str, Any, int]] = [
            ("POST", f"{path}/reply/{email.pk}", reply, 200),
            ("PUT", f"{path}/emails/{email.pk}/tags", {"tags": {"a": "b"}}, 200),
            ("POST", f"/v1/emails/{email.pk}/report-spam", None, 200),
            ("POST", f"/v1/emails/{email.pk}/not-spam", None, 200),
            ("POST", "/v1/contacts", contact, 201),
        ]
        for method, where, body, expected in calls:
            gateway.losses = 1
            assert (where, cli(method, where, body)[0]) == (where, expected)
        _, contacts = cli("GET", "/v1/contacts")
        gateway.losses = 1
        cancelled = f"{path}/emails/{OutboundMessage.objects.get().pk}/cancel"
        assert cli("POST", cancelled, {})[1]["status"] == "cancelled"
    assert [one["name"] for one in contacts["contacts"]] == ["Anna"]


@pytest.mark.database
def test_fifty_at_once_with_one_idempotency_key_make_one_message(
    live_server_asgi: AsgiServer, api_key: ApiKey, path: str
) -> None:
    cli = Cli(urlsplit(live_server_asgi.url).netloc, api_key)
    together = threading.Barrier(50)

    def send(_: int) -> tuple[int, Any]:
        together.wait()
        return cli("POST", f"{path}/send", LETTER | {"idempotency_key": "order-7"})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(send, range(50)))
    message = OutboundMessage.objects.get()
    assert {told["id"] for _, told in answers} == {message.pk}
    assert sorted(status for status, _ in answers) == [200] * 49 + [202]
    assert cli("POST", f"{path}/send", LETTER | {"idempotency_key": "order-7", "subject": "Other"})[0] == 409


def test_every_page_of_a_list_is_read_to_its_end(
    live_server_asgi: AsgiServer, api_key: ApiKey, mailbox: Mailbox, path: str
) -> None:
    came = [arrived(mailbox, str(number)).pk for number in range(5)]
    cli = Cli(urlsplit(live_server_asgi.url).netloc, api_key)
    found = cli.every_page(f"{path}/emails", limit="2")
    assert [one["id"] for one in found] == came[::-1]
    assert cli.every_page("/v1/contacts", limit="2") == []
