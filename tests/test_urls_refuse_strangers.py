"""Every URL refuses a stranger, unless it stands on the one list of public addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.shortcuts import resolve_url
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

# a route as it stands in the URL conf, and why strangers may have it
PUBLIC = {
    "health": "a load balancer has no key",
    "healthz": "the same",
    "readyz": "the same",
    "v1/openapi.json": "documentation",
    "hooks/models/<id:connection_id>": "a run server's signature is what lets it in",
    "hooks/mail/<id:provider>/inbound": "a provider's secret or signature is what lets it in",
    "hooks/mail/<id:provider>/tracking": "a mail provider's signature or password is what lets it in",
    "attachments/<str:token>": "a signed link, good for an hour",
    "v1/account/challenge": "sign-up, which is off",
    "v1/account/resend-confirmation": "sign-up, which is off",
    "v1/confirm": "sign-up, which is off",
    "v1/slug-check/<text:slug>": "sign-up, which is off",
    "v1/billing/pricing-checkout": "sign-up, which is off",
    "v1/billing/session-key": "sign-up, which is off",
    "sign-in": "the way in",
    "sign-in/": "the way in",
    "sign-in/<str:token>": "a one-time link: GET shows, POST acts",
    "sign-in/link/<str:token>": "a one-time link: GET shows, POST acts",
    ".well-known/multimail-signing-key": "recipients verify the identity header with it",
    "docs/api": "documentation",
    "check": "anybody may ask what a message proves",
    "unsubscribe/<str:token>": "a signed link: GET shows, POST acts",
}

# strangers may ask for an account, and are told that there is none to be had
SIGN_UP = {("POST", "v1/account")}


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each route as it is written, and a path that it matches."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield (
                route,
                "/" + re.sub(r"<(?:(\w+):)?\w+>", lambda found: sample(found[1]), route.replace("^", "")),
            )


def sample(converter: str | None) -> str:
    return (
        "1" if converter == "int" else "00000000-0000-0000-0000-000000000000" if converter == "uuid" else "x"
    )


ALL = dict(routes(get_resolver().url_patterns))


def refuses(client: Client, method: str, path: str) -> bool:
    response = client.generic(method, path, "{}", content_type="application/json")
    if response.status_code in (301, 302, 303):
        return response.headers["Location"].startswith(resolve_url(settings.LOGIN_URL))
    # 404 would mean that an object was looked for before anybody asked who is asking
    return response.status_code in (401, 405)


def test_there_are_urls() -> None:
    assert len(ALL) > 20


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("route", sorted(ALL.keys() - PUBLIC.keys()))
def test_a_stranger_is_refused(db: None, client: Client, route: str, method: str) -> None:
    if (method, route) in SIGN_UP:
        response = client.generic(method, ALL[route], "{}", content_type="application/json")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    else:
        assert refuses(client, method, ALL[route])


@pytest.mark.parametrize("route", sorted(ALL.keys() - PUBLIC.keys()))
def test_a_made_up_key_is_refused(db: None, route: str) -> None:
    client = Client(headers={"Authorization": "Bearer mm_live_" + "x" * 43})
    assert refuses(client, "GET", ALL[route])
    assert ("POST", route) in SIGN_UP or refuses(client, "POST", ALL[route])


@pytest.mark.parametrize("route", sorted(ALL.keys() & PUBLIC.keys()))
def test_a_public_address_answers_a_stranger(db: None, client: Client, route: str) -> None:
    response = client.get(ALL[route])
    if response.status_code == 405:
        response = client.post(ALL[route])
    assert response.status_code in (200, 404, 410)
