"""GET /health and GET /v1/openapi.json."""

from __future__ import annotations

import pytest
from django.db import DatabaseError
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from rest_framework.test import APIClient

from approvals.api import urls
from audit import watch


def test_the_document_is_valid_openapi_3_1_for_anybody(db: None) -> None:
    document = APIClient().get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    validate(document, cls=OpenAPIV31SpecValidator)


def test_every_address_is_in_the_document(db: None) -> None:
    documented = APIClient().get("/v1/openapi.json").json()["paths"]
    mounted = [str(p.pattern) for p in urls.urlpatterns]
    # the hooks are for run servers and mail providers, not for callers
    hidden = {"v1/openapi.json", "^v1/", "hooks/models/<id:connection_id>", "v1/billing/<id:what>"}
    hidden |= {
        "hooks/mail/<id:provider>/tracking",
        "v1/account/challenge",
        "v1/account/resend-confirmation",
        "v1/confirm",
    }
    hidden |= {"v1/slug-check/<text:slug>", "v1/billing/pricing-checkout", "v1/billing/session-key"}
    hidden |= {"v1/approve/<str:token>"}  # a page
    assert len(documented) == len(set(mounted) - hidden)


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
