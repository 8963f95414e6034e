"""How much was sent, received, held, decided and called: drawings, each with its table, and CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from approvals import charts, quotas, usage_report
from approvals.actions.account import the_account
from approvals.usage_report import KINDS, PERIODS, USUAL, Row, Span
from approvals.views.http import Request, page

TABLES = {
    "day": ("Day", usage_report.by_day),
    "mailbox": ("Mailbox", usage_report.by_mailbox),
    "assistant": ("Assistant", usage_report.by_assistant),
}


@require_safe
def usage(request: Request) -> HttpResponse:
    over, chosen, complaint = _span(request)
    days = usage_report.by_day(request.user, over)
    drawn = [
        (kind, charts.bars([(_short(day), row[name]) for day, row in days])) for name, kind in KINDS.items()
    ]
    return page(
        request,
        "approvals/usage.html",
        "usage",
        complaint=complaint,
        tabs=[(name, label, name == chosen) for name, (label, _) in PERIODS.items()],
        over=over,
        charts=drawn,
        kinds=KINDS.values(),
        tables=[
            ("By mailbox", "Mailbox", _cells(usage_report.by_mailbox(request.user, over))),
            ("By assistant", "Assistant", _cells(usage_report.by_assistant(request.user, over))),
        ],
        days=_cells(days),
        query=f"from={over.first}&to={over.last}",
        write_limit=settings.WRITE_LIMIT,
        **_quota(request),
    )


def _quota(request: Request) -> dict[str, Any]:
    """Of the whole install, so for who sees all of it."""
    if not request.user.all_mailboxes:
        return {}
    most = the_account().monthly_email_quota
    return {"sees_quota": True, "quota": most, "used": quotas.used(timezone.now()) if most is not None else 0}


def _span(request: Request) -> tuple[Span, str, str]:
    """The days, which of the periods they are, and what was wrong with what was asked for."""
    first, last, name = (request.GET.get(one, "") for one in ("from", "to", "period"))
    usual = usage_report.span(PERIODS[USUAL][1])
    if first or last:
        try:
            return usage_report.between(first, last), "", ""
        except ValueError as error:
            return usual, USUAL, f"{error} The last 30 days are shown."
    if name and name not in PERIODS:
        return usual, USUAL, f"“{name}” is no period. The last 30 days are shown."
    return usage_report.span(PERIODS[name or USUAL][1]), name or USUAL, ""


def _short(day: str) -> str:
    return f"{date.fromisoformat(day):%-d %b}"


def _cells(rows: Iterable[Row]) -> list[tuple[str, list[int]]]:
    return [(label, list(row.values())) for label, row in rows]


@require_safe
def as_csv(request: Request) -> HttpResponse:
    """The same numbers, by day, mailbox or assistant."""
    over, _, complaint = _span(request)
    by = request.GET.get("by", "day")
    if complaint or by not in TABLES:
        wrong = complaint or f"“{by}” is nothing to count by: day, mailbox or assistant."
        return HttpResponse(wrong, content_type="text/plain; charset=utf-8", status=400)
    title, rows = TABLES[by]
    name = f"usage-by-{by}-{over.first}-{over.last}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    response = HttpResponse(content_type="text/csv; charset=utf-8", headers=headers)
    writer: Any = csv.writer(response)
    writer.writerow([title.lower(), *KINDS])
    writer.writerows([_inert(label), *row.values()] for label, row in rows(request.user, over))
    return response


def _inert(text: str) -> str:
    """A spreadsheet would take a name like =1+1 for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
