"""A reviewing program, over HTTP: it sees what is held, decides, and waits for what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import requests


def until(ask: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """An end to waiting, not a way to order things."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"within {seconds} s, this did not come about: {what}")


class Desk:
    def __init__(self, site: str, key: str) -> None:
        self.site, self.headers = site, {"Authorization": f"Bearer {key}"}

    def pending(self) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.site}/v1/oversight/pending", headers=self.headers, timeout=30)
        emails: list[dict[str, Any]] = answer.json()["pending"]
        return emails

    def held(self, count: int = 1) -> list[dict[str, Any]]:
        """What is pending, oldest first, once it is so many."""
        found = until(lambda: len(self.pending()) >= count and self.pending(), f"{count} held")
        assert len(found) == count
        return sorted(found, key=lambda email: str(email["id"]))

    def decide(self, email: dict[str, Any], action: str, reason: str = "") -> None:
        decision = {
            "email_id": email["id"],
            "action": action,
            "digest": email["digest"],
            "reason": reason,
        }
        answer = requests.post(
            f"{self.site}/v1/oversight/decide", headers=self.headers, json=decision, timeout=30
        )
        assert answer.status_code == 200, answer.text
