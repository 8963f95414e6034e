"""Calls that take a person's word: 202 at first, and the same call with `approval_code` does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rest_framework.response import Response

from approvals import operator_requests, wire
from approvals.models import OperatorRequest
from assistants.models import ApiKey


def two_step(
    action: OperatorRequest.Action,
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    by: ApiKey,
    do: Callable[[], Response],
) -> Response:
    """`data`: the validated body, which may hold the code."""
    code = data.get("approval_code", "")
    made = operator_requests.done_or_asked(action, params, code, by=by, do=do)
    return pending(made) if isinstance(made, OperatorRequest) else made


def pending(request: OperatorRequest) -> Response:
    return Response(
        {
            "status": "pending_approval",
            "message": "An administrator sees a one-time code. Repeat this call with it as approval_code.",
            "expires_at": wire.moment(request.expires_at),
        },
        status=202,
    )
