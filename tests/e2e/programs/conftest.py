"""Counterseal and a model server on loopback, and the programs of docs/driving between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from assistants.models import ApiKey, Assistant, Connection
from config.asgi import application
from tests import factories
from tests.e2e.programs.models import FakeModels
from tests.e2e.programs.program import Program
from tests.e2e.programs.review import Desk
from tests.e2e.programs.tripwire import Tripwire
from tests.servers import AsgiServer, RecordingServer


@pytest.fixture
def models() -> FakeModels:
    return FakeModels()


@pytest.fixture
def at_models(models: FakeModels) -> Tripwire:
    return Tripwire(models)


@pytest.fixture
def at_counterseal() -> Tripwire:
    return Tripwire(application)


@pytest.fixture
def models_url(at_models: Tripwire) -> Iterator[str]:
    with AsgiServer.running(at_models) as server:
        yield f"{server.url}/v1"


@pytest.fixture
def site(
    transactional_db: None, at_counterseal: Tripwire, settings: Settings, smtp_server: RecordingServer
) -> Iterator[str]:
    with AsgiServer.running(at_counterseal) as server:
        settings.INTERNAL_URL = settings.PUBLIC_URL = server.url
        yield server.url


@pytest.fixture
def desk(site: str, oversight_key: ApiKey) -> Desk:
    return Desk(site, oversight_key.secret)  # type: ignore[attr-defined]


@pytest.fixture
def program_of(
    site: str, models_url: str, workers: None, assistant: Assistant, api_key: ApiKey, tmp_path: Path
) -> Iterator[Callable[[str], Program]]:
    """`program_of(loop)`: the program of its page, in a folder of its own."""
    # what stands behind Counterseal's own Assistants API is the same model server
    protocol = Connection.Protocol.CHAT_COMPLETIONS
    assistant.connection = factories.a_connection(
        protocol=protocol, base_url=models_url, api_key="sk-any", model="served"
    )
    assistant.save()
    environment = {
        "COUNTERSEAL_URL": site,
        "COUNTERSEAL_KEY": api_key.secret,  # type: ignore[attr-defined]
        "OPENAI_BASE_URL": models_url,
        "OPENAI_API_KEY": "sk-any",
    }
    made: list[Program] = []

    def program_of(loop: str) -> Program:
        made.append(Program.of(loop, tmp_path / "program", environment))
        return made[-1]

    yield program_of
    for program in made:
        program.close()
