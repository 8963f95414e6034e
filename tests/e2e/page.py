"""The integration page's program: the official openai client, and requests for its tool calls.

It knows nothing of this project but two base URLs and a key.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import openai
import requests
from openai.types.beta.threads import Run

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "send_email",
            "description": "Send an email from the agent's mailbox",
            "parameters": {
                "type": "object",
                "properties": {
                    "to": {"type": "string", "description": "Recipient email address"},
                    "subject": {"type": "string", "description": "Email subject line"},
                    "body": {"type": "string", "description": "Email body content"},
                    "mailbox_id": {"type": "string", "description": "Mailbox to send from"},
                },
                "required": ["to", "subject", "body", "mailbox_id"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "check_inbox",
            "description": "Check the inbox for new messages",
            "parameters": {
                "type": "object",
                "properties": {
                    "mailbox_id": {"type": "string", "description": "Mailbox to check"},
                    "limit": {"type": "integer", "description": "Max messages", "default": 20},
                },
                "required": ["mailbox_id"],
            },
        },
    },
]


class Program:
    def __init__(self, assistants_url: str, mail_url: str, key: str, patience: float = 30) -> None:
        self.client = openai.OpenAI(base_url=assistants_url, api_key=key)
        self.mail_url, self.key, self.patience = mail_url, key, patience
        self.functions: dict[str, Callable[..., Any]] = {
            "send_email": self.send_and_wait_for_approval,
            "check_inbox": lambda **arguments: self.post("/inbox", arguments),
        }
        self.outputs: list[dict[str, Any]] = []

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        response = requests.post(f"{self.mail_url}{path}", headers=headers, json=body, timeout=30)
        response.raise_for_status()
        return response.json()

    def send_and_wait_for_approval(self, **arguments: Any) -> dict[str, Any]:
        message = self.post("/send", arguments)
        end = time.monotonic() + self.patience
        while message["status"] in ("pending_approval", "sending"):
            if time.monotonic() > end:
                return {"id": message["id"], "status": "timeout"}
            time.sleep(0.1)
            message = self.status(message["id"])
        return dict(message)

    def status(self, message_id: str) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        response = requests.get(f"{self.mail_url}/messages/{message_id}", headers=headers, timeout=30)
        response.raise_for_status()
        return response.json()

    def run(self, instructions: str, question: str) -> tuple[Run, str]:
        assistant = self.client.beta.assistants.create(
            name="Email Agent", model="gpt-4o", instructions=instructions, tools=TOOLS
        )
        thread = self.client.beta.threads.create()
        self.client.beta.threads.messages.create(thread.id, role="user", content=question)
        run = self.client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
        run = self.run_until_complete(run)
        newest = self.client.beta.threads.messages.list(thread.id).data[0]
        text = newest.content[0]
        assert text.type == "text"
        return run, text.text.value

    def run_until_complete(self, run: Run) -> Run:
        end = time.monotonic() + 60
        while run.status in ("queued", "in_progress", "requires_action") and time.monotonic() < end:
            if run.status == "requires_action":
                run = self.submit(run)
            else:
                time.sleep(0.1)
                run = self.client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        return run

    def submit(self, run: Run) -> Run:
        assert run.required_action
        outputs: Any = []
        for call in run.required_action.submit_tool_outputs.tool_calls:
            result = self.functions[call.function.name](**json.loads(call.function.arguments))
            self.outputs.append(result)
            outputs.append({"tool_call_id": call.id, "output": json.dumps(result)})
        return self.client.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=run.thread_id, tool_outputs=outputs
        )
