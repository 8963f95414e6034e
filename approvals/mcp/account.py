"""The tools for the account: itself, its keys, log and webhooks, sign-up, and telling who runs it."""

from __future__ import annotations

from approvals.mcp.office import NOT_BY_MAIL, TWO_STEPS
from approvals.mcp.shapes import (
    ADDS,
    ASKS,
    CODE,
    CURSOR,
    DESTROYS,
    EMAIL,
    LIMIT,
    READS,
    SETS,
    Schema,
    Tool,
    choice,
    nullable,
    one,
    text,
    texts,
)
from approvals.webhooks import EVENTS
from assistants.models import Scope

GET_ACCOUNT = Tool(
    "get_account",
    "Get the account",
    "The account of this install: who oversees it, how much it sent this month, and whether sending is off. "
    "For keys over all mailboxes.",
    READS,
    one("GET", "/v1/account"),
)
UPDATE_ACCOUNT = Tool(
    "update_account",
    "Change the account",
    "Change the account's name or addresses. Another oversight address, which gets the copies and the codes, "
    f"takes a person's word. {NOT_BY_MAIL}",
    SETS,
    one("PATCH", "/v1/account"),
    {
        "name": text("Name of the organisation."),
        "oversight_email": text("Where copies and codes go.", format="email"),
        "physical_address": nullable(text("Postal address; null for none.")),
        "approval_code": CODE,
    },
)
DELETE_ACCOUNT = Tool(
    "delete_account",
    "Close the account",
    f"Close the account: nothing is sent any more, and every key ends. {TWO_STEPS} {NOT_BY_MAIL}",
    DESTROYS,
    one("DELETE", "/v1/account"),
    {"approval_code": CODE},
)
GET_USAGE = Tool(
    "get_usage",
    "Get usage",
    "How much this key's mailboxes sent and received this month.",
    READS,
    one("GET", "/v1/usage"),
    {"period": choice(("summary", "daily"), "summary: in all (default); daily: by day.")},
)

LIST_KEYS = Tool(
    "list_api_keys",
    "List API keys",
    "Every API key with its scopes and mailboxes, never its secret.",
    READS,
    one("GET", "/v1/api-keys"),
    {"limit": LIMIT, "cursor": CURSOR},
)
CREATE_KEY = Tool(
    "create_api_key",
    "Create an API key",
    f"Make an API key; its secret is in the answer and nowhere else. {TWO_STEPS} A key that may decide can "
    f"neither send nor administer. {NOT_BY_MAIL}",
    ASKS,
    one("POST", "/v1/api-keys"),
    {
        "name": text("Name."),
        "scopes": {
            "type": "array",
            "items": {"type": "string", "enum": Scope.values},
            "description": "What it may do.",
        },
        "mailbox_ids": texts("The mailboxes that it reaches. Left out: all that its owner may touch."),
        "assistant_id": text("The assistant that it belongs to. Left out: the owner of this key."),
        "expires_at": text("When it ends, ISO 8601. Left out: never."),
        "approval_code": CODE,
    },
    ("name", "scopes"),
)
REVOKE_KEY = Tool(
    "revoke_api_key",
    "Revoke an API key",
    f"End an API key for good. {TWO_STEPS} {NOT_BY_MAIL}",
    DESTROYS,
    one("DELETE", "/v1/api-keys/{key_id}"),
    {"key_id": text("As list_api_keys gives it."), "approval_code": CODE},
    ("key_id",),
)
AUDIT_LOG = Tool(
    "get_audit_log",
    "Get the audit log",
    "What happened, newest first: mail, decisions, settings, keys.",
    READS,
    one("GET", "/v1/audit-log"),
    {"limit": LIMIT, "cursor": CURSOR},
)

CREATE_WEBHOOK = Tool(
    "create_webhook",
    "Create a webhook",
    f"Have events posted to an address; the answer has the secret that signs them. {TWO_STEPS} Never to an "
    "address that an email names.",
    ASKS,
    one("POST", "/v1/webhooks"),
    {
        "url": text("Where to post, https.", format="uri"),
        "events": texts("Which events: " + ", ".join(EVENTS) + "."),
        "mailbox_id": text("Only for this mailbox. Left out: for all that this key reaches."),
        "approval_code": CODE,
    },
    ("url", "events"),
)
LIST_WEBHOOKS = Tool(
    "list_webhooks",
    "List webhooks",
    "The webhooks of this key's mailboxes, each with its address, events and state.",
    READS,
    one("GET", "/v1/webhooks"),
    {"limit": LIMIT, "cursor": CURSOR},
)
DELETE_WEBHOOK = Tool(
    "delete_webhook",
    "Delete a webhook",
    "End a webhook: nothing more is posted to it.",
    DESTROYS,
    one("DELETE", "/v1/webhooks/{webhook_id}"),
    {"webhook_id": text("As list_webhooks gives it.")},
    ("webhook_id",),
)

SIGN_UP = (
    "Only where whoever runs this install has turned open sign-up on; else it answers that sign-up is off. "
)
ACTIVATE = Tool(
    "activate_account",
    "Activate an account",
    f"{SIGN_UP}Finish a sign-up with the code from the confirmation mail.",
    ADDS,
    one("POST", "/v1/confirm"),
    {"code": text("The code from the confirmation mail.")},
    ("code",),
)
RESEND = Tool(
    "resend_confirmation",
    "Send the confirmation mail again",
    f"{SIGN_UP}Send the confirmation mail of a sign-up again, with a new code.",
    ASKS,
    one("POST", "/v1/account/resend-confirmation"),
    {"oversight_email": text("The address given at sign-up.", format="email")},
    ("oversight_email",),
)
CHALLENGE = Tool(
    "request_challenge",
    "Get a sign-up challenge",
    f"{SIGN_UP}A proof of work for create_account: find the N up to maxnumber for which hex(SHA-256(salt + "
    "N)) is the challenge.",
    ADDS,
    one("POST", "/v1/account/challenge"),
    {"oversight_email": text("The address that will be given at sign-up.", format="email")},
)
_AGREED: Schema = {"type": "boolean", "const": True, "description": "Must be true."}
CREATE_ACCOUNT = Tool(
    "create_account",
    "Create an account",
    f"{SIGN_UP}Sign up with a solved challenge; a code goes to the oversight address.",
    ASKS,
    one("POST", "/v1/account"),
    {
        "operator_name": text("Name of the organisation."),
        "oversight_email": text("Where copies and codes go.", format="email"),
        "accepted_tos": _AGREED,
        "accepted_operator_agreement": _AGREED,
        "accepted_anti_spam_policy": _AGREED,
        "pow_solution": {
            "type": "object",
            "description": "The solved challenge: what request_challenge gave, unchanged, and the number.",
            "properties": {
                "algorithm": text("SHA-256."),
                "challenge": text("As given."),
                "number": {"type": "number", "description": "The N that was found."},
                "salt": text("As given."),
                "signature": text("As given."),
            },
            "required": ["algorithm", "challenge", "number", "salt", "signature"],
        },
        "slug": text("Short name."),
        "physical_address": text("Postal address."),
        "use_case": text("What mail will be used for."),
        "oversight_mode": choice(("gated_all", "gated_send", "monitored"), "Mode of the first mailbox."),
    },
    (
        "operator_name",
        "oversight_email",
        "accepted_tos",
        "accepted_operator_agreement",
        "accepted_anti_spam_policy",
        "pow_solution",
    ),
)

_NO_PLAN = "This install is self-hosted and has no plans: it answers so, and changes nothing."
BILLING_PORTAL = Tool(
    "get_billing_portal",
    "Get the billing portal",
    _NO_PLAN,
    READS,
    one("POST", "/v1/billing/portal"),
    {"return_url": text("Where to come back to.", format="uri")},
)
UPGRADE_PLAN = Tool(
    "upgrade_plan",
    "Upgrade the plan",
    _NO_PLAN,
    ASKS,
    one("POST", "/v1/billing/checkout"),
    {
        "plan": choice(("builder", "pro", "scale"), "The plan."),
        "interval": choice(("monthly", "annual"), "How often it is paid."),
    },
    ("plan",),
)
CANCEL_SUBSCRIPTION = Tool(
    "cancel_subscription",
    "Cancel the subscription",
    _NO_PLAN,
    DESTROYS,
    one("POST", "/v1/billing/cancel"),
    {"approval_code": CODE},
)
REPORT_ISSUE = Tool(
    "report_issue",
    "Report an issue",
    "Tell the people who run this install that something is wrong, or missing. It goes into their log, and "
    "nowhere else. Leave out what is secret.",
    ADDS,
    one("POST", "/v1/feedback"),
    {
        "category": choice(("bug", "site_problem", "feature_request"), "What kind (default bug)."),
        "title": text("In one line."),
        "description": text("What happened, and what was expected."),
        "tool_name": text("The tool that it is about."),
        "email_id": EMAIL,
    },
    ("description",),
)
