"""A caller of the API by key, whose every answer is held against the OpenAPI document."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from openapi_schema_validator import OAS31Validator
from rest_framework.test import APIClient

from approvals import gate
from approvals.models import OutboundMessage
from assistants.models import ApiKey
from mailboxes.envelope import Draft
from mailboxes.inbound import parse
from mailboxes.models import Email, Mailbox


class Caller(APIClient):
    """`caller.get(path)`, `.post(path, {...})`; the body goes as JSON."""

    def __init__(self, key: ApiKey | None = None, **headers: str) -> None:
        bearer = {"Authorization": f"Bearer {key.secret}"} if key else {}  # type: ignore[attr-defined]
        super().__init__(headers=bearer | headers)

    def _encode_data(self, data: Any, format: str | None = None, content_type: str | None = None) -> Any:
        """Escaped JSON, which can say what DRF's own renderer cannot encode, lone surrogates for one."""
        if data is None:
            return b"", None
        return json.dumps(data).encode(), "application/json"

    def raw(self, path: str, body: bytes, content_type: str = "application/json") -> Any:
        return self.generic("POST", path, body, content_type=content_type)  # type: ignore[arg-type]

    def request(self, **options: Any) -> Any:
        response = super().request(**options)
        check_documented(options["REQUEST_METHOD"], options["PATH_INFO"], response)
        return response


@cache
def document() -> dict[str, Any]:
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
    built: dict[str, Any] = generator.get_schema(request=None, public=True)
    return built


def check_documented(method: str, path: str, response: Any) -> None:
    """The answer is one that the document names, and of the shape that it gives."""
    operation = _operation(method, path)
    if operation is None:
        return
    documented = operation["responses"].get(str(response.status_code))
    if documented is None:
        assert response.status_code in (405, 413, 415, 500), (
            f"{method} {path}: {response.status_code} undocumented"
        )
        return
    if "application/json" not in documented["content"]:
        return  # a file
    schema = documented["content"]["application/json"]["schema"]
    components = {"components": document()["components"]}
    body = json.loads(_read(response)) if response.streaming else response.json()
    errors = [error.message for error in OAS31Validator({**components, **schema}).iter_errors(body)]
    assert not errors, f"{method} {path}: {errors}"


def _read(response: Any) -> bytes:
    """Left there to be read again."""
    whole: bytes = response.getvalue()
    response.streaming_content = [whole]
    return whole


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for template, operations in document()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: dict[str, Any] | None = operations.get(method.lower())
            return found
    return None


def held(mailbox: Mailbox, key: ApiKey, subject: str = "Your order", **content: Any) -> OutboundMessage:
    """A message that waits for a person, as a key hands it in."""
    draft = Draft(
        **{"to": ("anna@example.com",), "subject": subject, "markdown": "It has shipped.", **content}
    )
    return gate.send(draft, mailbox, by=key).message


def arrived(
    mailbox: Mailbox, subject: str = "Where is it?", *, sender: str = "anna@example.com", headers: str = ""
) -> Email:
    """Mail from outside, let in by the gate."""
    head = f"From: Anna <{sender}>\r\nTo: {mailbox.address}\r\nSubject: {subject}\r\n{headers}"
    data = f"{head}\r\nPlease look.\r\n".encode()
    raw = gate.receive(mailbox, sender, mailbox.address, data)
    email = gate.admit(raw, parse(data))
    assert email
    return email
