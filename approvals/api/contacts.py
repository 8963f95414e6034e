"""/v1/contacts and /v1/suppression: whom to write to, and whom not."""

from __future__ import annotations

from urllib.parse import unquote

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, wire
from approvals.api import answers
from approvals.api.admin_requests import ContactQuery, ContactRequest
from approvals.api.base import View, body, key_of, one, query
from approvals.api.paging import page
from approvals.api.requests import WholeQuery
from approvals.api.schema import operation
from assistants.models import Scope
from mailboxes.models import Contact, Suppression


def contact_object(contact: Contact) -> answers.ContactObject:
    return {
        "id": contact.pk,
        "email": contact.email,
        "name": contact.name,
        "tags": contact.tags,
        "created_at": int(contact.created_at.timestamp() * 1000),
    }


def suppression_object(kept: Suppression) -> answers.SuppressionObject:
    """Without a mailbox it holds for all of them."""
    return {
        "id": kept.pk,
        "email_address": kept.address,
        "reason": kept.reason,
        "mailbox_id": kept.mailbox_id,
        "created_at": wire.moment(kept.created_at),
    }


class ContactsView(View):
    scopes = {"GET": (Scope.READ,), "POST": (Scope.SEND,)}

    @operation("list_contacts", answers.ContactList, parameters=[ContactQuery])
    def get(self, request: Request) -> Response:
        """The address book of the key's owner, newest first; `q` or `query` looks into name and address."""
        wanted = query(request, ContactQuery)
        found = Contact.objects.visible_to(key_of(request))
        if words := wanted.get("q") or wanted.get("query"):
            found = found.filter(Q(name__icontains=words) | Q(email__icontains=words))
        rows, cursor = page(found, wanted)
        shown = [contact_object(contact) for contact in rows]
        return Response({"contacts": shown, "items": shown, "cursor": cursor})

    @operation("add_contact", answers.ContactObject, status=201, request=ContactRequest)
    def post(self, request: Request) -> Response:
        """Keep somebody; an address that is there gets the new name and tags."""
        key, data = key_of(request), body(request, ContactRequest)
        contact = actions.keep_contact(
            key.owner_id, data["email"], name=data.get("name", ""), tags=data.get("tags", ()), by=key
        )
        return Response(contact_object(contact), status=201)


class ContactView(View):
    scopes = {"DELETE": (Scope.SEND,)}

    @operation("delete_contact", answers.Deleted)
    def delete(self, request: Request, contact_id: str) -> Response:
        key = key_of(request)
        actions.remove_contact(one(Contact.objects.visible_to(key).filter(pk=contact_id), "contact"), by=key)
        return Response({"status": "deleted", "deleted": True})


class SuppressionsView(View):
    scopes = {"GET": (Scope.ADMIN,)}

    @operation("list_suppressions", answers.SuppressionList, parameters=[WholeQuery])
    def get(self, request: Request) -> Response:
        """Addresses that nothing is sent to, newest first: from one mailbox, or from none at all."""
        found = Suppression.objects.visible_to(key_of(request))
        rows, cursor = page(found, query(request, WholeQuery))
        shown = [suppression_object(kept) for kept in rows]
        return Response({"suppressions": shown, "items": shown, "cursor": cursor})


class SuppressionView(View):
    scopes = {"DELETE": (Scope.ADMIN,)}

    @operation("remove_suppression", answers.Status)
    def delete(self, request: Request, address: str) -> Response:
        """Let mail to this address leave again. What holds for all mailboxes takes a key over all."""
        key = key_of(request)
        # some clients escape the @ twice, and a path is unescaped once
        found = Suppression.objects.visible_to(key).filter(address=unquote(address).lower())
        actions.unsuppress(*found.select_related("mailbox"), by=key)
        return Response({"status": "removed"})
