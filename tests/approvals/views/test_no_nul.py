"""A NUL, which PostgreSQL cannot be asked about, is refused before anything asks."""

from __future__ import annotations

import pytest
from django.test import Client

from approvals.models import User
from approvals.views.no_nul import FORM

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/log?q=a%00b", 400),
        ("/log?after=%00", 400),
        ("/?mailbox=%00", 400),
        ("/runs?assist%00ant=x", 400),
        ("/queue/%00", 404),
        ("/messages/em_%00", 404),
    ],
)
def test_no_page_takes_one(client: Client, reviewer: User, path: str, status: int) -> None:
    client.force_login(reviewer)
    assert client.get(path).status_code == status


def test_no_form_takes_one(client: Client, reviewer: User) -> None:
    client.force_login(reviewer)
    assert client.post("/messages/em_1/approve", "mailbox=%00", content_type=FORM).status_code == 400


def test_a_search_of_a_thousand_words_is_answered_with_a_sentence(client: Client, auditor: User) -> None:
    client.force_login(auditor)
    page = client.get("/log", {"q": " ".join(f"word{n}" for n in range(1100))})
    assert page.status_code == 200
    assert "at most 20 words" in page.content.decode()
