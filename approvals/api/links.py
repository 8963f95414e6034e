"""What can be done next with an answer, for programs that walk the API by its document. Pure."""

from __future__ import annotations

from typing import Any

Links = dict[str, Any]
IN_MAILBOX = {"mailbox_id": "$request.path.mailbox_id"}


def _link(operation: str, body: dict[str, Any] | None = None, **parameters: str) -> Links:
    link: Links = {"operationId": operation, "parameters": parameters}
    return link | ({"requestBody": body} if body else {})


def _all(*links: Links) -> Links:
    return {link["operationId"]: link for link in links}


def _of_mailbox(path: str) -> Links:
    here = {"mailbox_id": f"$response.body#{path}"}
    names = (
        "get_mailbox",
        "update_mailbox",
        "configure_mailbox",
        "list_emails",
        "send_email",
        "list_allowlist",
    )
    more = ("add_allowlist_entry", "request_upgrade", "list_mailbox_webhooks", "create_mailbox_webhook")
    return _all(*(_link(name, None, **here) for name in (*names, *more)))


def _of_email(path: str, mailbox: dict[str, str]) -> Links:
    here = {"email_id": f"$response.body#{path}", **mailbox}
    names = ("get_email", "cancel_message", "edit_scheduled_email", "get_tags", "set_tags", "reply_email")
    flat = {"email_id": f"$response.body#{path}"}
    return _all(
        *(_link(name, None, **here) for name in names),
        _link("get_message", id=f"$response.body#{path}"),
        _link("report_spam", None, **flat),
        _link("not_spam", None, **flat),
        _link("decide_email", {**flat, "action": "approve"}),
        _link("flat_email", flat),
    )


LISTED = {"mailbox_id": "$response.body#/items/0/mailbox_id"}
LINKS: dict[str, dict[str, Links]] = {
    "list_mailboxes": {"200": _of_mailbox("/items/0/id")},
    "create_mailbox": {
        "201": _of_mailbox("/id") | _all(_link("delete_mailbox", mailbox_id="$response.body#/id"))
    },
    "send_email": {"202": _of_email("/id", IN_MAILBOX), "200": _of_email("/id", IN_MAILBOX)},
    "reply_email": {"202": _of_email("/id", IN_MAILBOX)},
    "list_emails": {
        "200": _of_email("/items/0/id", LISTED)
        | _all(_link("get_thread", None, thread_id="$response.body#/items/0/thread_id", **LISTED))
    },
    "list_all_emails": {"200": _of_email("/items/0/id", LISTED)},
    "list_pending": {"200": _of_email("/items/0/id", LISTED)},
    "flat_inbox": {"200": _of_email("/items/0/id", LISTED)},
    "set_tags": {
        "200": _all(_link("delete_tag", None, email_id="$request.path.email_id", tag="order", **IN_MAILBOX))
    },
    "add_contact": {"201": _all(_link("delete_contact", contact_id="$response.body#/id"))},
    "list_suppressions": {
        "200": _all(_link("remove_suppression", address="$response.body#/items/0/email_address"))
    },
    "list_allowlist": {
        "200": _all(_link("remove_allowlist_entry", None, entry="$response.body#/items/0/id", **IN_MAILBOX))
    },
    "list_webhooks": {
        "200": _all(
            *(
                _link(name, webhook_id="$response.body#/items/0/id")
                for name in (
                    "get_webhook",
                    "change_webhook",
                    "rotate_webhook_secret",
                    "test_webhook",
                    "delete_webhook",
                )
            )
        )
    },
    "list_webhook_deliveries": {
        "200": _all(_link("redeliver_webhook", delivery_id="$response.body#/items/0/id"))
    },
    "list_api_keys": {
        "200": _all(
            *(_link(n, key_id="$response.body#/items/0/id") for n in ("change_api_key", "revoke_api_key"))
        )
    },
    "list_runs": {"200": _all(_link("get_run", run_id="$response.body#/items/0/id"))},
}
