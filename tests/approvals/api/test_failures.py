"""What goes wrong on our side: a sentence and a number to ask about, and nothing of the inside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from approvals.api import base
from assistants.models import ApiKey
from tests.approvals.api.caller import Caller


def broken(*_: object) -> None:
    raise RuntimeError("the inside")


@pytest.mark.parametrize("path", ["/v1/mailboxes/mbx_1", "/v1/messages/em_1"])
def test_an_error_of_ours_is_500_in_json_and_is_logged(
    api_key: ApiKey, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(base, "one", broken)
    caller = Caller(api_key)
    caller.raise_request_exception = False
    with caplog.at_level(logging.ERROR, "counterseal.api"):
        response = caller.get(path)
    answer = response.json()
    assert (response.status_code, answer["code"]) == (500, "internal_error")
    assert "inside" not in response.content.decode()
    assert answer["request_id"] == response.headers["X-Request-Id"]
    assert any(answer["request_id"] in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/mailboxes", lambda answer: answer.json()["error"]),
        ("/v1/messages/em_1", lambda answer: answer.json()["error"]),
        ("/openai/v1/assistants", lambda answer: answer.json()["error"]["message"]),
        ("/queue", lambda answer: answer.content.decode()),
    ],
)
def test_a_host_that_is_not_ours_is_refused_with_a_sentence(
    db: None, path: str, told: Callable[[Any], str]
) -> None:
    answer = Client().get(path, headers={"Host": "elsewhere.example"})
    assert answer.status_code == 400
    assert "ALLOWED_HOSTS" in told(answer)
