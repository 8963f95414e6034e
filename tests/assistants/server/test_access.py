"""Who gets at what: strangers, keys without the scope, and other assistants."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import openai
import pytest
from django.test import Client as HttpClient
from django.utils import timezone

from approvals.models import MailboxAssistant
from assistants import keys
from assistants.models import ApiKey, Assistant, Run
from assistants.server.urls import ROUTES
from tests import factories
from tests.assistants.server.conftest import Client, Script, advanced, client_of, start
from tests.servers import AsgiServer

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def paths() -> list[str]:
    names = {"<str:thread_id>": "t", "<str:run_id>": "r", "<str:assistant_id>": "a"}
    names |= {"<str:message_id>": "m", "<str:step_id>": "s", "<path:path>": "vector_stores/x"}
    return [fill(f"{route}{slash}", names) for route in ROUTES for slash in ("", "/")]


def fill(route: str, names: dict[str, str]) -> str:
    for name, filling in names.items():
        route = route.replace(name, filling)
    return route


def ask(method: str, path: str, secret: str = "", body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    sent = json.dumps(body or {})
    return HttpClient().generic(method, f"/openai/v1/{path}", sent, "application/json", headers=headers)


def secret_of(key: ApiKey) -> str:
    return key.secret  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("secret", ["", "mm_live_unknown", "nonsense:with:colons"])
def test_every_path_refuses_a_stranger(db: None, secret: str) -> None:
    for path in paths():
        for method in METHODS:
            response = ask(method, path, secret)
            assert response.status_code == 401, (method, path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            if method != "HEAD":
                assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_key_is_also_taken_from_the_header_in_which_azures_clients_send_it(api_key: ApiKey) -> None:
    for sent, status in ((secret_of(api_key), 200), ("mm_live_unknown", 401)):
        response = HttpClient(headers={"api-key": sent}).get("/openai/v1/assistants?api-version=v1")
        assert response.status_code == status


def test_dead_keys_open_nothing(assistant: Assistant) -> None:
    now = timezone.now()
    dead = [
        factories.a_key(assistant, revoked_at=now),
        factories.a_key(assistant, expires_at=now - timedelta(seconds=1)),
        factories.a_key(factories.an_assistant(is_active=False)),
    ]
    for key in dead:
        assert ask("GET", "assistants", secret_of(key)).status_code == 401


def test_a_token_of_ours_that_was_tampered_with_opens_nothing(assistant: Assistant) -> None:
    token, other = keys.internal_token(assistant), factories.an_assistant()
    assert ask("GET", "assistants", token).status_code == 200
    forged = token.replace(assistant.pk, other.pk)
    assert ask("GET", "assistants", forged).status_code == 401


def test_an_integrations_key_is_told_that_it_is_none_of_an_assistant(db: None) -> None:
    key = factories.a_key(factories.an_integration())
    response = ask("GET", "assistants", secret_of(key))
    assert response.status_code == 403
    assert "integration" in response.json()["error"]["message"]


def test_read_reads_and_send_writes(assistant: Assistant) -> None:
    reader = secret_of(factories.a_key(assistant, scopes=["read"]))
    sender = secret_of(factories.a_key(assistant, scopes=["send"]))
    assert ask("GET", "assistants", reader).status_code == 200
    assert ask("POST", "threads", sender).status_code == 200
    for secret, method, path, scope in (
        (reader, "POST", "threads", "send"),
        (sender, "GET", "assistants", "read"),
    ):
        response = ask(method, path, secret)
        assert response.status_code == 403
        assert f"the scope {scope}" in response.json()["error"]["message"]


def test_an_assistants_scopes_are_the_ceiling_of_its_keys(db: None) -> None:
    assistant = factories.an_assistant(scopes=["read"])
    key = factories.a_key(assistant, scopes=["read", "send"])
    assert ask("POST", "threads", secret_of(key)).status_code == 403


def test_what_belongs_to_another_assistant_is_not_found(
    client: Client, stranger: Client, follows: Callable[[Script], None]
) -> None:
    follows([{"say": "Hi."}])
    run = advanced(client, start(client))
    [step] = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    message = client.beta.threads.messages.list(run.thread_id).data[0]
    foreign = stranger.beta.threads.create()
    names = {"<str:run_id>": run.id, "<str:assistant_id>": run.assistant_id}
    names |= {"<str:message_id>": message.id, "<str:step_id>": step.id}
    body = {"assistant_id": run.assistant_id, "role": "user", "content": "x", "tool_outputs": []}
    own = {"assistants", "threads", f"threads/{foreign.id}", f"threads/{foreign.id}/messages"}
    asked = 0
    for path in {
        fill(route, names | {"<str:thread_id>": thread})
        for route in list(ROUTES)[:-1]
        for thread in (run.thread_id, foreign.id)
    } - own:
        for method in ("GET", "POST", "DELETE"):
            response = ask(method, path, stranger.api_key, body)
            if (method, path) == ("GET", f"threads/{foreign.id}/runs"):
                assert response.json()["data"] == []
            else:
                assert response.status_code in (404, 405), (method, path)
                asked += response.status_code == 404
    assert asked >= 30
    assert client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id).id == run.id
    assert list(stranger.beta.assistants.list()) == []


def test_an_object_is_found_only_under_its_own_thread(
    client: Client, follows: Callable[[Script], None]
) -> None:
    follows([{"say": "Hi."}])
    run, other = advanced(client, start(client)), client.beta.threads.create()
    response = ask("GET", f"threads/{other.id}/runs/{run.id}", client.api_key)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == f"No run found with id '{run.id}'."


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "vector_stores"), ("POST", "files/x"), ("GET", "models")]
)
def test_what_is_not_served_is_named(api_key: ApiKey, method: str, path: str) -> None:
    response = ask(method, path, secret_of(api_key))
    assert response.status_code == 404
    assert f"/openai/v1/{path}" in response.json()["error"]["message"]


def test_a_wrong_method_is_answered_with_the_right_ones(api_key: ApiKey) -> None:
    response = ask("PUT", "assistants/a", secret_of(api_key))
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST, DELETE")


def test_the_use_of_a_key_is_noted_once_a_minute(api_key: ApiKey) -> None:
    seen = []
    for _ in range(2):
        ask("GET", "assistants", secret_of(api_key))
        api_key.refresh_from_db()
        seen.append(api_key.last_used_at)
    assert seen[0]
    assert seen[0] == seen[1]
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    ask("GET", "assistants", secret_of(api_key))
    api_key.refresh_from_db()
    assert api_key.last_used_at
    assert api_key.last_used_at > timezone.now() - timedelta(minutes=1)


def test_writing_here_spends_the_same_tokens_as_the_mail_api(api_key: ApiKey, settings: Any) -> None:
    settings.WRITE_LIMIT, settings.WRITE_BURST = 1, 2
    answers = [ask("POST", "threads", secret_of(api_key)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    assert ask("GET", "assistants", secret_of(api_key)).status_code == 200


def test_a_narrow_key_does_not_read_what_the_driver_said_about_other_mailboxes(
    client: Client, assistant: Assistant, live_server_asgi: AsgiServer
) -> None:
    elsewhere = factories.a_mailbox()
    MailboxAssistant.objects.create(assistant=assistant, mailbox=elsewhere)
    run = start(client)
    Run.objects.filter(run_id=run.id).update(mailbox_id=elsewhere.pk, driver="counterseal")
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.messages.list(run.thread_id)
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    wide = factories.a_key(assistant, mailboxes=[elsewhere])
    with client_of(live_server_asgi, secret_of(wide)) as other:
        assert other.beta.threads.messages.list(run.thread_id).data
