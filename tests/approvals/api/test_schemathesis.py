"""The document against the service, call by call and along its links, for every kind of key.

`SCHEMATHESIS_EXAMPLES` makes it as thorough as one has time for; the same number gives the same calls.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from pytest_django import Settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from approvals.models import User
from assistants.models import ApiKey
from mailboxes.models import Account, Mailbox
from tests import factories
from tests.approvals.api.caller import arrived, document, held

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES") or 1)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KINDS = ("agent", "reader", "administrator", "overseer", "onlooker", "nobody")
load_all_checks()


def how(**options: Any) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
        **options,
    )


@pytest.fixture
def keys(
    transactional_db: None,
    api_key: ApiKey,
    oversight_key: ApiKey,
    mailbox: Mailbox,
    reviewer: User,
    settings: Settings,
) -> dict[str, str]:
    """One of every kind, where there is something to find. The write limit would answer most calls."""
    settings.WRITE_LIMIT = 0
    Account.objects.update(oversight_email="oversight@acme.test")
    held(mailbox, api_key)
    arrived(mailbox)
    integration = factories.an_integration("All of it")
    made = {
        "agent": api_key,
        "reader": factories.a_key(api_key.owner, scopes=["read"], mailboxes=[mailbox]),
        "administrator": factories.a_key(integration, scopes=["admin"]),
        "overseer": oversight_key,
        "onlooker": factories.a_key(integration, scopes=["oversight_read"], mailboxes=[mailbox]),
    }
    secrets: dict[str, str] = {name: key.secret for name, key in made.items()}  # type: ignore[attr-defined]
    return secrets | {"nobody": ""}


def described() -> Any:
    """The document with the service behind it, in this process."""
    schema = from_dict(json.loads(json.dumps(document())))
    schema.app = get_wsgi_application()
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return schema


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def problems(case: Any, response: Any) -> list[str]:
    """Collected rather than raised: rows remain between two walks, which would be taken for flakiness."""
    try:
        case.validate_response(response, checks=CHECKS)
    except BaseExceptionGroup as group:
        return [f"{case.method} {case.path}: {problem}" for problem in group.exceptions]
    return []


@pytest.mark.parametrize("kind", KINDS)
def test_each_call_answers_as_the_document_says(keys: dict[str, str], kind: str) -> None:
    schema, headers = described(), bearer(keys[kind])
    found: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @how()
        @given(case=operation.as_strategy())
        def call(case: Any) -> None:
            found.extend(problems(case, case.call(headers=headers)))

        call()
    assert found == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nobody"])
def test_along_its_links_too(keys: dict[str, str], kind: str) -> None:
    headers, found = bearer(keys[kind]), []

    class Walk(described().as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Any, case: Any, **options: Any) -> None:
            found.extend(problems(case, response))

    with suppress(Flaky):
        run_state_machine_as_test(Walk, settings=how(stateful_step_count=10))
    assert found == []
