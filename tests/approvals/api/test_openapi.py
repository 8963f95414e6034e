"""GET /health and GET /v1/openapi.json."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import DatabaseError
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from rest_framework.test import APIClient

from approvals.api import urls
from audit import watch
from tests.approvals.api.caller import document


def test_the_document_is_valid_openapi_3_1_for_anybody(db: None) -> None:
    document = APIClient().get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    validate(document, cls=OpenAPIV31SpecValidator)


def test_every_address_is_in_the_document(db: None) -> None:
    documented = APIClient().get("/v1/openapi.json").json()["paths"]
    # the hooks are for run servers and mail providers, not for callers
    mounted = [str(p.pattern) for p in urls.urlpatterns if not str(p.pattern).startswith("hooks/")]
    hidden = {"v1/openapi.json", "^v1/", "v1/billing/<id:what>"}
    hidden |= {
        "v1/account/challenge",
        "v1/account/resend-confirmation",
        "v1/confirm",
    }
    hidden |= {"v1/slug-check/<text:slug>", "v1/billing/pricing-checkout", "v1/billing/session-key"}
    hidden |= {"v1/approve/<str:token>"}  # a page
    assert len(documented) == len(set(mounted) - hidden)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, m, told) for path, ways in document["paths"].items() for m, told in ways.items()]


def test_every_method_of_a_view_is_documented_and_no_other() -> None:
    """By the addresses themselves: what answers is described, and what is described answers."""
    known = {(path, method) for path, method, _ in operations(document())}
    served = set()
    for pattern in urls.urlpatterns:
        view = getattr(pattern.callback, "cls", None)
        path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
        if view is not None and path in document()["paths"]:
            ways = {m for m in ("get", "post", "put", "patch", "delete") if hasattr(view, m)}
            served |= {(path, method) for method in ways & set(view.http_method_names)}
    # signing up is off, and the async view is no class
    assert served - known == {("/v1/account", "post")}
    assert {path for path, _ in known - served} <= {"/v1/messages/{id}"}


def test_every_call_has_examples_that_fit_what_they_are_examples_of() -> None:
    components = {"components": document()["components"]}
    for path, method, told in operations(document()):
        shown = list(told.get("parameters", []))
        shown += list(told.get("requestBody", {}).get("content", {}).values())
        for answer in told["responses"].values():
            shown += [c for media, c in answer.get("content", {}).items() if media == "application/json"]
        for one in shown:
            problems = OAS31Validator({**components, **one["schema"]}).iter_errors(one["example"])
            assert [problem.message for problem in problems] == [], f"{method} {path}"


def test_every_link_leads_to_a_call() -> None:
    known = {told["operationId"] for _, _, told in operations(document())}
    for _, _, told in operations(document()):
        for answer in told["responses"].values():
            assert {link["operationId"] for link in answer.get("links", {}).values()} <= known


def test_every_call_says_how_it_refuses() -> None:
    for path, method, told in operations(document()):
        if path != "/health":
            assert {"401", "403", "404", "429"} <= set(told["responses"]), f"{method} {path}"
            assert "WWW-Authenticate" in told["responses"]["401"]["headers"]
            assert "Retry-After" in told["responses"]["429"]["headers"]


def test_the_page_shows_every_call_to_anybody_and_runs_no_script(db: None) -> None:
    response = APIClient().get("/docs/api")
    page = response.content.decode()
    for _, _, told in operations(document()):
        assert f'id="{told["operationId"]}"' in page
    assert "<script" not in page
    assert "script-src" not in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense"])
def test_whatever_a_caller_accepts_it_gets_json(db: None, accept: str) -> None:
    answer = APIClient(headers={"Accept": accept}).get("/v1/mailboxes")
    assert (answer.status_code, answer["Content-Type"]) == (401, "application/json")


def test_the_document_says_how_to_sign_in(db: None) -> None:
    document = APIClient().get("/v1/openapi.json").json()
    assert document["components"]["securitySchemes"]["bearerKey"]["scheme"] == "bearer"
    assert {"bearerKey": []} in document["paths"]["/v1/send"]["post"]["security"]
    assert not document["paths"]["/health"]["get"].get("security")


def test_health_is_ok_for_anybody(db: None) -> None:
    response = APIClient().get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_health_answers_a_head(db: None) -> None:
    assert APIClient().head("/health").status_code == 200


def test_health_is_degraded_when_the_database_does_not_answer(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> int:
        raise DatabaseError("gone")

    monkeypatch.setattr(watch, "head", gone)
    response = APIClient().get("/health")
    assert (response.status_code, response.json()) == (503, {"status": "degraded"})
