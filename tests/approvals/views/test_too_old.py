"""A form that nobody can trust any more says so, wherever it was."""

from __future__ import annotations

from django.test import Client

from approvals.models import OutboundMessage, User
from tests.approvals.views.conftest import bound


def a_browser(user: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_page_answers_with_a_page(reviewer: User, held: OutboundMessage) -> None:
    answer = a_browser(reviewer).post(f"/messages/{held.pk}/approve", bound(held))
    assert answer.status_code == 403
    assert "cannot be trusted any more" in answer.content.decode()


def test_a_pane_is_loaded_again_and_says_why(reviewer: User, held: OutboundMessage) -> None:
    rita = a_browser(reviewer)
    answer = rita.post(f"/messages/{held.pk}/approve", bound(held), headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"
    assert "Nothing was done" in rita.get("/").content.decode()
    held.refresh_from_db()
    assert held.status == "pending"
