"""/v1/feedback: something is wrong, or missing."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions
from approvals.api import answers
from approvals.api.admin_requests import IssueRequest
from approvals.api.authentication import ANY_KEY
from approvals.api.base import View, body, key_of
from approvals.api.schema import operation
from approvals.api.throttle import spend


class FeedbackView(View):
    scopes = {"POST": ANY_KEY}

    @operation("report_issue", answers.Status, status=201, request=IssueRequest)
    def post(self, request: Request) -> Response:
        """Tell the people who run this install; it goes into their log. For any key."""
        key, data = key_of(request), body(request, IssueRequest)
        spend(key)
        actions.report_issue(data, by=key)
        return Response({"status": "reported"}, status=201)
