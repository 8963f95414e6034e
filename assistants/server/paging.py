"""Lists: limit 1-100 (20), newest first unless order=asc, cursors are ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from assistants.server.errors import ApiError
from assistants.server.fields import invalid, one_of

Row = TypeVar("Row", bound=Model)


def page(
    rows: QuerySet[Row], query: Mapping[str, str], render: Callable[[Row], dict[str, Any]]
) -> dict[str, Any]:
    limit = _limit(query.get("limit", "20"))
    descending = one_of("asc", "desc")(query.get("order", "desc"), "order") == "desc"
    after, before = (_place(rows, query.get(name), name) for name in ("after", "before"))
    later, earlier = ("seq__lt", "seq__gt") if descending else ("seq__gt", "seq__lt")
    window = rows.filter(**({later: after} if after else {}), **({earlier: before} if before else {}))
    # with `before` alone, the page is the one that ends at the cursor: read it backwards
    backwards = bool(before and not after)
    found = list(window.order_by("-seq" if descending != backwards else "seq")[: limit + 1])
    shown = found[:limit][::-1] if backwards else found[:limit]
    data = [render(row) for row in shown]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= 100):
        raise invalid("limit", "expected an integer between 1 and 100.")
    return int(text)


def _place(rows: QuerySet[Row], cursor: str | None, param: str) -> int | None:
    """The number of the row that a cursor names; an empty cursor is none."""
    if not cursor:
        return None
    seq: int | None = rows.filter(id=cursor).values_list("seq", flat=True).first()
    if seq is None:
        raise ApiError(f"No object found with id '{cursor}'.", param=param, code="invalid_value")
    return seq
