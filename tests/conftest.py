"""Shared fixtures. Parts are real: a real SMTP server, a real ASGI server, real rows."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest
from django.core.cache import cache
from hypothesis import HealthCheck
from pytest_django import Settings

from approvals.models import User
from assistants.models import ApiKey, Assistant
from mailboxes.models import Account, Mailbox
from tests import factories
from tests.foreign.responses_server import ResponsesServer
from tests.servers import AsgiServer, RecordingServer, chromium

# a busy machine is slow, which is no finding
hypothesis.settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.settings.load_profile("project")

# Playwright's sync API runs an event loop in the thread of the test, in which Django would refuse to work
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

pytest_plugins = ["tests.plugins.audit_flush"]

# every skip that may happen where CI=true; anything else there is a failure
FORESEEN_SKIPS = ("no PostgreSQL",)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last, after the shuffle: the loop that Playwright leaves behind forbids asyncio.run."""
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(text in reason for text in FORESEEN_SKIPS):
            report.outcome, report.longrepr = "failed", f"a skip that was not foreseen: {reason}"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Throttles and caches start empty."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def _seeds(request: pytest.FixtureRequest) -> None:
    """The rows that migrations make, which the flush after a transactional test takes away."""
    if {"db", "transactional_db", "live_server_asgi"} & set(request.fixturenames):
        request.getfixturevalue(
            "transactional_db"
            if {"transactional_db", "live_server_asgi"} & set(request.fixturenames)
            else "db"
        )
        Account.objects.get_or_create(pk=1)


@pytest.fixture
def mailbox(db: None) -> Mailbox:
    return factories.a_mailbox("support@acme.test", display_name="Acme Support")


@pytest.fixture
def assistant(mailbox: Mailbox) -> Assistant:
    return factories.an_assistant("Support Agent", mailboxes=[mailbox])


@pytest.fixture
def api_key(assistant: Assistant, mailbox: Mailbox) -> ApiKey:
    """The assistant's; its bearer text is `.secret`."""
    return factories.a_key(assistant, mailboxes=[mailbox])


@pytest.fixture
def oversight_key(mailbox: Mailbox) -> ApiKey:
    owner = factories.an_integration("Review desk")
    return factories.a_key(owner, scopes=["oversight", "oversight_read", "read"], mailboxes=[mailbox])


@pytest.fixture
def reviewer(db: None) -> User:
    return factories.a_person("rita@acme.test", "reviewer")


@pytest.fixture
def second_reviewer(db: None) -> User:
    return factories.a_person("bob@acme.test", "reviewer")


@pytest.fixture
def administrator(db: None) -> User:
    return factories.a_person("ada@acme.test", "administrator")


@pytest.fixture
def auditor(db: None) -> User:
    return factories.a_person("otto@acme.test", "auditor")


@pytest.fixture
def outsider(db: None) -> User:
    """Every role, and no mailbox in reach."""
    return factories.a_person("eve@acme.test", "reviewer", "administrator", "auditor", mailboxes=[])


@pytest.fixture
def smtp_server(settings: Settings) -> Iterator[RecordingServer]:
    """Somebody else's mail server, which our mail leaves by."""
    with RecordingServer.running() as server:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{server.port}"
        yield server


@pytest.fixture
def live_server_asgi(transactional_db: None, settings: Settings) -> Iterator[AsgiServer]:
    """The whole site on loopback, served as `up` serves it; `.url` has no slash at its end."""
    with AsgiServer.running() as server:
        settings.INTERNAL_URL = settings.PUBLIC_URL = server.url
        settings.CSRF_TRUSTED_ORIGINS = [server.url]
        yield server


@pytest.fixture(scope="session")
def responses_server() -> Iterator[ResponsesServer]:
    """Somebody else's, for who resets it: one for all, because our client keeps its connections to it."""
    with ResponsesServer.running() as server:
        yield server


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    """Playwright drives the installed Chromium, never a download."""
    path = chromium()
    if not path:
        pytest.skip("no Chromium found: install Debian's `chromium`, or set CHROMIUM to its path")
    args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    args += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
    return {"executable_path": path, "args": args}
