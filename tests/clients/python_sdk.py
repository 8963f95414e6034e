"""What MultiMail's Python SDK (`multimail` 0.1.1, and its newest source) puts on the wire, call by call.

The SDK is httpx, a table of calls, and a class for each refusal; the table stands here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx

# method, path with its arguments in order, and the key of the answer that a call hands out alone
CALLS: dict[str, tuple[str, str, str]] = {
    "get_account": ("GET", "/v1/account", ""),
    "update_account": ("PATCH", "/v1/account", ""),
    "delete_account": ("DELETE", "/v1/account", ""),
    "list_mailboxes": ("GET", "/v1/mailboxes", "mailboxes"),
    "create_mailbox": ("POST", "/v1/mailboxes", ""),
    "update_mailbox": ("PATCH", "/v1/mailboxes/{}", ""),
    "delete_mailbox": ("DELETE", "/v1/mailboxes/{}", ""),
    "list_emails": ("GET", "/v1/mailboxes/{}/emails", ""),
    "get_email": ("GET", "/v1/mailboxes/{}/emails/{}", ""),
    "send_email": ("POST", "/v1/mailboxes/{}/send", ""),
    "reply_email": ("POST", "/v1/mailboxes/{}/reply/{}", ""),
    "cancel_email": ("POST", "/v1/mailboxes/{}/emails/{}/cancel", ""),
    "get_thread": ("GET", "/v1/mailboxes/{}/threads/{}", ""),
    "report_spam": ("POST", "/v1/emails/{}/report-spam", ""),
    "not_spam": ("POST", "/v1/emails/{}/not-spam", ""),
    "get_tags": ("GET", "/v1/mailboxes/{}/emails/{}/tags", ""),
    "set_tags": ("PUT", "/v1/mailboxes/{}/emails/{}/tags", ""),
    "delete_tag": ("DELETE", "/v1/mailboxes/{}/emails/{}/tags/{}", ""),
    "list_contacts": ("GET", "/v1/contacts", "contacts"),
    "add_contact": ("POST", "/v1/contacts", ""),
    "delete_contact": ("DELETE", "/v1/contacts/{}", ""),
    "list_pending": ("GET", "/v1/oversight/pending", "pending"),
    "decide": ("POST", "/v1/oversight/decide", ""),
    "request_upgrade": ("POST", "/v1/mailboxes/{}/request-upgrade", ""),
    "apply_upgrade": ("POST", "/v1/mailboxes/{}/upgrade", ""),
    "list_api_keys": ("GET", "/v1/api-keys", "api_keys"),
    "create_api_key": ("POST", "/v1/api-keys", ""),
    "revoke_api_key": ("DELETE", "/v1/api-keys/{}", ""),
    "list_webhooks": ("GET", "/v1/webhooks", "webhooks"),
    "create_webhook": ("POST", "/v1/webhooks", ""),
    "delete_webhook": ("DELETE", "/v1/webhooks/{}", ""),
    "list_domains": ("GET", "/v1/domains", "domains"),
    "add_domain": ("POST", "/v1/domains", ""),
    "verify_domain": ("POST", "/v1/domains/{}/verify", ""),
    "delete_domain": ("DELETE", "/v1/domains/{}", ""),
    "list_suppressions": ("GET", "/v1/suppression", "suppressions"),
    "remove_suppression": ("DELETE", "/v1/suppression/{}", ""),
    "get_usage": ("GET", "/v1/usage", ""),
    "get_audit_log": ("GET", "/v1/audit-log", "entries"),
}
# what a call sends unless it is told otherwise
DEFAULTS: dict[str, dict[str, Any]] = {
    "list_emails": {"limit": 50, "offset": 0},
    "get_audit_log": {"limit": 100},
    "create_mailbox": {"oversight_mode": "gated_send"},
}


class Refused(Exception):
    """The SDK's exceptions: one class by status, with the sentence for a message."""

    def __init__(self, response: httpx.Response) -> None:
        self.status, self.body = response.status_code, response.json()
        # the SDK reads these two without asking whether they are there
        self.retry_after = float(response.headers.get("retry-after") or 0)
        super().__init__(self.body["error"])


class PythonSdk:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def opened(cls, key: str, base_url: str) -> Iterator[Self]:
        with httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}) as client:
            yield cls(client)

    def __call__(self, name: str, /, *places: str, **fields: Any) -> Any:
        """By its name, with what stands in the path and what goes with it."""
        method, path, alone = CALLS[name]
        fields = DEFAULTS.get(name, {}) | fields
        # the SDK leaves escaping to httpx
        said: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields} if fields else {}
        response = self._client.request(method, path.format(*places), **said)
        if not response.is_success:
            raise Refused(response)
        return response.json()[alone] if alone else response.json()

    def download_attachment(self, mailbox_id: str, email_id: str, name: str) -> bytes:
        path = f"/v1/mailboxes/{mailbox_id}/emails/{email_id}/attachments/{name}"
        response = self._client.get(path)
        if not response.is_success:
            raise Refused(response)
        return response.content
