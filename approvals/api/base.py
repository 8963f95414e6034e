"""What all calls share: one object fetched within reach, validated input, the caller's key."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from approvals import wire
from approvals.errors import NotFound
from assistants.models import ApiKey
from mailboxes.models import Email, Mailbox

Row = TypeVar("Row", bound=Model)


class View(APIView):
    """`scopes`: for each method, the scopes of which a key needs one. A method not named is refused."""

    scopes: ClassVar[dict[str, tuple[str, ...]]] = {}
    # HEAD would mark mail as read without showing it
    http_method_names = ["get", "post", "put", "patch", "delete"]


def key_of(request: Request) -> ApiKey:
    """Of a request that has passed HasScope."""
    key = request.auth
    if not isinstance(key, ApiKey):
        raise TypeError("this view answers without a key")
    return key


def body(request: Request, shape: type[Serializer[Any]]) -> dict[str, Any]:
    """The validated body. Clients send null for what they leave out."""
    data: dict[str, Any] = dict(request.data)
    return validated(shape, {name: value for name, value in data.items() if value is not None})


def query(request: Request, shape: type[Serializer[Any]]) -> dict[str, Any]:
    return validated(shape, {name: value for name, value in request.query_params.items() if value != ""})


def validated(shape: type[Serializer[Any]], data: dict[str, Any]) -> dict[str, Any]:
    serializer = shape(data=data)
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = serializer.validated_data
    return found


def one(rows: QuerySet[Row], noun: str) -> Row:
    """What is out of reach and what does not exist look the same."""
    found = rows.first()
    if found is None:
        raise NotFound(f"There is no such {noun}.")
    return found


def mailbox_of(key: ApiKey, mailbox_id: str) -> Mailbox:
    return one(Mailbox.objects.visible_to(key).filter(pk=mailbox_id, is_active=True), "mailbox")


def email_of(key: ApiKey, email_id: str, mailbox_id: str = "") -> Email:
    found = wire.with_story(Email.objects.visible_to(key)).select_related("mailbox", "conversation")
    if mailbox_id:
        found = found.filter(mailbox=mailbox_id)
    return one(found.filter(pk=email_id), "email")
