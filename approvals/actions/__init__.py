"""Every change of a status, one function a verb: web, API, tasks and commands call the same."""

from approvals.actions.account import begin_export, change_account, close_account
from approvals.actions.answering import choose_connection, set_inbound
from approvals.actions.connections import change_connection, create_connection, delete_connection
from approvals.actions.contacts import keep_contact, remove_contact
from approvals.actions.decide import approve, cancel, expire, reject
from approvals.actions.domains import add_domain, remove_domain, rotate_key
from approvals.actions.feedback import report_issue
from approvals.actions.inbound import (
    approve_inbound,
    expire_inbound,
    not_spam,
    read,
    reject_inbound,
    report_spam,
)
from approvals.actions.keys import change_key, create_key, revoke_key
from approvals.actions.mailbox_delivery import set_delivery
from approvals.actions.mailbox_imap import set_imap
from approvals.actions.mailbox_settings import change_mailbox, create_mailbox, delete_mailbox
from approvals.actions.model_webhooks import receive_webhook
from approvals.actions.oversight import change_mode, hold, lift_hold, set_mode
from approvals.actions.people import change_person, create_person, let_in, set_active
from approvals.actions.receipts import forget_mail_hooks, receive_mail_hook, record_report
from approvals.actions.runs import retry_resume, send_follow_up
from approvals.actions.settle import give_up, mark_sent, retry, send_again
from approvals.actions.setup import allow, disallow, start_run
from approvals.actions.signing import rotate_signing_key
from approvals.actions.suppression import suppress, unsubscribe, unsuppress
from approvals.actions.webhooks import (
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    redeliver,
    rotate_secret,
    test_endpoint,
)

__all__ = [
    "add_domain",
    "allow",
    "approve",
    "approve_inbound",
    "begin_export",
    "cancel",
    "change_account",
    "change_connection",
    "change_endpoint",
    "change_key",
    "change_mailbox",
    "change_mode",
    "change_person",
    "choose_connection",
    "close_account",
    "create_connection",
    "create_endpoint",
    "create_key",
    "create_mailbox",
    "create_person",
    "delete_connection",
    "delete_endpoint",
    "delete_mailbox",
    "disallow",
    "expire",
    "expire_inbound",
    "forget_mail_hooks",
    "give_up",
    "hold",
    "keep_contact",
    "let_in",
    "lift_hold",
    "mark_sent",
    "not_spam",
    "read",
    "receive_mail_hook",
    "receive_webhook",
    "record_report",
    "redeliver",
    "reject",
    "reject_inbound",
    "remove_contact",
    "remove_domain",
    "report_issue",
    "report_spam",
    "retry",
    "retry_resume",
    "revoke_key",
    "rotate_key",
    "rotate_secret",
    "rotate_signing_key",
    "send_again",
    "send_follow_up",
    "set_active",
    "set_delivery",
    "set_imap",
    "set_inbound",
    "set_mode",
    "start_run",
    "suppress",
    "test_endpoint",
    "unsubscribe",
    "unsuppress",
]
