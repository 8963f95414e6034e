"""The bytes of an attachment, out of the message as it is kept, and how they are handed to a browser."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from django.http import HttpResponse

from approvals.errors import NotFound
from mailboxes import inbound, mime
from mailboxes.models import Email


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content_type: str
    size: int
    number: int


def listed(email: Email, name: str) -> File:
    """The first attachment of this name."""
    for number, one in enumerate(email.attachments):
        if one.get("name") == name:
            return listed_at(email, number)
    raise NotFound("There is no such attachment.")


def listed_at(email: Email, number: int) -> File:
    one = email.attachments[number]
    return File(one.get("name", ""), one.get("content_type", ""), one.get("size", 0), number)


def octets(email: Email, file: File) -> bytes:
    """Of frozen bytes or of the raw ones, which are the only copies that are kept."""
    if not email.is_inbound:
        frozen = email.revisions.get(number=email.outbound.revision).frozen
        return mime.files(bytes(frozen))[file.number].data
    if email.raw is None:
        raise NotFound("There is no such attachment.")
    try:
        return inbound.attachment(bytes(email.raw.data), file.number)
    except inbound.Unparseable as error:
        raise NotFound(f"The attachment can't be read: {error}") from error


def download(email: Email, file: File) -> HttpResponse:
    """Saved and never shown: a stranger's file must run nothing in our name."""
    response = HttpResponse(octets(email, file), content_type=file.content_type or "application/octet-stream")
    response["Content-Disposition"] = f"attachment; filename*=utf-8''{quote(file.name, safe='')}"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response
