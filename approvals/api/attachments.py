"""Attachments: their bytes, and signed links to them that need no key."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import files
from approvals.api import answers
from approvals.api.base import View, email_of, key_of
from approvals.api.schema import binary, operation
from approvals.errors import NotFound
from assistants.models import Scope
from mailboxes.models import Email

EXPIRES_IN = 3600  # seconds
SALT = "signed attachment"


class AttachmentView(View):
    scopes = {"GET": (Scope.READ,)}

    @binary("download_attachment")
    def get(self, request: Request, mailbox_id: str, email_id: str, name: str) -> HttpResponse:
        """The bytes of the first attachment of this name. They come from a stranger: open them with care."""
        email = email_of(key_of(request), email_id, mailbox_id)
        return files.download(email, files.listed(email, name))


class AttachmentUrlView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("get_attachment_url", answers.AttachmentUrl)
    def get(self, request: Request, mailbox_id: str, email_id: str, name: str) -> Response:
        """A link to it that needs no key, for an hour."""
        file = files.listed(email_of(key_of(request), email_id, mailbox_id), name)
        token = signing.dumps([email_id, file.name], salt=SALT)
        return Response(
            {
                "url": f"{settings.PUBLIC_URL}{reverse('signed_attachment', args=[token])}",
                "filename": file.name,
                "size_bytes": file.size,
                "content_type": file.content_type,
                "expires_in": EXPIRES_IN,
            }
        )


@login_not_required  # the signature is what lets it through
@require_safe
def signed(request: HttpRequest, token: str) -> HttpResponse:
    """Whoever has the link may have the file, until it expires."""
    try:
        email_id, name = signing.loads(token, salt=SALT, max_age=EXPIRES_IN)
        email = Email.objects.select_related("raw", "outbound").get(pk=email_id)
        return files.download(email, files.listed(email, name))
    except (signing.BadSignature, Email.DoesNotExist, NotFound):
        text = "This link has expired, or was never one of ours. Ask whoever gave it to you for a new one."
        return HttpResponse(text, status=404, content_type="text/plain")
