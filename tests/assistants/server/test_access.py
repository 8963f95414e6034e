"""Who gets at what: strangers, keys without the scope, and other assistants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.urls import URLPattern
from django.utils import timezone

from assistants import keys
from assistants.models import ApiKey, Assistant
from assistants.server.urls import urlpatterns
from tests import factories
from tests.assistants.server.conftest import Client, Script, advanced, start
from tests.servers import AsgiServer

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def paths() -> list[str]:
    routes = [pattern.pattern for pattern in urlpatterns if isinstance(pattern, URLPattern)]
    names = {"<str:thread_id>": "t", "<str:run_id>": "r", "<str:assistant_id>": "a"}
    names |= {"<str:message_id>": "m", "<str:step_id>": "s", "<path:path>": "vector_stores/x"}
    found = [str(route) for route in routes]
    for name, filling in names.items():
        found = [route.replace(name, filling) for route in found]
    return found


def ask(server: AsgiServer, method: str, path: str, secret: str = "", **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return httpx.request(method, f"{server.url}/openai/v1/{path}", headers=headers, **options)


def secret_of(key: ApiKey) -> str:
    return key.secret  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("secret", ["", "mm_live_unknown", "nonsense:with:colons"])
def test_every_path_refuses_a_stranger(live_server_asgi: AsgiServer, secret: str) -> None:
    for path in paths():
        for method in METHODS:
            response = ask(live_server_asgi, method, path, secret)
            assert response.status_code == 401, (method, path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            if method != "HEAD":
                assert response.json()["error"]["type"] == "invalid_request_error"


def test_dead_keys_open_nothing(live_server_asgi: AsgiServer, assistant: Assistant) -> None:
    now = timezone.now()
    dead = [
        factories.a_key(assistant, revoked_at=now),
        factories.a_key(assistant, expires_at=now - timedelta(seconds=1)),
        factories.a_key(factories.an_assistant(is_active=False)),
    ]
    for key in dead:
        assert ask(live_server_asgi, "GET", "assistants", secret_of(key)).status_code == 401


def test_a_token_of_ours_that_was_tampered_with_opens_nothing(
    live_server_asgi: AsgiServer, assistant: Assistant
) -> None:
    token, other = keys.internal_token(assistant), factories.an_assistant()
    assert ask(live_server_asgi, "GET", "assistants", token).status_code == 200
    forged = token.replace(assistant.pk, other.pk)
    assert ask(live_server_asgi, "GET", "assistants", forged).status_code == 401


def test_an_integrations_key_is_told_that_it_is_none_of_an_assistant(live_server_asgi: AsgiServer) -> None:
    key = factories.a_key(factories.an_integration())
    response = ask(live_server_asgi, "GET", "assistants", secret_of(key))
    assert response.status_code == 403
    assert "integration" in response.json()["error"]["message"]


def test_read_reads_and_send_writes(live_server_asgi: AsgiServer, assistant: Assistant) -> None:
    reader = secret_of(factories.a_key(assistant, scopes=["read"]))
    sender = secret_of(factories.a_key(assistant, scopes=["send"]))
    assert ask(live_server_asgi, "GET", "assistants", reader).status_code == 200
    assert ask(live_server_asgi, "POST", "threads", sender).status_code == 200
    for secret, method, path, scope in (
        (reader, "POST", "threads", "send"),
        (sender, "GET", "assistants", "read"),
    ):
        response = ask(live_server_asgi, method, path, secret)
        assert response.status_code == 403
        assert f"the scope {scope}" in response.json()["error"]["message"]


def test_an_assistants_scopes_are_the_ceiling_of_its_keys(live_server_asgi: AsgiServer) -> None:
    assistant = factories.an_assistant(scopes=["read"])
    key = factories.a_key(assistant, scopes=["read", "send"])
    assert ask(live_server_asgi, "POST", "threads", secret_of(key)).status_code == 403


def test_what_belongs_to_another_assistant_is_not_found(
    client: Client, stranger: Client, follows: Callable[[Script], None]
) -> None:
    follows([{"say": "Hi."}])
    run = advanced(client, start(client))
    [step] = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    message = client.beta.threads.messages.list(run.thread_id).data[0]
    foreign = stranger.beta.threads.create()
    names = {"<str:thread_id>": run.thread_id, "<str:run_id>": run.id, "<str:assistant_id>": run.assistant_id}
    names |= {"<str:message_id>": message.id, "<str:step_id>": step.id}
    body = {"assistant_id": run.assistant_id, "role": "user", "content": "x", "tool_outputs": []}
    asked = 0
    for pattern in urlpatterns[:-1]:
        for thread_id in (run.thread_id, foreign.id):
            path = str(pattern.pattern).replace("<str:thread_id>", thread_id)
            for name, filling in names.items():
                path = path.replace(name, filling)
            if path in ("assistants", "threads", f"threads/{foreign.id}", f"threads/{foreign.id}/messages"):
                continue
            for method in ("GET", "POST", "DELETE"):
                response = httpx.request(
                    method,
                    f"{stranger.base_url}{path}",
                    headers={"Authorization": f"Bearer {stranger.api_key}"},
                    **({"json": body} if method == "POST" else {}),
                )
                own_list = path == f"threads/{foreign.id}/runs" and method == "GET"
                assert response.status_code in ((200,) if own_list else (404, 405)), (method, path)
                asked += response.status_code == 404
    assert asked > 30
    assert client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id).id == run.id
    assert list(stranger.beta.assistants.list()) == []


def test_an_object_is_found_only_under_its_own_thread(
    client: Client, follows: Callable[[Script], None]
) -> None:
    follows([{"say": "Hi."}])
    run, other = advanced(client, start(client)), client.beta.threads.create()
    headers = {"Authorization": f"Bearer {client.api_key}"}
    response = httpx.get(f"{client.base_url}threads/{other.id}/runs/{run.id}", headers=headers)
    assert (response.status_code, response.json()["error"]["message"]) == (
        404,
        f"No run found with id '{run.id}'.",
    )


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "vector_stores"), ("POST", "files/x"), ("GET", "models")]
)
def test_what_is_not_served_is_named(
    live_server_asgi: AsgiServer, api_key: ApiKey, method: str, path: str
) -> None:
    response = ask(live_server_asgi, method, path, secret_of(api_key))
    assert response.status_code == 404
    assert f"/openai/v1/{path}" in response.json()["error"]["message"]


def test_a_wrong_method_is_answered_with_the_right_ones(
    live_server_asgi: AsgiServer, api_key: ApiKey
) -> None:
    response = ask(live_server_asgi, "PUT", "assistants/a", secret_of(api_key))
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST, DELETE")


def test_the_use_of_a_key_is_noted_once_a_minute(live_server_asgi: AsgiServer, api_key: ApiKey) -> None:
    seen = []
    for _ in range(2):
        ask(live_server_asgi, "GET", "assistants", secret_of(api_key))
        api_key.refresh_from_db()
        seen.append(api_key.last_used_at)
    assert seen[0]
    assert seen[0] == seen[1]
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    ask(live_server_asgi, "GET", "assistants", secret_of(api_key))
    api_key.refresh_from_db()
    assert api_key.last_used_at
    assert api_key.last_used_at > timezone.now() - timedelta(minutes=1)
