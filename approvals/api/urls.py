"""/v1, /health and /hooks."""

from __future__ import annotations

from django.urls import path, re_path, register_converter
from django.urls.converters import StringConverter

from approvals.api import (
    account,
    attachments,
    contacts,
    domains,
    emails,
    export,
    feedback,
    flat,
    hooks,
    keys,
    mailboxes,
    messages,
    operator,
    oversight,
    runs,
    sending,
    system,
    webhooks,
)
from approvals.views.approving import approve_link


class IdConverter(StringConverter):
    """Ours and foreign ones; what cannot be an id never reaches the database."""

    regex = r"[A-Za-z0-9_.:-]{1,200}"


class TextConverter(StringConverter):
    """The rest of the path, slashes too: escaping them or not comes to the same here."""

    regex = r"[^\x00]{1,320}"


class FileNameConverter(StringConverter):
    regex = r"[^/\x00]{1,255}"


register_converter(IdConverter, "id")
register_converter(TextConverter, "text")
register_converter(FileNameConverter, "file")

MAILBOX = "v1/mailboxes/<id:mailbox_id>"
EMAIL = f"{MAILBOX}/emails/<id:email_id>"

urlpatterns = [
    path("health", system.HealthView.as_view()),
    path("v1/openapi.json", system.OpenApiView.as_view(), name="openapi"),
    path("hooks/models/<id:connection_id>", hooks.ModelWebhookView.as_view()),
    path("hooks/mail/<id:provider>/tracking", hooks.MailTrackingView.as_view()),
    path("hooks/mail/<id:provider>/inbound", hooks.MailHandedView.as_view()),
    path("v1/mailboxes", mailboxes.MailboxesView.as_view()),
    path(MAILBOX, mailboxes.MailboxView.as_view()),
    path(f"{MAILBOX}/configure", mailboxes.ConfigureView.as_view()),
    path(f"{MAILBOX}/request-upgrade", mailboxes.RequestUpgradeView.as_view()),
    path(f"{MAILBOX}/upgrade", mailboxes.UpgradeView.as_view()),
    path(f"{MAILBOX}/allowlist", mailboxes.AllowlistView.as_view()),
    path(f"{MAILBOX}/allowlist/<text:entry>", mailboxes.AllowlistEntryView.as_view()),
    path(f"{MAILBOX}/send", sending.SendView.as_view()),
    path(f"{MAILBOX}/reply/<id:email_id>", sending.ReplyView.as_view()),
    path(f"{MAILBOX}/emails", emails.EmailsView.as_view()),
    path(EMAIL, emails.EmailView.as_view()),
    path(f"{EMAIL}/schedule", sending.ScheduleView.as_view()),
    path(f"{EMAIL}/cancel", sending.CancelView.as_view()),
    path(f"{EMAIL}/attachments/<file:name>", attachments.AttachmentView.as_view()),
    path(f"{EMAIL}/attachments/<file:name>/url", attachments.AttachmentUrlView.as_view()),
    path(f"{EMAIL}/tags", emails.TagsView.as_view()),
    path(f"{EMAIL}/tags/<text:tag>", emails.TagView.as_view()),
    path(f"{MAILBOX}/threads/<id:thread_id>", emails.ThreadView.as_view()),
    path("v1/messages/<id:message_id>", messages.message),
    path("v1/send", flat.FlatSendView.as_view()),
    path("v1/reply", flat.FlatReplyView.as_view()),
    path("v1/inbox", flat.FlatInboxView.as_view()),
    path("v1/email", flat.FlatEmailView.as_view()),
    path("v1/tag", flat.FlatTagView.as_view()),
    path("v1/oversight/pending", oversight.PendingView.as_view()),
    path("v1/oversight/decide", oversight.DecideView.as_view()),
    path("v1/emails", emails.AllEmailsView.as_view()),
    path("v1/emails/<id:email_id>/report-spam", emails.SpamView.as_view()),
    path("v1/emails/<id:email_id>/not-spam", emails.NotSpamView.as_view()),
    path("v1/account/challenge", system.SignUpView.as_view()),
    path("v1/account/resend-confirmation", system.SignUpView.as_view()),
    path("v1/confirm", system.SignUpView.as_view()),
    path("v1/slug-check/<text:slug>", system.SignUpView.as_view()),
    path("v1/billing/pricing-checkout", system.SignUpView.as_view()),
    path("v1/billing/session-key", system.SignUpView.as_view()),
    path("v1/billing/<id:what>", system.BillingView.as_view()),
    path("v1/account", account.AccountView.as_view()),
    path("v1/export", export.ExportView.as_view()),
    path("v1/operator/start-session", operator.StartSessionView.as_view()),
    path("v1/operator/verify-session", operator.VerifySessionView.as_view()),
    path("v1/operator/end-session", operator.EndSessionView.as_view()),
    path("v1/operator/session", operator.SessionView.as_view()),
    path("v1/feedback", feedback.FeedbackView.as_view()),
    path("v1/usage", account.UsageView.as_view()),
    path("v1/audit-log", account.AuditLogView.as_view()),
    path("v1/api-keys", keys.KeysView.as_view()),
    path("v1/api-keys/<id:key_id>", keys.KeyView.as_view()),
    path("v1/domains", domains.DomainsView.as_view()),
    path("v1/domains/<id:domain_id>", domains.DomainView.as_view()),
    path("v1/domains/<id:domain_id>/verify", domains.VerifyDomainView.as_view()),
    path("v1/contacts", contacts.ContactsView.as_view()),
    path("v1/contacts/<id:contact_id>", contacts.ContactView.as_view()),
    path("v1/suppression", contacts.SuppressionsView.as_view()),
    path("v1/suppression/<text:address>", contacts.SuppressionView.as_view()),
    path(f"{MAILBOX}/webhooks", webhooks.MailboxWebhooksView.as_view()),
    path("v1/webhooks", webhooks.WebhooksView.as_view()),
    path("v1/webhooks/<id:webhook_id>", webhooks.WebhookView.as_view()),
    path("v1/webhooks/<id:webhook_id>/rotate-secret", webhooks.RotateView.as_view()),
    path("v1/webhooks/<id:webhook_id>/test", webhooks.TestView.as_view()),
    path("v1/webhook-deliveries", webhooks.DeliveriesView.as_view()),
    path("v1/webhook-deliveries/<id:delivery_id>/redeliver", webhooks.RedeliverView.as_view()),
    path("v1/approve/<str:token>", approve_link, name="approve_link"),
    path("v1/tools", runs.ToolsView.as_view()),
    path("v1/runs", runs.RunsView.as_view()),
    path("v1/runs/<id:run_id>", runs.RunView.as_view()),
    re_path(r"^v1/", system.NothingView.as_view()),
]
