"""Pages of a list by id: ids sort by time, so a page never shifts while new rows come in."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError

Row = TypeVar("Row", bound=Model)

# of a list that is asked for without a limit
WHOLE = 1000


def page(
    rows: QuerySet[Row], query: dict[str, Any], *, oldest_first: bool = False
) -> tuple[list[Row], str | None]:
    """One page of `rows`, newest first, and the cursor of the next one if there is more."""
    limit, offset = query.get("limit", WHOLE), query.get("offset", 0)
    if text := query.get("cursor"):
        rows = rows.filter(**{"pk__gt" if oldest_first else "pk__lt": read_cursor(text)})
    found = list(rows.order_by("pk" if oldest_first else "-pk")[offset : offset + limit + 1])
    more = len(found) > limit
    return found[:limit], make_cursor(str(found[limit - 1].pk)) if more else None


def make_cursor(pk: str) -> str:
    return base64.urlsafe_b64encode(pk.encode()).decode().rstrip("=")


def read_cursor(text: str) -> str:
    try:
        pk = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise ValidationError({"cursor": "This is not a cursor of this list."}, code="invalid") from error
    if not re.fullmatch(r"[a-z]{2,4}_[0-9A-Z]{26}|[0-9]{1,18}", pk):
        raise ValidationError({"cursor": "This is not a cursor of this list."}, code="invalid")
    return pk
