from __future__ import annotations

import pytest

from assistants.models import ApiKey
from tests import factories


@pytest.fixture
def admin_key(db: None) -> ApiKey:
    """An integration's, over all mailboxes."""
    return factories.a_key(factories.an_integration("Office"), scopes=["admin"])
