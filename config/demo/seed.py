"""What the demo starts from: three mailboxes, two assistants, three people, and mail that came in.

Everything goes through the doors that real use goes through: provisioning, the gate, decisions. The
runs are then made by the workers, like any others.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from approvals import actions, effects, gate, outbox, provisioning
from approvals.models import OutboxEntry, User
from approvals.sign_in import mint_link
from assistants.models import Assistant
from mailboxes.models import Email, Mailbox

HERE = Path(__file__).parent
ROLES = ("reviewer", "administrator", "auditor")
# a mailbox in gated_all holds what comes in; this one is let in, so that its answer waits too
LET_IN = "<2231.1@contoso.example>"


def seed() -> bool:
    """Fill an empty install. False if it was filled before."""
    document = json.loads((HERE / "document.json").read_text())
    first = not Mailbox.objects.exists()
    provisioning.provision(with_real_model(document, dict(os.environ)))
    if first:
        for path in sorted((HERE / "mail").glob("*.eml")):
            _receive(path.read_bytes().replace(b"\n", b"\r\n"))
        outbox.drain({OutboxEntry.Kind.RECEIVE_EMAIL: effects.receive_email})
        actions.approve_inbound(Email.objects.get(message_id=LET_IN), by=_person("reviewer"))
        news = Mailbox.objects.get(address="news@acme.example")
        agent = Assistant.objects.get(name="Support Agent")
        actions.start_run(
            agent, "Tell team@acme.example about this week in support.", news, by=_person("administrator")
        )
    return first


def _receive(data: bytes) -> None:
    to = next(line for line in data.decode().splitlines() if line.startswith("To: "))[4:]
    sender = next(line for line in data.decode().splitlines() if line.startswith("From: "))
    gate.receive(Mailbox.objects.get(address=to), sender.rpartition("<")[2].rstrip(">"), to, data)


def _person(role: str) -> User:
    return User.objects.get(email=f"{role}@acme.example")


def with_real_model(document: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """With OPENAI_API_KEY or OPENAI_BASE_URL a real model takes the place of both scripts."""
    key, url = environment.get("OPENAI_API_KEY", ""), environment.get("OPENAI_BASE_URL", "")
    if not key and not url:
        return document
    served = {
        "name": "Model",
        "protocol": "chat_completions",
        "base_url": url or "https://api.openai.com/v1",
        "model": environment.get("OPENAI_MODEL") or "gpt-5-mini",
    }
    if key:
        served["api_key"] = key
    assistants = [one | {"connection": "Model"} for one in document["assistants"]]
    return document | {"connections": [served], "assistants": assistants}


def sign_in_links() -> list[tuple[str, str]]:
    """(role, one-time address) for each of the demo's people."""
    return [(role, mint_link(_person(role))) for role in ROLES]
