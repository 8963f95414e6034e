"""Runs on somebody else's server of the Assistants protocol, taken step by step as the worker takes them."""

from __future__ import annotations

from typing import Any

from assistants import runtimes
from assistants.models import Assistant, Run, ToolCall
from tests import factories
from tests.assistants.runtimes.responding import answered
from tests.foreign.assistants_server import KEY, FakeAssistants

SEND = ("send_email", {"to": "a@far.test"})
INBOX: tuple[str, dict[str, Any]] = ("check_inbox", {})
TWICE: list[Any] = [[SEND, INBOX], [SEND], "Sent."]


def over_assistants(assistant: Assistant, fake: FakeAssistants, **fields: Any) -> Assistant:
    fields = {"base_url": fake.url, "model": "best", "api_version": fake.ways.api_version} | fields
    assistant.connection = factories.a_connection(
        protocol="assistants", models_served={"best": "served"}, **fields
    )
    assistant.connection.api_key = KEY
    assistant.connection.save()
    assistant.instructions = "Be brief."
    assistant.save()
    return assistant


def hand_over(run: Run) -> list[ToolCall]:
    """Try to submit all that is owed."""
    run.refresh_from_db()
    calls = answered(run)
    runtimes.of(run).submit(run, calls)
    return calls
