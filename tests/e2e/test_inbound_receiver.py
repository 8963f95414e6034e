"""The integration page's inbound receiver: a web app that hands new mail to the run that waits for it.

It is a WSGI app of the size of the page's, which knows the payload, a client and which run is whose.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import openai
import pytest
import requests
from openai.types.beta.threads import Run
from pytest_django import Settings

from approvals import gate
from approvals.models import OperatorRequest
from approvals.operator_requests import open_code
from assistants.models import ApiKey, Assistant
from mailboxes.models import Mailbox
from tests import factories
from tests.e2e.page import TOOLS
from tests.servers import AsgiServer

pytestmark = pytest.mark.slow
PATIENCE = 60


class Receiver:
    """`waiting`: the run that waits for mail in each mailbox, as its program keeps it."""

    def __init__(self, client: openai.OpenAI) -> None:
        self.client = client
        self.waiting: dict[str, Run] = {}
        self.payloads: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        payload = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        self.payloads.append(payload)
        run = self.waiting.pop(payload["mailbox_id"], None)
        if run and "tool_call_id" in payload:
            self.client.beta.threads.runs.submit_tool_outputs(
                run.id, thread_id=run.thread_id, tool_outputs=[self.output(payload)]
            )
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"received": true}']

    @staticmethod
    def output(payload: dict[str, Any]) -> Any:
        email = {name: payload[name] for name in ("id", "from", "subject", "body")}
        return {"tool_call_id": payload["tool_call_id"], "output": json.dumps({"emails": [email]})}

    @contextmanager
    def serving(self) -> Iterator[str]:
        with make_server("127.0.0.1", 0, self, handler_class=_Quiet) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/webhooks/inbound"
            server.shutdown()
            thread.join(5)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def client(
    live_server_asgi: AsgiServer,
    workers: None,
    settings: Settings,
    assistant: Assistant,
    api_key: ApiKey,
    mailbox: Mailbox,
) -> Iterator[openai.OpenAI]:
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    looks = {"name": "check_inbox", "arguments": {"mailbox_id": mailbox.pk}}
    assistant.connection = factories.a_connection(
        [
            {"when": {"turn": 1}, "calls": [looks]},
            {"when": {"tool_result_contains": "Where is my order?"}, "say": "Anna asks for her order."},
        ]
    )
    assistant.save()
    secret = api_key.secret  # type: ignore[attr-defined]
    with openai.OpenAI(base_url=f"{live_server_asgi.url}/openai/v1", api_key=secret) as opened:
        yield opened


def until(look: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return found


def a_waiting_run(client: openai.OpenAI) -> Run:
    made = client.beta.assistants.create(name="Email Agent", model="gpt-4o", tools=TOOLS)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Wait for mail."}])
    run = client.beta.threads.runs.create(thread.id, assistant_id=made.id)

    def look() -> Run | None:
        now = client.beta.threads.runs.retrieve(run.id, thread_id=thread.id)
        return now if now.status == "requires_action" else None

    waiting: Run = until(look)
    return waiting


def register(server: AsgiServer, mailbox: Mailbox, url: str) -> None:
    """As the page's set-up does, in its words: the same call again with the code that a person was shown."""
    key = factories.a_key(factories.an_integration(), scopes=["admin"])
    headers = {"Authorization": f"Bearer {key.secret}"}  # type: ignore[attr-defined]
    path = f"{server.url}/v1/mailboxes/{mailbox.pk}/webhooks"
    wanted = {"url": url, "events": ["email.received"]}
    assert requests.post(path, json=wanted, headers=headers, timeout=30).status_code == 202
    wanted["approval_code"] = open_code(OperatorRequest.objects.get())
    assert requests.post(path, json=wanted, headers=headers, timeout=30).status_code == 201


def write_in(mailbox: Mailbox) -> None:
    data = b"From: anna@example.com\r\nSubject: Where is my order?\r\n\r\nPlease look.\r\n"
    gate.receive(mailbox, "anna@example.com", mailbox.address, data)


def test_the_run_that_waits_on_its_inbox_goes_on_with_the_mail_that_came(
    client: openai.OpenAI, live_server_asgi: AsgiServer, mailbox: Mailbox
) -> None:
    receiver = Receiver(client)
    with receiver.serving() as url:
        register(live_server_asgi, mailbox, url)
        run = receiver.waiting[mailbox.pk] = a_waiting_run(client)
        assert run.required_action
        (call,) = run.required_action.submit_tool_outputs.tool_calls
        write_in(mailbox)
        done = until(lambda: _ended(client, run))
    assert done.status == "completed"
    (payload,) = receiver.payloads
    assert payload["tool_call_id"] == call.id
    assert (payload["event"], payload["from"]) == ("message.received", "anna@example.com")
    said = client.beta.threads.messages.list(run.thread_id).data[0].content[0]
    assert said.type == "text"
    assert said.text.value == "Anna asks for her order."


def test_mail_for_which_no_run_waits_names_no_call(
    client: openai.OpenAI, live_server_asgi: AsgiServer, mailbox: Mailbox
) -> None:
    receiver = Receiver(client)
    with receiver.serving() as url:
        register(live_server_asgi, mailbox, url)
        write_in(mailbox)
        (payload,) = until(lambda: receiver.payloads)
    assert "tool_call_id" not in payload
    assert {name: payload[name] for name in ("mailbox_id", "subject", "body")} == {
        "mailbox_id": mailbox.pk,
        "subject": "Where is my order?",
        "body": "Please look.\n",
    }


def _ended(client: openai.OpenAI, run: Run) -> Run | None:
    now = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    return now if now.status in ("completed", "failed", "cancelled", "expired") else None
