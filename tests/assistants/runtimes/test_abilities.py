"""What the table says of a protocol is what its runtime does."""

from __future__ import annotations

import pytest

from assistants import runtimes
from assistants.models import Assistant, Connection, Run
from assistants.runtimes import abilities
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("protocol", Connection.Protocol.values)
def test_every_protocol_is_in_the_table_as_its_runtime_is(protocol: str, assistant: Assistant) -> None:
    connection = factories.a_connection(protocol=protocol, base_url="http://127.0.0.1:9/v1", model="small")
    assistant.connection = connection
    assert runtimes.of(Run(assistant=assistant, connection=connection)).can is abilities.OF[protocol]
