"""What a person's decision costs a program that drives its own run and asks every five seconds."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from benchmarks.install import Api, Decision, Install

EVERY = 5.0  # seconds


class Caller:
    """The loop that everybody writes: send, ask until somebody has decided, submit."""

    def __init__(self, install: Install, word: str, mailbox_id: str) -> None:
        self.word = word
        self.client = openai.OpenAI(base_url=f"{install.up.url}/openai/v1", api_key=install.agent_key)
        self.api = Api(install.up.url, install.agent_key)
        self.mailbox_id = mailbox_id
        self.email_id = ""
        self.run: Any = None

    def start(self) -> None:
        threads = self.client.beta.threads
        assistant = self.client.beta.assistants.create(model="null", tools=[_tool()])
        text = f"{self.word}: write from {self.mailbox_id}."
        self.run = threads.create_and_run(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": text}]}
        )
        while self.run.status != "requires_action":
            time.sleep(0.2)
            self.run = threads.runs.retrieve(self.run.id, thread_id=self.run.thread_id)
        self.email_id = self.api.post("send", json.loads(self._call.function.arguments))["id"]

    @property
    def _call(self) -> Any:
        return self.run.required_action.submit_tool_outputs.tool_calls[0]

    def poll(self, ready: threading.Barrier) -> float:
        """Returns when the run had taken the output."""
        ready.wait()
        while (message := self.api.get(f"messages/{self.email_id}"))["status"] in (
            "pending_approval",
            "sending",
        ):
            time.sleep(EVERY)
        self.client.beta.threads.runs.submit_tool_outputs(
            self.run.id,
            thread_id=self.run.thread_id,
            tool_outputs=[{"tool_call_id": self._call.id, "output": json.dumps(message)}],
        )
        return time.time()


def _tool() -> Any:
    return {"type": "function", "function": {"name": "send_email", "parameters": {"type": "object"}}}


def measure(install: Install, count: int) -> list[float]:
    """Seconds from each of `count` decisions, spread evenly over one interval, to its caller's submit."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    (mailbox,) = Api(install.up.url, install.agent_key).get("mailboxes")["mailboxes"]
    callers = [Caller(install, f"poll-{number}", mailbox["id"]) for number in range(count)]
    for caller in callers:
        caller.start()
    held = install.wait_for_held(count)
    ready = threading.Barrier(count + 1)
    with ThreadPoolExecutor(count) as pool:
        polls = [pool.submit(caller.poll, ready) for caller in callers]
        ready.wait()
        decisions = _decide_all(install, [held[caller.word] for caller in callers])
        waits = [poll.result() - made.sent_at for poll, made in zip(polls, decisions, strict=True)]
    for caller in callers:
        caller.client.close()
    return waits


def _decide_all(install: Install, held: Sequence[dict[str, Any]]) -> list[Decision]:
    """Evenly over the interval that begins now, as people who know nothing of it decide."""
    start, decisions = time.monotonic(), []
    for number, email in enumerate(held):
        due = start + EVERY * (number + 0.5) / len(held)
        time.sleep(max(0.0, due - time.monotonic()))
        decisions.append(install.approve(email))
    return decisions
