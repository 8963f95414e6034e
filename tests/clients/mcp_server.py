"""The calls behind the tools of MultiMail's own MCP server (`@multimail/mcp-server`), as it makes them.

It says application/json with each call, also where it sends no body, and reads every answer as JSON.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit


class ToolFailed(Exception):
    """`status`, and the sentence that the tool shows to its model."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class McpServer:
    def __init__(self, url: str, key: str, mailbox_id: str) -> None:
        self._host, self._key = urlsplit(url).netloc, key
        self._mailbox = f"/v1/mailboxes/{escaped(mailbox_id)}"

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """`path` with "~" for the mailbox of the server's setting."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        sent = json.dumps(body) if body is not None else None
        status, _, told = self._ask(method, path, sent, headers)
        data = json.loads(told)
        if status >= 400:
            raise ToolFailed(status, data["error"])
        return data

    def public(self, path: str, body: dict[str, Any]) -> Any:
        """Without the key, as the tools for signing up."""
        headers = {"Content-Type": "application/json"}
        status, _, told = self._ask("POST", path, json.dumps(body), headers)
        data = json.loads(told)
        if status >= 400:
            raise ToolFailed(status, data["error"])
        return data

    def check_inbox(self, **filters: Any) -> Any:
        wanted = {name: str(one).lower() if one is True else str(one) for name, one in filters.items()}
        return self.call("GET", f"~/emails?{urlencode(wanted)}" if wanted else "~/emails")

    def download(self, email_id: str, name: str) -> tuple[dict[str, Any], bytes]:
        """First the link, whose size decides; then the bytes."""
        path = f"~/emails/{escaped(email_id)}/attachments/{escaped(name)}"
        bearer = {"Authorization": f"Bearer {self._key}"}
        status, _, told = self._ask("GET", f"{path}/url", None, bearer)
        assert status == 200
        status, headers, octets = self._ask("GET", path, None, bearer)
        assert (status, headers["content-type"]) == (200, json.loads(told)["content_type"])
        return json.loads(told), octets

    def arrived_since(self, since_id: str | None, **filters: str) -> list[Any]:
        """One look of wait_for_email."""
        known = {"since_id": since_id} if since_id else {}
        query = urlencode({**known, "status": "unread", "limit": "5", **filters})
        found: list[Any] = self.call("GET", f"~/emails?{query}")["emails"]
        return found

    def _ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        link = HTTPConnection(self._host, timeout=60)
        try:
            link.request(method, path.replace("~", self._mailbox, 1), body, headers)
            answer = link.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, named, answer.read()
        finally:
            link.close()


def escaped(text: str) -> str:
    """encodeURIComponent"""
    return quote(text, safe="!'()*-._~")
