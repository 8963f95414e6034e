from __future__ import annotations

import pytest

from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import Caller


@pytest.fixture
def agent(api_key: ApiKey) -> Caller:
    """The assistant's program: reads and sends in `mailbox`."""
    return Caller(api_key)


@pytest.fixture
def overseer(oversight_key: ApiKey) -> Caller:
    return Caller(oversight_key)


@pytest.fixture
def stranger(db: None) -> Caller:
    """Another assistant's program, which works in a mailbox of its own."""
    theirs = factories.a_mailbox("sales@acme.test")
    return Caller(factories.a_key(factories.an_assistant(mailboxes=[theirs]), mailboxes=[theirs]))


@pytest.fixture
def manager(mailbox: Mailbox) -> Caller:
    """An integration's program with the admin scope."""
    return Caller(factories.a_key(factories.an_integration(), scopes=["admin"], mailboxes=[mailbox]))
