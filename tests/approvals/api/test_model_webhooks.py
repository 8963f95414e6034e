"""Webhooks from run servers, signed by the package that others sign them with."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook

from approvals import effects, outbox, tasks
from approvals.models import OutboxEntry
from assistants import actions, webhooks
from assistants.models import Assistant, Connection, ModelWebhook, Run
from assistants.observe import Snapshot, observe
from mailboxes.models import Mailbox
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

_number = count(1)


@pytest.fixture
def connection(db: None) -> Connection:
    made = factories.a_connection(protocol=Connection.Protocol.AGENTS, base_url="http://127.0.0.1:1/v1")
    made.webhook_secret = SECRET
    made.save()
    return made


@pytest.fixture
def run(connection: Connection, mailbox: Mailbox) -> Run:
    """Driven by us; its next look is far off."""
    assistant = factories.an_assistant(mailboxes=[mailbox], connection=connection)
    seen = Snapshot("turn_1", "sess_1", "agent_1", "in_progress", latest_id="resp_2")
    run = observe(assistant, Run.Driver.COUNTERSEAL, seen)
    Run.objects.update(sync_due_at=timezone.now() + timedelta(hours=1), quiet_looks=5)
    return run


def event(kind: str = "agent.session.action_required", of: str = "sess_1", **more: Any) -> bytes:
    body = {"id": "evt_1", "object": "event", "created_at": 1, "type": kind, "data": {"id": of} | more}
    return json.dumps(body).encode()


def headers(
    body: bytes, secret: str = SECRET, *, webhook_id: str = "", at: datetime | None = None
) -> dict[str, str]:
    webhook_id, at = webhook_id or f"wh_{next(_number)}", at or timezone.now()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, at, body.decode()),
    }


def post(client: Client, connection: Connection | str, body: bytes, signed: dict[str, str]) -> Any:
    pk = connection if isinstance(connection, str) else connection.pk
    return client.post(f"/hooks/models/{pk}", body, content_type="application/json", headers=dict(signed))


def hear(client: Client, connection: Connection, body: bytes, **options: Any) -> None:
    assert post(client, connection, body, headers(body, **options)).status_code == 200


def is_due(run: Run) -> bool:
    return Run.objects.due(timezone.now()).filter(pk=run.pk, quiet_looks=0).exists()


def read_all() -> int:
    return outbox.drain({OutboxEntry.Kind.READ_WEBHOOK: effects.read_webhook})


class TestReceiving:
    def test_it_is_kept_and_promised_before_it_is_answered_and_nothing_else_is_done(
        self, client: Client, connection: Connection, run: Run
    ) -> None:
        body = event(required_action={"type": "function_call"})
        hear(client, connection, body, webhook_id="wh_x")
        kept = ModelWebhook.objects.get()
        assert (kept.connection, kept.webhook_id, kept.done_at) == (connection, "wh_x", None)
        assert kept.payload == json.loads(body)
        entry = OutboxEntry.objects.get()
        assert (entry.kind, entry.ref) == ("read_webhook", str(kept.pk))
        assert not is_due(run)

    def test_a_repeat_is_answered_alike_and_does_nothing(
        self, client: Client, connection: Connection, run: Run
    ) -> None:
        body = event()
        signed = headers(body)
        for _ in range(3):
            assert post(client, connection, body, signed).status_code == 200
        assert read_all() == 1
        assert post(client, connection, body, signed).status_code == 200
        assert read_all() == 0
        assert ModelWebhook.objects.count() == 1

    def test_two_connections_may_hear_the_same_id(self, client: Client, connection: Connection) -> None:
        other = factories.a_connection(protocol=Connection.Protocol.RESPONSES)
        other.webhook_secret = OTHER_SECRET
        other.save()
        hear(client, connection, event(), webhook_id="wh_same")
        hear(client, other, event(), webhook_id="wh_same", secret=OTHER_SECRET)
        assert ModelWebhook.objects.count() == 2

    def test_one_of_several_signatures_is_enough(self, client: Client, connection: Connection) -> None:
        """While a secret is replaced, both sign."""
        body = event()
        signed = headers(body)
        old = Webhook(OTHER_SECRET).sign(signed["webhook-id"], timezone.now(), body.decode())
        signed["webhook-signature"] = f"{old} {signed['webhook-signature']}"
        assert post(client, connection, body, signed).status_code == 200

    def test_text_that_no_database_takes_is_kept_without_it(
        self, client: Client, connection: Connection
    ) -> None:
        hear(client, connection, b'{"type": "x\\u0000", "data": {"id": "\\ud800"}}')
        assert ModelWebhook.objects.get().payload == {"type": "x�", "data": {"id": "�"}}
        assert read_all() == 1

    def test_it_is_heard_and_checked_also_while_the_api_key_cannot_be_read(
        self, client: Client, connection: Connection, run: Run
    ) -> None:
        """That key has no part in a signature."""
        Connection.objects.update(api_key_encrypted="of another SECRET_KEY")
        body = event()
        assert post(client, connection, body, headers(body, OTHER_SECRET)).status_code == 401
        hear(client, connection, body)


class TestRefusing:
    def refused(
        self, client: Client, connection: Connection | str, body: bytes, signed: dict[str, str]
    ) -> Any:
        answer = post(client, connection, body, signed)
        assert ModelWebhook.objects.count() == 0
        assert OutboxEntry.objects.count() == 0
        return answer

    def test_what_another_secret_signed(self, client: Client, connection: Connection) -> None:
        body = event()
        answer = self.refused(client, connection, body, headers(body, OTHER_SECRET))
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")

    def test_what_was_changed_on_the_way(self, client: Client, connection: Connection) -> None:
        answer = self.refused(client, connection, event(of="sess_2"), headers(event()))
        assert answer.status_code == 401

    def test_an_id_that_was_not_signed(self, client: Client, connection: Connection) -> None:
        """Else a captured one could be repeated under ever new ids."""
        body = event()
        answer = self.refused(client, connection, body, headers(body) | {"webhook-id": "wh_new"})
        assert answer.status_code == 401

    @pytest.mark.parametrize("minutes", [-6, 6])
    def test_what_was_signed_at_another_time(
        self, client: Client, connection: Connection, minutes: int
    ) -> None:
        body = event()
        signed = headers(body, at=timezone.now() + timedelta(minutes=minutes))
        answer = self.refused(client, connection, body, signed)
        assert answer.status_code == 401
        assert "timestamp" in answer.json()["error"]

    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_what_lacks_a_header(self, client: Client, connection: Connection, name: str) -> None:
        body = event()
        signed = headers(body)
        del signed[name]
        answer = self.refused(client, connection, body, signed)
        assert answer.status_code == 400
        assert name in answer.json()["error"]

    @pytest.mark.parametrize("signature", ["", "v1,", "v2,abc", "v1,é", "\xff" * 20, "v1," + "A" * 5000])
    def test_what_is_no_signature(self, client: Client, connection: Connection, signature: str) -> None:
        body = event()
        answer = self.refused(client, connection, body, headers(body) | {"webhook-signature": signature})
        assert answer.status_code in (400, 401)

    @pytest.mark.parametrize("at", ["", "soon", "1e9", "9" * 5000])
    def test_what_is_no_time(self, client: Client, connection: Connection, at: str) -> None:
        body = event()
        answer = self.refused(client, connection, body, headers(body) | {"webhook-timestamp": at})
        assert answer.status_code in (400, 401)

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"no", b'{"a": 1', b'"x"', b'{"a": NaN}', b"[" * 60_000, b'{"a":' * 9000]
    )
    def test_what_is_signed_and_no_object(self, client: Client, connection: Connection, body: bytes) -> None:
        answer = self.refused(client, connection, body, headers(body))
        assert (answer.status_code, answer.json()["error"]) == (400, "The body is not a JSON object.")

    def test_what_is_no_text(self, client: Client, connection: Connection) -> None:
        answer = self.refused(client, connection, b"\xff\xfe", headers(b"x"))
        assert answer.status_code == 400

    def test_an_id_too_long_to_keep(self, client: Client, connection: Connection) -> None:
        body = event()
        answer = self.refused(client, connection, body, headers(body, webhook_id="w" * 201))
        assert answer.status_code == 400

    def test_what_is_too_large(self, client: Client, connection: Connection) -> None:
        body = event(padding="x" * webhooks.LARGEST)
        answer = self.refused(client, connection, body, headers(body))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    def test_all_where_no_secret_is_set(self, client: Client, connection: Connection) -> None:
        """An empty one would be known to everybody."""
        Connection.objects.update(webhook_secret_encrypted="")
        body = event()
        signed = headers(body)
        unsigned = "v1," + "A" * 43 + "="
        for signature in (signed["webhook-signature"], unsigned):
            answer = self.refused(client, connection, body, signed | {"webhook-signature": signature})
            assert answer.status_code == 404

    def test_all_where_the_secret_cannot_be_read_any_more(
        self, client: Client, connection: Connection, settings: Any
    ) -> None:
        body = event()
        settings.SECRET_KEY = "another"
        assert self.refused(client, connection, body, headers(body)).status_code == 404

    def test_all_for_a_model_behind_our_own_server(self, client: Client, connection: Connection) -> None:
        Connection.objects.update(protocol=Connection.Protocol.CHAT_COMPLETIONS)
        body = event()
        assert self.refused(client, connection, body, headers(body)).status_code == 404

    def test_an_unknown_connection(self, client: Client, db: None) -> None:
        body = event()
        assert self.refused(client, "con_nobody", body, headers(body)).status_code == 404

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_every_other_method(self, client: Client, connection: Connection, method: str) -> None:
        assert getattr(client, method)(f"/hooks/models/{connection.pk}").status_code == 405


class TestReading:
    @pytest.mark.parametrize(
        ("kind", "of"),
        [
            ("agent.session.action_required", "sess_1"),
            ("agent.session.in_progress", "sess_1"),
            ("agent.session.idle", "sess_1"),
            ("agent.session.failed", "sess_1"),
            ("response.completed", "resp_2"),
            ("response.failed", "resp_2"),
            ("response.cancelled", "turn_1"),
        ],
    )
    def test_its_run_is_asked_for_again(
        self, client: Client, connection: Connection, run: Run, kind: str, of: str
    ) -> None:
        hear(client, connection, event(kind, of))
        assert read_all() == 1
        assert is_due(run)
        assert ModelWebhook.objects.get().done_at

    @pytest.mark.parametrize(
        ("kind", "of"),
        [
            ("agent.session.idle", "sess_2"),
            ("agent.session.idle", "resp_2"),
            ("response.completed", "sess_1"),
            ("response.completed", ""),
            ("batch.completed", "sess_1"),
            ("agent.environment.ready", "sess_1"),
            ("something.new", "sess_1"),
        ],
    )
    def test_what_means_nothing_to_us_is_accepted_and_ignored(
        self, client: Client, connection: Connection, run: Run, kind: str, of: str
    ) -> None:
        hear(client, connection, event(kind, of))
        assert read_all() == 1
        assert not is_due(run)

    @pytest.mark.parametrize(
        "body", [b"{}", b'{"type": 5, "data": {"id": []}}', b'{"type": "x", "data": []}']
    )
    def test_what_names_nothing_is_accepted_and_ignored(
        self, client: Client, connection: Connection, run: Run, body: bytes
    ) -> None:
        hear(client, connection, body)
        assert read_all() == 1
        assert not is_due(run)

    def test_a_run_elsewhere_and_one_that_has_ended_are_left_alone(
        self, client: Client, connection: Connection, run: Run
    ) -> None:
        Run.objects.update(status=Run.Status.COMPLETED, ended_at=timezone.now())
        there = factories.a_connection(protocol=Connection.Protocol.AGENTS)
        assistant = factories.an_assistant(connection=there)
        elsewhere = observe(
            assistant, Run.Driver.COUNTERSEAL, Snapshot("turn_9", "sess_1", "agent_1", "in_progress")
        )
        hear(client, connection, event())
        read_all()
        assert not is_due(run)
        assert not is_due(elsewhere)

    def test_a_burst_is_one_look(self, client: Client, connection: Connection, run: Run) -> None:
        for _ in range(40):
            hear(client, connection, event())
        assert read_all() == 40
        assert Run.objects.due(timezone.now()).count() == 1

    def test_a_plan_that_waits_for_a_session_tries_once_it_is_idle(
        self, client: Client, connection: Connection, run: Run
    ) -> None:
        Run.objects.update(status=Run.Status.COMPLETED, ended_at=timezone.now())
        plan = actions.plan_run(run.assistant, cause=Run.Cause.PERSON, prompt="And?", thread_id="sess_1")
        hear(client, connection, event("agent.session.in_progress"))
        read_all()
        assert not OutboxEntry.objects.filter(kind="start_run").exists()
        hear(client, connection, event("agent.session.idle"))
        read_all()
        assert OutboxEntry.objects.get(kind="start_run").ref == plan.pk
        # there is no run yet that could be read
        plan.refresh_from_db()
        assert plan.sync_due_at is None

    def test_the_worker_reads_it(self, client: Client, connection: Connection, run: Run) -> None:
        hear(client, connection, event())
        assert tasks.drain() == 1
        assert is_due(run)

    def test_one_that_was_swept_meanwhile_is_no_failure(
        self, client: Client, connection: Connection, run: Run
    ) -> None:
        hear(client, connection, event())
        ModelWebhook.objects.all().delete()
        assert read_all() == 1
        assert OutboxEntry.objects.get().last_error == ""


def test_after_a_week_they_are_forgotten(
    client: Client, connection: Connection, assistant: Assistant
) -> None:
    hear(client, connection, event())
    now = timezone.now()
    assert webhooks.sweep(now + timedelta(days=6)) == 0
    assert webhooks.sweep(now + timedelta(days=8)) == 1
