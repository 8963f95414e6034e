"""Mail of one mailbox: the list with its filters, one email, its tags, its thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, gate, wire
from approvals.api import answers
from approvals.api.base import View, body, email_of, key_of, mailbox_of, one, query
from approvals.api.paging import page
from approvals.api.requests import EmailQuery, TagsRequest
from approvals.api.schema import operation
from approvals.errors import NotFound
from approvals.wire import Dialect
from assistants.models import ApiKey, Scope
from mailboxes import addressing
from mailboxes.models import Conversation, Email, EmailQuerySet

# a longer thread shows its end
THREAD_LENGTH = 100

FILTERS = {
    "sender": "from_address__icontains",
    "subject_contains": "subject__icontains",
    "date_after": "created_at__gt",
    "date_before": "created_at__lt",
    "direction": "direction",
    "since_id": "pk__gt",
}

SPAM = Q(inbound_status__in=(Email.InboundStatus.SPAM_FLAGGED, Email.InboundStatus.SPAM_QUARANTINED))
# the others are listed when asked for by status
IN_SIGHT = ~(SPAM | Q(inbound_status=Email.InboundStatus.DELETED))


def filtered(emails: EmailQuerySet, wanted: dict[str, Any], unasked: Q) -> EmailQuerySet:
    """`unasked`: what is looked for when no status is."""
    emails = emails.filter(**{lookup: wanted[name] for name, lookup in FILTERS.items() if name in wanted})
    if "has_attachments" in wanted:
        bare = Q(attachments=[])
        emails = emails.filter(~bare if wanted["has_attachments"] else bare)
    return emails.filter(wire.having_status(wanted["status"]) if "status" in wanted else unasked)


def listing(
    emails: EmailQuerySet, wanted: dict[str, Any], dialect: Dialect, unasked: Q = IN_SIGHT
) -> Response:
    found, cursor = page(wire.with_story(filtered(emails, wanted, unasked)), wanted)
    shown = [wire.email_object(email, dialect) for email in found]
    return Response({"emails": shown, "items": shown, "cursor": cursor})


def show(email: Email, key: ApiKey, dialect: Dialect) -> Response:
    return Response(wire.email_object(gate.read(email, by=key), dialect))


class EmailsView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("list_emails", answers.EmailList, parameters=[EmailQuery])
    def get(self, request: Request, mailbox_id: str) -> Response:
        """Mail in both directions, newest first."""
        key = key_of(request)
        wanted = query(request, EmailQuery)
        emails = Email.objects.visible_to(key).filter(mailbox=mailbox_of(key, mailbox_id))
        return listing(emails, wanted, Dialect.MAILBOX)


class AllEmailsView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("list_all_emails", answers.EmailList, parameters=[EmailQuery])
    def get(self, request: Request) -> Response:
        """Spam in all mailboxes within reach, newest first; or what has another `status`."""
        found = Email.objects.visible_to(key_of(request))
        return listing(found, query(request, EmailQuery), Dialect.MAILBOX, unasked=SPAM)


class SpamView(View):
    scopes = {"POST": (Scope.SEND,)}
    call_it: Callable[..., Email] = staticmethod(actions.report_spam)
    label = "spam"

    @operation("report_spam", answers.SpamAnswer, request=None)
    def post(self, request: Request, email_id: str) -> Response:
        """Put a received email away as spam."""
        return self._called(request, email_id)

    def _called(self, request: Request, email_id: str) -> Response:
        key = key_of(request)
        email = email_of(key, email_id)
        if not email.is_inbound:
            raise NotFound("There is no such received email.")
        called = self.call_it(email, by=key)
        return Response({"id": called.pk, "status": called.inbound_status, "user_label": self.label})


class NotSpamView(SpamView):
    call_it = staticmethod(actions.not_spam)
    label = "not_spam"

    @operation("not_spam", answers.SpamAnswer, request=None)
    def post(self, request: Request, email_id: str) -> Response:
        """Take a received email back from spam: it is unread again."""
        return self._called(request, email_id)


class EmailView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("get_email", wire.EmailObject)
    def get(self, request: Request, mailbox_id: str, email_id: str) -> Response:
        """One email. Reading marks it as read."""
        key = key_of(request)
        return show(email_of(key, email_id, mailbox_id), key, Dialect.MAILBOX)


class TagsView(View):
    scopes = {"GET": (Scope.READ,), "PUT": (Scope.SEND,)}

    @operation("get_tags", answers.Tags)
    def get(self, request: Request, mailbox_id: str, email_id: str) -> Response:
        return Response({"tags": email_of(key_of(request), email_id, mailbox_id).tags})

    @operation("set_tags", answers.Tags, request=TagsRequest)
    def put(self, request: Request, mailbox_id: str, email_id: str) -> Response:
        """Merged into what is there."""
        key = key_of(request)
        email = email_of(key, email_id, mailbox_id)
        return Response({"tags": gate.tag(email, by=key, set=body(request, TagsRequest)["tags"], delete=[])})


class TagView(View):
    scopes = {"DELETE": (Scope.SEND,)}

    @operation("delete_tag", answers.TagDeleted)
    def delete(self, request: Request, mailbox_id: str, email_id: str, tag: str) -> Response:
        key = key_of(request)
        email = email_of(key, email_id, mailbox_id)
        return Response({"deleted": True, "tags": gate.tag(email, by=key, set={}, delete=[tag])})


class ThreadView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("get_thread", answers.Thread)
    def get(self, request: Request, mailbox_id: str, thread_id: str) -> Response:
        """An email thread, oldest first, of what the key may see."""
        key = key_of(request)
        mailbox = mailbox_of(key, mailbox_id)
        thread = one(
            Conversation.objects.select_related("mailbox").filter(pk=thread_id, mailbox=mailbox), "thread"
        )
        emails = Email.objects.visible_to(key).filter(conversation=thread)
        newest = list(wire.with_story(emails).order_by("-pk")[:THREAD_LENGTH])
        if not newest:
            raise NotFound("There is no such thread.")
        shown = [wire.email_object(email) for email in reversed(newest)]
        return Response(
            {
                "thread_id": thread.pk,
                "reply_address": addressing.reply_address(thread),
                "message_count": emails.count(),
                "participants": sorted({a for e in newest for a in (e.from_address, *e.to, *e.cc)}),
                "last_activity": shown[-1]["created_at"],
                "has_unanswered_inbound": _waits_for_answer(newest),
                "emails": shown,
                "items": shown,
            }
        )


def _waits_for_answer(newest_first: list[Email]) -> bool:
    """The last word that was spoken was theirs; a reply that has not left is no answer."""
    spoken = (email for email in newest_first if email.is_inbound or wire.status(email) == "sent")
    last = next(spoken, None)
    return last is not None and last.is_inbound
