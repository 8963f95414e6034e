"""Who may call at all: nobody without a key, and with one only what its scopes name."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import URLPattern, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient

from approvals.api import urls
from approvals.api.base import View
from assistants.models import ApiKey, Assistant, Scope
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import Caller

PUBLIC = {"/health", "/v1/openapi.json"}
# answered by saying that it is off
OFF = {
    "/v1/account/challenge",
    "/v1/account/resend-confirmation",
    "/v1/confirm",
    "/v1/slug-check/<text:slug>",
    "/v1/billing/pricing-checkout",
    "/v1/billing/session-key",
}
# public by signature: tests/approvals/api/test_model_webhooks.py
SIGNED = {
    "/hooks/models/<id:connection_id>",
    "/hooks/mail/<id:provider>/tracking",
    "/hooks/mail/<id:provider>/inbound",
}
# a page for people who are signed in: tests/approvals/views/test_approve_link.py
PAGES = {"/v1/approve/<str:token>"}
METHODS = ("get", "post", "put", "patch", "delete")


def every_address() -> list[str]:
    assert get_resolver().resolve("/v1/mailboxes")
    paths = [p for p in urls.urlpatterns if isinstance(p, URLPattern)]
    paths = [p for p in paths if f"/{p.pattern}" not in SIGNED | PAGES]
    return ["/" + re.sub(r"<\w+:\w+>", "mbx_1", str(p.pattern).removeprefix("^")) for p in paths]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", every_address())
def test_nobody_gets_in_without_a_key(db: None, path: str, method: str) -> None:
    response = getattr(APIClient(), method)(path, {}, format="json")
    if path in OFF or path == "/v1/slug-check/mbx_1" or (path, method) == ("/v1/account", "post"):
        assert response.status_code in (404, 405)
    elif path in PUBLIC:
        assert response.status_code == (200 if method == "get" else 405)
    elif path == "/v1/messages/mbx_1" and method != "get":
        assert response.status_code == 405
    else:
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.json()["code"] == "not_authenticated"


def views() -> list[type[View]]:
    mounted = {f"/{p.pattern}": getattr(p.callback, "cls", None) for p in urls.urlpatterns}
    return [
        view for address, view in mounted.items() if view and address not in PUBLIC | SIGNED | OFF | PAGES
    ]


@pytest.mark.parametrize("view", views())
def test_every_view_names_a_scope_for_each_of_its_methods(view: type[View]) -> None:
    assert {m.upper() for m in METHODS if hasattr(view, m)} == set(view.scopes)


def test_a_key_may_come_in_either_header(mailbox: Mailbox, api_key: ApiKey) -> None:
    secret = api_key.secret  # type: ignore[attr-defined]
    assert APIClient(headers={"X-API-Key": secret}).get("/v1/mailboxes").status_code == 200
    assert APIClient(headers={"Authorization": f"bearer {secret}"}).get("/v1/mailboxes").status_code == 200


@pytest.mark.parametrize(
    "given", ["Bearer mm_live_wrong", "Bearer ü", "Bearer", "Basic abc", "mm_live_wrong"]
)
def test_what_is_no_key_is_401(db: None, given: str) -> None:
    response = APIClient(headers={"Authorization": given}).get("/v1/mailboxes")
    assert response.status_code == 401
    assert response.json()["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
def test_a_key_that_has_ended_is_401(api_key: ApiKey, agent: Caller, end: str) -> None:
    ApiKey.objects.filter(pk=api_key.pk).update(**{end: timezone.now() - timedelta(seconds=1)})
    assert agent.get("/v1/mailboxes").status_code == 401
    assert agent.get("/v1/messages/em_1").status_code == 401


CALLS: dict[str, list[tuple[str, str]]] = {
    "read": [
        ("get", "/v1/mailboxes"),
        ("get", "/v1/mailboxes/{mailbox}"),
        ("get", "/v1/mailboxes/{mailbox}/emails"),
        ("get", "/v1/mailboxes/{mailbox}/emails/em_1"),
        ("get", "/v1/mailboxes/{mailbox}/emails/em_1/tags"),
        ("get", "/v1/mailboxes/{mailbox}/threads/thr_1"),
        ("get", "/v1/messages/em_1"),
        ("post", "/v1/inbox"),
        ("post", "/v1/email"),
        ("get", "/v1/tools"),
        ("get", "/v1/runs"),
        ("get", "/v1/runs/rn_1"),
    ],
    "send": [
        ("post", "/v1/mailboxes/{mailbox}/send"),
        ("post", "/v1/mailboxes/{mailbox}/reply/em_1"),
        ("post", "/v1/mailboxes/{mailbox}/emails/em_1/cancel"),
        ("put", "/v1/mailboxes/{mailbox}/emails/em_1/tags"),
        ("delete", "/v1/mailboxes/{mailbox}/emails/em_1/tags/vip"),
        ("post", "/v1/send"),
        ("post", "/v1/reply"),
        ("post", "/v1/tag"),
    ],
    "admin": [("post", "/v1/mailboxes")],
    "oversight": [("post", "/v1/oversight/decide")],
}
IMPLIED = {"admin": {"read", "send", "admin"}}


@pytest.mark.parametrize("scope", Scope.values)
def test_a_key_may_do_what_its_scope_names_and_nothing_else(mailbox: Mailbox, scope: str) -> None:
    caller = Caller(factories.a_key(factories.an_integration(), scopes=[scope], mailboxes=[mailbox]))
    for needed, calls in CALLS.items():
        for method, path in calls:
            response = getattr(caller, method)(path.format(mailbox=mailbox.pk), {})
            allowed = needed in IMPLIED.get(scope, {scope})
            assert (response.status_code != 403) == allowed, (path, response.content)
            if not allowed:
                assert response.json()["code"] == "missing_scope"
                assert needed in response.json()["error"]


@pytest.mark.parametrize("scope", Scope.values)
def test_what_is_pending_is_for_overseers(mailbox: Mailbox, scope: str) -> None:
    caller = Caller(factories.a_key(factories.an_integration(), scopes=[scope], mailboxes=[mailbox]))
    expected = 200 if scope in ("oversight", "oversight_read") else 403
    assert caller.get("/v1/oversight/pending").status_code == expected


def test_an_assistants_scopes_are_the_ceiling_of_its_keys(
    assistant: Assistant, agent: Caller, mailbox: Mailbox
) -> None:
    Assistant.objects.filter(pk=assistant.pk).update(scopes=["read"])
    assert agent.post(f"/v1/mailboxes/{mailbox.pk}/send", {}).status_code == 403


def test_an_address_that_does_not_exist_is_404_in_json(agent: Caller) -> None:
    response = agent.get("/v1/no/such/thing")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


def test_a_method_that_an_address_does_not_have_is_405(agent: Caller) -> None:
    assert agent.delete("/v1/mailboxes").status_code == 405
    assert agent.options("/v1/mailboxes").status_code == 405
